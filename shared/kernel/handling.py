"""Command handling: load, fold, decide, append; a list of commands as well as one.

Commands come in units. A unit's commands are decided one after the other, each on what the ones
before it decided, and stand or fall together: that is how a person and a manifest change in one
step. Each unit's refusal is its own. One read serves all streams, one append all events.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from opentelemetry.trace import Span
from psycopg import AsyncConnection

from shared.kernel import trace
from shared.kernel.decider import Command, Decider, Event, Refused
from shared.kernel.event import EventTypes, NewEvent, Outgoing
from shared.kernel.hold import Past
from shared.kernel.store import (
    Commit,
    Conflict,
    IndexLine,
    Parked,
    PersonKey,
    Received,
    Request,
    SealedFile,
    Settled,
    StaleKeys,
    Store,
)

Publisher = Callable[[str, Event], Iterable[Outgoing]]
"""Gives the messages that go with an event of a stream. Pure."""

WAITS = Refused(
    "WAITS_BEHIND_PARKED",
    "An earlier message about the same person or handover is parked.",
    "Retry or discard that one; this one follows by itself.",
)
CONFLICT_TRIES = 30
BACK_OFF_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Unit:
    """Commands that stand or fall together, and the message or request that caused them.

    `keys` are new subjects' keys, `index` lines of the blind index and `files` sealed ones, kept
    only if the unit is; those of a message are kept with it, parked or not. A unit whose `affairs`
    are those of one that was refused before it is refused too: it waits. `span` is what its events
    are traced to.
    """

    commands: Sequence[Command]
    causation: str = ""
    keys: Sequence[PersonKey] = ()
    index: Sequence[IndexLine] = ()
    files: Sequence[SealedFile] = ()
    affairs: frozenset[str] = frozenset()
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class RefusedUnit:
    """Which unit was refused, by which of its commands, and why."""

    index: int
    command: Command
    refused: Refused


@dataclass(slots=True)
class Outcome:
    """What was decided: the events appended, the units refused, and the log's size after it."""

    position: int = 0
    events: list[NewEvent] = field(default_factory=list)
    refused: list[RefusedUnit] = field(default_factory=list)


class StalePlan(Exception):
    """What the units were planned on has changed since: plan anew. Nothing was written."""


class Undecided(Exception):
    """Other writers were faster so often that nothing was decided; trying again is safe."""


