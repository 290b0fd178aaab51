"""The inbox: applies what another office sent, in order and exactly once.

Inbox row, the events that follow, and the messages that follow from those are one commit. What
cannot be read or applied is parked raw with its reason in the same commit, and its number counts
as done, so that it blocks nobody. A frame that cannot be read at all is parked and moves no
number: if it was genuine, its sender will send it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from psycopg import InterfaceError, OperationalError
from psycopg_pool import PoolTimeout
from pydantic import ValidationError

from shared.contracts.messages import MESSAGES, UPCASTERS, Envelope, Message
from shared.contracts.values import ManifestLine, Value
from shared.kernel.decider import Command
from shared.kernel.event import UnknownType, upcast
from shared.kernel.handling import Handling, Outcome, Undecided, Unit
from shared.kernel.link import Frame, Receipt, Unreadable, decode
from shared.kernel.store import Commit, Conflict, Parked, Received

log = logging.getLogger(__name__)

PASSING = (OperationalError, InterfaceError, PoolTimeout, Conflict, Undecided)
"""What trying again can mend."""

_MODELS: tuple[type[Value], ...] = (Envelope, ManifestLine, *MESSAGES.values())
FIELDS = {name for model in _MODELS for name in model.model_fields}

Reactor = Callable[[str, Message, str, datetime, datetime], Sequence[Command]]
"""(sender, message, actor, now, occurred_at) → this office's own commands, one unit. Pure."""


class Inbox:
    """The receiving end of one link."""

    def __init__(self, handling: Handling, reactor: Reactor, office: str, sender: str) -> None:
        self._handling = handling
        self._reactor = reactor
        self._office = office
        self._sender = sender

    async def receive(
        self, raws: Sequence[bytes], now: datetime
    ) -> tuple[Receipt | None, list[Receipt]]:
        """Applies frames; gives the receipt to send (if any frame came) and receipts that came.

        Returns only after everything is committed: acknowledge the transport after that.
        """
        incoming: list[Receipt] = []
        frames: list[Frame] = []
        unreadable: list[Parked] = []
        for raw in raws:
            try:
                item = decode(raw, sender=self._sender, receiver=self._office)
            except Unreadable as why:
                unreadable.append(Parked(self._sender, None, "UNREADABLE_FRAME", str(why), raw))
                continue
            if isinstance(item, Frame):
                frames.append(item)
            else:
                incoming.append(item)
        if unreadable:
            await self._handling.store.append(Commit(at=now, parked=unreadable))
        if not frames:
            return None, incoming
        return await self._apply(frames, now), incoming

    async def _apply(self, frames: Sequence[Frame], now: datetime) -> Receipt:
        """Applies the consecutive run that follows what is applied; the rest waits for a resend."""
        applied = await self.applied_through()
        run: list[Received] = []
        gap = False
        for frame in sorted(frames, key=lambda frame: frame.first):
            for sequence, body in enumerate(frame.bodies, frame.first):
                expected = applied + len(run) + 1
                if sequence == expected:
                    run.append(Received(self._sender, sequence, body))
                gap = gap or sequence > expected
        if run:
            try:
                await self._commit_all(run, now)
                applied = run[-1].sequence
            except Conflict:
                # Another worker applied these first; what stands is read anew.
                applied, gap = await self.applied_through(), False
        return Receipt(self._office, self._sender, applied, gap)

    async def _commit_all(self, run: Sequence[Received], now: datetime) -> None:
        """One commit for all; where that fails for what they are, one for each.

        What the database or the code stumbles over is parked: no message is tried for ever.
        """
        try:
            await self._commit(run, now)
        except PASSING:
            raise
        except Exception as error:
            if len(run) > 1:
                for one in run:
                    await self._commit_all([one], now)
                return
            log.exception("inbox: a message could not be applied")
            (row,) = run
            detail = type(error).__name__
            parked = Parked(row.sender, row.sequence, "UNAPPLIABLE_MESSAGE", detail, row.body)
            await self._handling.store.append(Commit(at=now, received=run, parked=[parked]))

    async def _commit(self, run: Sequence[Received], now: datetime) -> None:
        actor = f"office:{self._sender}"
        units: list[Unit] = []
        sources: list[Received] = []
        unread: list[Parked] = []
        for row in run:
            try:
                envelope, message = read_message(row.body)
                commands = self._reactor(self._sender, message, actor, now, envelope.time)
            except (UnknownType, ValidationError, TypeError, ValueError, RecursionError) as error:
                reason = "UNKNOWN_TYPE" if isinstance(error, UnknownType) else "UNREADABLE_MESSAGE"
                detail = describe(error)
                unread.append(Parked(row.sender, row.sequence, reason, detail, row.body))
                continue
            units.append(Unit(commands, causation=envelope.id))
            sources.append(row)

        def parked(outcome: Outcome) -> list[Parked]:
            return unread + [
                Parked(
                    row.sender,
                    row.sequence,
                    refusal.refused.code,
                    refusal.refused.detail,
                    row.body,
                )
                for refusal in outcome.refused
                for row in [sources[refusal.index]]
            ]

        await self._handling.handle(
            units,
            at=now,
            actor=actor,
            correlation=f"{self._sender}:{run[0].sequence}-{run[-1].sequence}",
            all_or_nothing=False,
            received=run,
            parked=parked,
        )

    async def applied_through(self) -> int:
        async with self._handling.store.pool.connection() as connection:
            cursor = await connection.execute(
                "select applied_through from link_in where sender = %s", (self._sender,)
            )
            row = await cursor.fetchone()
        return int(row[0]) if row else 0


def read_message(body: bytes) -> tuple[Envelope, Message]:
    """The envelope and the contract model in it, upcast to the newest version."""
    envelope = Envelope.model_validate_json(body)
    type_, data = upcast(envelope.type, envelope.data, UPCASTERS)
    if (model := MESSAGES.get(type_)) is None:
        raise UnknownType(type_)
    return envelope, model.model_validate(data)


def describe(error: Exception) -> str:
    """Says what is wrong and where, without a value: it may be somebody's secret."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{_place(one['loc'])}: {one['type']}" for one in error.errors())
    return f"unknown type {error}" if isinstance(error, UnknownType) else type(error).__name__


def _place(location: tuple[int | str, ...]) -> str:
    """A field's place. A name that is none of the contract's could be anything, and is not said."""
    return ".".join(
        str(part) if isinstance(part, int) or part in FIELDS else "(unknown)" for part in location
    )
