"""The inbox: applies what another office sent, in order and exactly once.

Inbox row, the events that follow, and the messages that follow from those are one commit. What
cannot be read or applied is parked raw with its reason in the same commit, and its number counts
as done, so that it blocks nobody. A frame that cannot be read at all is parked and moves no
number: if it was genuine, its sender will send it again. So is one that no trusted key has signed,
which is looked at before anything else, and one that was seen before, byte for byte.

Who the persons of a message are came sealed to this office; it is sealed anew under this office's
own key of each person before anything is decided, and stands nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from opentelemetry.trace import Span
from psycopg import InterfaceError, OperationalError, errors
from psycopg_pool import PoolTimeout
from pydantic import ValidationError

from shared.contracts.messages import (
    MESSAGES,
    SEALED_PART,
    UPCASTERS,
    Envelope,
    Message,
    affairs_of,
    told_of,
)
from shared.contracts.values import Identity, ManifestLine, Value
from shared.kernel import index, trace
from shared.kernel.decider import Command
from shared.kernel.event import UnknownType, upcast
from shared.kernel.handling import WAITS, Handling, Outcome, Undecided, Unit
from shared.kernel.hold import Held
from shared.kernel.keys import KeysUnusable, Unopened
from shared.kernel.link import (
    FRAME_BYTES,
    Claimed,
    Frame,
    Receipt,
    Unreadable,
    Witnessed,
    decode,
)
from shared.kernel.link_tables import Waiting
from shared.kernel.note import NotANote
from shared.kernel.store import (
    Commit,
    Conflict,
    IndexLine,
    Parked,
    PersonKey,
    Received,
    Settled,
    StaleKeys,
)
from shared.kernel.vault import Vault
from shared.kernel.witness import Witness

log = logging.getLogger(__name__)

_PASSING = (
    OperationalError, InterfaceError, PoolTimeout, Conflict, Undecided, KeysUnusable, Unopened,
    Held,
)  # fmt: skip
_LASTING = (errors.ProgramLimitExceeded, errors.StatementTooComplex, errors.TooManyArguments)
"""What the database refuses for its size, and refuses again."""

_MODELS: tuple[type[Value], ...] = (Envelope, ManifestLine, *MESSAGES.values())
_TYPE = re.compile(r"pulang(\.[a-z-]{1,30}){1,5}\.v[0-9]{1,3}")
FIELDS = {name for model in _MODELS for name in model.model_fields}

Reactor = Callable[[str, Message, str, datetime, datetime, Mapping[str, str]], Sequence[Command]]
"""(sender, message, actor, now, occurred_at, sealed identities by person) → this office's own
commands, one unit. Pure."""

UNREADABLE = (UnknownType, ValidationError, TypeError, ValueError, RecursionError)
RETRIES = 4
RETRY_AFTER = timedelta(seconds=15)
"""A refused message is tried again by itself after 15 s, 1 min and 4 min, each from the last try;
then people decide."""
SETTLE_MESSAGES = 500
FOR_OPERATORS = frozenset({"UNKNOWN_TYPE", "UNREADABLE_MESSAGE", "UNAPPLIABLE_MESSAGE"})
"""What no later message can mend."""
PARKED_FRAMES = 100
PARKED_BYTES = 64 * 1024 * 1024
PARKED_HEAD_BYTES = 4 * 1024
"""So many unreadable frames of a sender are kept raw."""

Why = tuple[str, str]
"""Why a message is parked: a code, and what is the matter."""
FORKED: Why = ("HISTORY_FORKED", "Its office has shown two histories; people must decide first.")

Told = dict[int, dict[str, Identity]]
"""What came sealed: by message number and person, who she is."""


class Inbox:
    """The receiving end of one link."""

    def __init__(self, handling: Handling, vault: Vault, reactor: Reactor, sender: str) -> None:
        self._handling = handling
        self._links = handling.store.links
        self._vault = vault
        self._keyring = vault.keyring
        self._reactor = reactor
        self._office = vault.keyring.office
        self._sender = sender
        self._witness = Witness(vault.keyring, sender)
        self._waits_since: dict[int, tuple[datetime, float]] = {}

    async def receive(
        self, raws: Sequence[bytes], now: datetime, *, again: bool = False
    ) -> tuple[Receipt | None, list[Receipt]]:
        """Applies frames; gives the receipt to send (if any frame came) and receipts that came.

        Returns only after everything is committed: acknowledge the transport after that. `again`:
        the transport gives anew what it gave before and nobody acknowledged, so that what was
        seen is no replay.
        """
        try:
            return await self._receive(raws, now, again=again)
        except Exception as error:
            if passing(error):
                raise
            log.exception("inbox: an entry could not be received")
            if len(raws) == 1:
                await self._park_unread(raws[0], now, type(error).__name__)
                return None, []
        # One of them is what it stumbles over. What was applied of the others is only seen again.
        receipt: Receipt | None = None
        incoming: list[Receipt] = []
        for raw in raws:
            one, heard = await self.receive([raw], now, again=True)
            receipt = one or receipt
            incoming += heard
        return receipt, incoming

    async def _park_unread(self, raw: bytes, now: datetime, detail: str) -> None:
        """Moves no number: its sender sends it again, and says that it is not confirmed."""
        parked = Parked(self._sender, None, "UNRECEIVABLE_FRAME", detail, raw)
        kept = await self._bounded([parked])
        await self._handling.store.append(Commit(at=now, parked=kept))

    async def _receive(
        self, raws: Sequence[bytes], now: datetime, *, again: bool
    ) -> tuple[Receipt | None, list[Receipt]]:
        await self._keyring.refresh()
        applied, seen = await self._links.applied(self._sender)
        incoming: list[Receipt] = []
        frames: list[Frame] = []
        claims: list[Claimed] = []
        unreadable: list[Parked] = []
        for raw in raws:
            try:
                item = decode(
                    raw, sender=self._sender, receiver=self._office, trusts=self._keyring.trusts
                )
            except Unreadable as why:
                unreadable.append(Parked(self._sender, None, why.code, str(why), raw))
                continue
            if isinstance(item, Receipt):
                incoming.append(item)
            elif isinstance(item, Claimed):
                claims.append(item)
            elif item.digest in seen and not again:
                why_not = "these very bytes came before; they are not applied twice"
                unreadable.append(Parked(self._sender, None, "REPLAYED_FRAME", why_not, raw))
            else:
                seen.add(item.digest)
                frames.append(item)
        ask = await self._hear(claims, now)
        receipt: Receipt | None = None
        try:
            if frames or claims:
                receipt = await self._apply(frames, applied, now, ask)
            if unreadable:
                # Last: where anything else fails they come again, and how often they came is told.
                parked = await self._bounded(unreadable)
                await self._handling.store.append(Commit(at=now, parked=parked))
            return receipt, incoming
        except Held as why:
            # What it waits for is in the receipts. All else comes again until it is confirmed.
            log.warning("inbox: nothing of %s is recorded: %s", self._sender, why)
            return None, incoming

    async def _hear(self, claims: Sequence[Claimed], now: datetime) -> bool:
        """How the sender's log stands, before any of its messages is applied; whether it is to
        say so anew.
        """
        ask = False
        for one in claims:
            try:
                ask = await self._witness.hear(one.claim, now) == "ask"
            except NotANote as error:
                # A key that was rolled or revoked meanwhile; the next checkpoint will say more.
                log.warning("inbox: a claim of %s: %s", self._sender, error)
        return ask

    async def _bounded(self, unreadable: Sequence[Parked]) -> Sequence[Parked]:
        """What anybody can write must not fill the disk: beyond a bound it is only counted."""
        number, size = await self._links.parked_frames(self._sender)
        kept: list[Parked] = []
        for one in unreadable:
            if len(one.raw) > FRAME_BYTES:
                one = replace(one, raw=one.raw[:PARKED_HEAD_BYTES], detail=f"{one.detail}; cut")
            if number >= PARKED_FRAMES or size + len(one.raw) > PARKED_BYTES:
                one = replace(one, raw=one.reason.encode(), detail="not kept")
            number, size = number + 1, size + len(one.raw)
            kept.append(one)
        return kept

    async def receipt(self, *, gap: bool, now: datetime, ask: bool = False) -> Receipt:
        """What this office tells the sender: how far it is, what of that it parked or discarded,
        and what to seal to."""
        applied, unapplied = await self._links.received(self._sender)
        sent = int(now.timestamp() * 1_000_000)
        key = self._keyring.sealing_key
        kept, forked = await self._witness.kept()
        witnessed = Witnessed(kept.size if kept else 0, kept.note if kept else "", ask, forked)
        return Receipt(
            self._office, self._sender, applied, gap, key, sent, unapplied, witnessed=witnessed
        )

    async def _apply(
        self, frames: Sequence[Frame], applied: int, now: datetime, ask: bool
    ) -> Receipt:
        """Applies the consecutive run that follows what is applied; the rest waits for a resend.

        A frame that was sealed to a key that is gone is sent again too, sealed to the new one.
        """
        run: list[Received] = []
        told: Told = {}
        gap = False
        await self._said_otherwise(frames, applied, now)
        for frame in sorted(frames, key=lambda frame: frame.first):
            if frame.sealed and not self._keyring.opens(frame.sealed_to):
                gap = gap or frame.last > applied + len(run)
                continue
            numbers: list[int] = []
            for sequence, body in enumerate(frame.bodies, frame.first):
                expected = applied + len(run) + 1
                if sequence == expected:
                    numbers.append(sequence)
                    run.append(Received(self._sender, sequence, body, frame.head, frame.digest))
                gap = gap or sequence > expected
            if numbers and frame.sealed:
                told.update(await self._unsealed(frame, now))
        if run:
            try:
                await self._commit_all(run, told, now)
            except StaleKeys:
                # A key epoch ended between sealing and writing: asked for again, it is sealed anew.
                gap = True
            except Conflict:
                # Another worker applied these first.
                gap = False
        return await self.receipt(gap=gap, now=now, ask=ask)

    async def _said_otherwise(self, frames: Sequence[Frame], applied: int, now: datetime) -> None:
        """A number that came before with another message: its office was restored, and goes on."""
        again = [
            (number, body)
            for frame in frames
            for number, body in enumerate(frame.bodies, frame.first)
            if number <= applied
        ]
        if not again or not (others := await self._links.said_otherwise(self._sender, again)):
            return
        await self._witness.fork(f"message {others[0]} came before, and was another", now)
        code, _ = FORKED
        kept = await self._bounded(
            [
                Parked(self._sender, None, code, f"message {number} was another before", body)
                for number, body in again
                if number in others
            ]
        )
        await self._handling.store.append(Commit(at=now, parked=kept))

    async def _unsealed(self, frame: Frame, now: datetime) -> Told:
        """Who the frame's persons are. What can't be read is parked beside its messages."""
        try:
            text = self._keyring.unseal(frame.sealed_to, frame.sealed, frame.info)
            return SEALED_PART.validate_json(text)
        except (Unopened, ValidationError) as error:
            detail = f"messages {frame.first} to {frame.last}: {type(error).__name__}"
            parked = Parked(self._sender, frame.first, "UNREADABLE_SEAL", detail, frame.sealed)
            await self._handling.store.append(Commit(at=now, parked=[parked]))
            return {}

    async def _commit_all(self, run: Sequence[Received], told: Told, now: datetime) -> None:
        """One commit for all; where that fails for what they are, one for each.

        What the database or the code stumbles over is parked: no message is tried for ever.
        """
        try:
            await self._commit(run, told, now)
        except Exception as error:
            if passing(error):
                raise
            if len(run) > 1:
                for one in run:
                    await self._commit_all([one], told, now)
                return
            log.exception("inbox: a message could not be applied")
            await self._park_unappliable(run[0], told, now, type(error).__name__)

    async def _park_unappliable(
        self, row: Received, told: Told, now: datetime, detail: str
    ) -> None:
        """With who its persons are, where that is not what the code stumbled over."""
        why = (row.sender, row.sequence, "UNAPPLIABLE_MESSAGE", detail, row.body)
        parked = Parked(*why, affairs_of(row.body))
        try:
            _, message = read_message(row.body)
            sealed, keys, lines = await self._sealed_anew(
                {row.sequence: _announced(message, told.get(row.sequence, {}))}
            )
            commit = Commit(
                at=now,
                received=[row],
                parked=[replace(parked, personal=sealed.get(row.sequence, {}))],
                keys=list(keys.values()),
                index=[line for of_one in lines.values() for line in of_one],
            )
            await self._handling.store.append(commit)
        except Exception as error:
            if passing(error):
                raise
            log.exception("inbox: who its persons are could not be kept")
            await self._handling.store.append(Commit(at=now, received=[row], parked=[parked]))

    async def _commit(self, run: Sequence[Received], told: Told, now: datetime) -> None:
        actor = f"office:{self._sender}"
        affairs = {row.sequence: affairs_of(row.body) for row in run}
        read: dict[int, tuple[Envelope, Message]] = {}
        unread: dict[int, Why] = {}
        for row in run:
            try:
                read[row.sequence] = read_message(row.body)
            except UNREADABLE as error:
                unread[row.sequence] = why_unreadable(error)
        about = {
            sequence: _announced(message, told.get(sequence, {}))
            for sequence, (_, message) in read.items()
        }
        sealed, keys, lines = await self._sealed_anew(about)
        held = set(await self._links.held(self._sender))
        _, forked = await self._witness.kept()
        units: list[Unit] = []
        parked: list[Parked] = []

        def park(row: Received, why: Why) -> Parked:
            """With who its persons are: it may be tried again."""
            number = row.sequence
            whose, personal = affairs[number], sealed.get(number, {})
            return Parked(row.sender, number, *why, row.body, whose, personal)

        for row in run:
            envelope, message = read.get(row.sequence, (None, None))
            why = unread.get(row.sequence)
            identities = sealed.get(row.sequence, {})
            commands: Sequence[Command] = ()
            if affairs[row.sequence] & held:
                why = why or (WAITS.code, WAITS.detail)
            if forked:
                why = why or FORKED
            if envelope and message and not why:
                try:
                    commands = self._reactor(
                        self._sender, message, actor, now, envelope.time, identities
                    )
                except UNREADABLE as error:
                    why = why_unreadable(error)
            if why:
                parked.append(park(row, why))
                held |= affairs[row.sequence]
            units.append(
                Unit(
                    commands,
                    causation=envelope.id if envelope else "",
                    keys=[keys[person] for person in identities if person in keys],
                    index=[line for person in identities for line in lines.get(person, ())],
                    affairs=affairs[row.sequence],
                    span=self._span(envelope, row.sequence) if envelope else None,
                )
            )

        def all_parked(outcome: Outcome) -> list[Parked]:
            return parked + [
                park(run[one.index], (one.refused.code, one.refused.detail))
                for one in outcome.refused
            ]

        try:
            await self._handling.handle(
                units,
                at=now,
                actor=actor,
                cause=f"{self._sender}:{run[0].sequence}-{run[-1].sequence}",
                all_or_nothing=False,
                received=run,
                parked=all_parked,
            )
        finally:
            for unit in units:
                if unit.span:
                    unit.span.end()

    def _span(self, envelope: Envelope, sequence: int) -> Span:
        """Of one message, from when it is looked at until it is applied or parked."""
        cause = f"{self._sender}:{sequence}"
        known = envelope.type if envelope.type in MESSAGES else "of an unknown type"
        return trace.applying(known, self._sender, envelope.traceparent, cause)

    async def settle(self, now: datetime, by: str, chosen: Collection[int] = ()) -> list[int]:
        """Tries parked messages again, in their order; gives those that are applied now.

        Tried are the `chosen`, those that only waited and are free now, and, after a while and
        only so often, those that a decision refused: what it lacked may have come by another link.
        That while is reckoned from the last try, or, for the first try of this process, from when
        it was parked; it is over, too, when this process has seen it pass: a clock may be set back.
        """
        applied: list[int] = []
        held: set[str] = set()
        after = 0
        elapsed = asyncio.get_running_loop().time()
        if (await self._witness.kept())[1]:
            # Nothing of a forked history is applied, however it is asked for.
            return applied
        here: set[int] = set()
        while rows := await self._links.waiting(self._sender, after, SETTLE_MESSAGES):
            for row in rows:
                here.add(row.id)
                # Kept also where something fails midway: what was tried is not tried again at once.
                since, at = self._waits_since.setdefault(row.id, (row.parked_at, elapsed))
                waited = max(now - since, timedelta(seconds=elapsed - at))
                again = (
                    # Looked at first: an operator may have tried so often that no time is so long.
                    row.tries < RETRIES
                    and row.reason not in FOR_OPERATORS
                    and waited >= RETRY_AFTER * 4 ** (row.tries - 1)
                )
                tried = row.id in chosen or row.reason in (WAITS.code, FORKED[0]) or again
                if tried and not row.affairs & held:
                    self._waits_since[row.id] = now, elapsed
                    if await self._try_again(row, now, by):
                        applied.append(row.id)
                        continue
                held |= row.affairs
            after = rows[-1].sequence
        self._waits_since = {id_: self._waits_since[id_] for id_ in here}
        return applied

    async def _try_again(self, row: Waiting, now: datetime, by: str) -> bool:
        actor = f"office:{self._sender}"
        body, personal = await self._links.as_it_came(row.id)
        try:
            envelope, message = read_message(body)
            commands = self._reactor(self._sender, message, actor, now, envelope.time, personal)
        except UNREADABLE as error:
            await self._links.note_refused(row.id, *why_unreadable(error))
            return False
        except Exception as error:
            return await self._stumbled(row, error)
        span = self._span(envelope, row.sequence)
        try:
            outcome = await self._handling.handle(
                [Unit(commands, causation=envelope.id, span=span)],
                at=now,
                actor=actor,
                cause=f"{self._sender}:{row.sequence}",
                settled=[Settled(row.id, "applied", by)],
            )
        except Conflict:
            # Somebody else has settled it meanwhile.
            return False
        except Exception as error:
            return await self._stumbled(row, error)
        finally:
            span.end()
        if outcome.refused:
            why = outcome.refused[0].refused
            await self._links.note_refused(row.id, why.code, why.detail)
        return not outcome.refused

    async def _stumbled(self, row: Waiting, error: Exception) -> bool:
        """False, with the reason on the parked message. Raises what trying again can mend."""
        if passing(error):
            raise error
        log.error("inbox: a parked message could not be applied", exc_info=error)
        await self._links.note_refused(row.id, "UNAPPLIABLE_MESSAGE", type(error).__name__)
        return False

    async def _sealed_anew(
        self, about: Told
    ) -> tuple[dict[int, dict[str, str]], dict[str, PersonKey], dict[str, list[IndexLine]]]:
        """The identities under this office's own keys, by message; nothing of who was erased.

        Beside them the new keys and the index lines, by person. Who was known before is looked up
        by what was known: no partner writes her lines anew.
        """
        items = [
            (number, person, identity)
            for number, persons in about.items()
            for person, identity in persons.items()
        ]
        texts, keys, lines = await index.seal(
            self._vault, [(person, identity) for _, person, identity in items], but_erased=True
        )
        sealed: dict[int, dict[str, str]] = {}
        for (number, person, _), text in zip(items, texts, strict=True):
            if text is not None:
                sealed.setdefault(number, {})[person] = text
        return sealed, keys, {person: lines[person] for person in lines if person in keys}


def passing(error: BaseException) -> bool:
    """Whether trying again can mend it."""
    return isinstance(error, _PASSING) and not isinstance(error, _LASTING)


def _announced(message: Message, told: Mapping[str, Identity]) -> dict[str, Identity]:
    """A message says who those are whom it announces, and nobody else."""
    persons = told_of(message)
    return {person: identity for person, identity in told.items() if person in persons}


def read_message(body: bytes) -> tuple[Envelope, Message]:
    """The envelope and the contract model in it, upcast to the newest version."""
    envelope = Envelope.model_validate_json(body)
    type_, data = upcast(envelope.type, envelope.data, UPCASTERS)
    if (model := MESSAGES.get(type_)) is None:
        raise UnknownType(type_)
    return envelope, model.model_validate(data)


def why_unreadable(error: Exception) -> Why:
    reason = "UNKNOWN_TYPE" if isinstance(error, UnknownType) else "UNREADABLE_MESSAGE"
    return reason, describe(error)


def describe(error: Exception) -> str:
    """Says what is wrong and where, without a value: it may be somebody's secret."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{_place(one['loc'])}: {one['type']}" for one in error.errors())
    if isinstance(error, UnknownType):
        said = str(error)
        return f"unknown type {said}" if _TYPE.fullmatch(said) else "a type that is no name"
    return type(error).__name__


def _place(location: tuple[int | str, ...]) -> str:
    """A field's place. A name that is none of the contract's could be anything, and is not said."""
    return ".".join(
        str(part) if isinstance(part, int) or part in FIELDS else "(unknown)" for part in location
    )