class Handling:
    """The one way from commands to events, for people and for messages."""

    def __init__(
        self, store: Store, deciders: Iterable[Decider[Any]], publisher: Publisher
    ) -> None:
        self.store = store
        self.deciders = tuple(deciders)
        self.types = EventTypes(self.deciders)
        self.publisher = publisher
        self._by_command = {c: decider for decider in self.deciders for c in decider.commands}

    async def handle(
        self,
        units: Sequence[Unit],
        *,
        at: datetime,
        actor: str,
        cause: str,
        all_or_nothing: bool = True,
        planned_on: Mapping[str, int] | None = None,
        request: Callable[[Outcome], Request] | None = None,
        received: Sequence[Received] = (),
        parked: Callable[[Outcome], Sequence[Parked]] | None = None,
        settled: Sequence[Settled] = (),
        within: AsyncConnection[Any] | None = None,
        past: Past | None = None,
    ) -> Outcome:
        """Decides `units` and appends what follows, in one transaction with the rest.

        `within` is a connection whose open transaction that is to be (`Store.append_within`).

        `cause` names what asked for it; where no span says otherwise, the correlation id of all
        events is made of it. With `all_or_nothing` one refusal keeps everything from being written.
        `planned_on` has the streams and versions that the units were made from. `request` and
        `parked` make their rows from the outcome; `past` lets them into a log that is held. Raises
        Held where it is and they are not for that, Conflict where the request's key or an
        inbox sequence was taken, StalePlan, StaleKeys, and Undecided where streams kept changing.
        """
        for attempt in range(CONFLICT_TRIES):
            planned = planned_on or {}
            outcome, read = await self._decide(units, at, actor, cause, planned, within)
            if any(read[stream] != version for stream, version in planned.items()):
                raise StalePlan(", ".join(planned))
            if outcome.refused and (all_or_nothing or not (outcome.events or received)):
                return outcome
            refused = {one.index for one in outcome.refused}
            kept = [unit for number, unit in enumerate(units) if received or number not in refused]
            written = {event.stream for event in outcome.events}
            commit = Commit(
                at=at,
                events=outcome.events,
                unmoved=[one for one in read.items() if one[0] not in written],
                keys=list({key.subject: key for unit in kept for key in unit.keys}.values()),
                index=list({(x.person, x.kind): x for unit in kept for x in unit.index}.values()),
                files=[file for unit in kept for file in unit.files],
                received=received,
                parked=parked(outcome) if parked else (),
                settled=settled,
                request=request(outcome) if request else None,
                past=past,
            )
            try:
                if within is None:
                    outcome.position = await self.store.append(commit)
                else:
                    outcome.position = await self.store.append_within(within, commit)
                return outcome
            except StaleKeys:
                raise
            except Conflict:
                if within is not None or not await self._moved(read):
                    raise
                await asyncio.sleep(BACK_OFF_SECONDS * attempt)
        raise Undecided(f"{len(units)} unit(s), {CONFLICT_TRIES} tries")

    def stream(self, command: Command) -> str:
        """The stream that this command is decided on."""
        return self._by_command[type(command)].stream(command)

    async def states(
        self, decider: Decider[Any], keys: Iterable[str], versions: dict[str, int] | None = None
    ) -> dict[str, Any]:
        """The folded state of each aggregate as it stands now: one read for all.

        Their streams' versions are noted in `versions`, for `planned_on`.
        """
        streams = {f"{decider.category}-{key}": key for key in keys}
        stored = await self.store.load(streams)
        if versions is not None:
            versions.update({stream: len(events) for stream, events in stored.items()})
        return {key: self._fold(decider, stored[stream]) for stream, key in streams.items()}

    def _fold(self, decider: Decider[Any], stored: Iterable[Any]) -> Any:
        state = decider.initial
        for event in stored:
            state = decider.evolve(state, self.types.parse(event.document))
        return state

    async def _moved(self, read: dict[str, int]) -> bool:
        """Whether any stream has grown since it was read."""
        now = await self.store.load(read)
        return any(len(events) != read[stream] for stream, events in now.items())

    async def _decide(
        self,
        units: Sequence[Unit],
        at: datetime,
        actor: str,
        cause: str,
        planned: Mapping[str, int],
        within: AsyncConnection[Any] | None,
    ) -> tuple[Outcome, dict[str, int]]:
        targets = [
            [(self._by_command[type(command)], command) for command in unit.commands]
            for unit in units
        ]
        aimed_at = [decider.stream(command) for unit in targets for decider, command in unit]
        stored = await self.store.load([*aimed_at, *planned], within)
        read = {stream: len(events) for stream, events in stored.items()}
        known: dict[str, tuple[Any, int]] = {}
        outcome = Outcome()
        held: set[str] = set()
        for index, (unit, target) in enumerate(zip(units, targets, strict=True)):
            if held & unit.affairs and unit.commands:
                held |= unit.affairs
                outcome.refused.append(RefusedUnit(index, unit.commands[0], WAITS))
                continue
            traceparent = trace.traceparent(unit.span, cause)
            overlay: dict[str, tuple[Any, int]] = {}
            decided: list[NewEvent] = []
            for decider, command in target:
                stream = decider.stream(command)
                state, version = (
                    overlay.get(stream)
                    or known.get(stream)
                    or (
                        self._fold(decider, stored[stream]),
                        read[stream],
                    )
                )
                decision = decider.decide(command, state)
                if isinstance(decision, Refused):
                    outcome.refused.append(RefusedUnit(index, command, decision))
                    held |= unit.affairs
                    break
                for event in decision:
                    state, version = decider.evolve(state, event), version + 1
                    decided.append(
                        NewEvent(
                            id=str(uuid.uuid4()),
                            stream=stream,
                            version=version,
                            event=event,
                            occurred_at=command.occurred_at,
                            recorded_at=at,
                            actor=actor,
                            traceparent=traceparent,
                            causation=unit.causation or trace.correlation(traceparent),
                            messages=tuple(self.publisher(stream, event)),
                        )
                    )
                overlay[stream] = (state, version)
            else:
                known.update(overlay)
                outcome.events.extend(decided)
        return outcome, read
