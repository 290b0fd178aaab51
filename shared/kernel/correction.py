"""Corrections: which recorded fact another one says was not so, or was otherwise (rule 18).

The log keeps both. Asked what was *true* at a time, neither may be taken at its word: a departure
that did not occur had not occurred on any day, and a wrong fare was never the fare. A service
tells by a `Citation` what each of its events is to a correction; `counted` makes of them from when
each event counts on the axis of occurrence, and which ones are not to be told as true. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from shared.kernel.decider import Event

How = Literal["undoes", "replaces", "restates"]


@dataclass(frozen=True, slots=True)
class Citation:
    """What an event is to corrections in its own stream.

    `fact` is a name by which a correction cites it; one that does not begin the fact goes on with
    what began it, and is corrected with it. `corrects` is the name that it cites itself, and `how`:
    it *undoes* (that did not occur), *replaces* (a fact with a time of its own stands instead), or
    *restates* (the same fact at the same time, with another value).
    """

    fact: str | None = None
    begins: bool = True
    corrects: str | None = None
    how: How = "undoes"


def _cites_nothing(event: Event) -> Citation | None:
    return None


@dataclass(frozen=True)
class Corrections:
    """A service's own: the events that correct, and what each event is to corrections."""

    correcting: tuple[type[Event], ...] = ()
    cite: Callable[[Event], Citation | None] = _cites_nothing


@dataclass(frozen=True, slots=True)
class Pair:
    """A correction with the facts that it cites, by position, in the order of the log."""

    correction: int
    cited: tuple[int, ...]
    how: How


@dataclass(frozen=True)
class Truth:
    """What corrections change on the axis of occurrence."""

    counts_from: Mapping[int, datetime] = field(default_factory=dict)
    """Position → from when it counts, where that is another time than its own."""

    corrected: frozenset[int] = frozenset()
    """What some correction says was not so, or was otherwise: not told as true at any time."""


def pairs(stream: Iterable[tuple[int, Citation | None]]) -> list[Pair]:
    """One stream's corrections with what they cite, from its events in order."""
    standing: dict[str, list[int]] = {}
    found: list[Pair] = []
    for position, citation in stream:
        if citation is None:
            continue
        if citation.corrects is not None:
            cited = standing.pop(citation.corrects, [])
            if cited:
                found.append(Pair(position, tuple(cited), citation.how))
        if citation.fact is not None:
            if citation.begins:
                standing[citation.fact] = [position]
            elif citation.fact in standing:
                standing[citation.fact].append(position)
    return found


def counted(
    found: Sequence[Pair],
    occurred: Mapping[int, datetime],
    together: Mapping[int, Sequence[int]],
) -> Truth:
    """From when each event counts.

    `occurred` has the own time of every position in question; `together` for a cited position what
    was decided in one step with it, which stands or falls with it.

    What was undone counts together with what undid it, from the later of both times: before, it
    is as though neither had been. What was replaced counts no earlier than what replaced it. What
    restates counts from the time of what it restates. So at the end of time every event counts,
    in the order of the log, and the truth is what is known now.
    """
    moved: dict[int, datetime] = {}
    corrected: set[int] = set()

    def since(position: int) -> datetime:
        return moved.get(position, occurred[position])

    # The newest first: a correction that was itself corrected counts as late as that one does.
    for pair in sorted(found, key=lambda one: one.correction, reverse=True):
        if pair.how == "restates":
            continue
        if pair.how == "undoes":
            latest = max(occurred[position] for position in pair.cited)
            moved[pair.correction] = max(since(pair.correction), latest)
        for cited in pair.cited:
            for position in (cited, *together.get(cited, ())):
                moved[position] = max(since(position), since(pair.correction))
                corrected.add(position)
    for pair in sorted(found, key=lambda one: one.correction):
        if pair.how == "restates":
            moved[pair.correction] = since(pair.cited[0])
            corrected.update(pair.cited)
    return Truth(
        {position: at for position, at in moved.items() if at != occurred[position]},
        frozenset(corrected),
    )
