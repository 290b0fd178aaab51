"""The board's picture: from all who are enumerated to each destination, and to where they are.

A drawing of numbers alone, in SVG without script or style, so that it prints and needs nothing.
Beside it stands the same as a table; nothing is told by the picture only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HEIGHT = 320
GAP = 26
WIDTH = 14
COLUMNS = (0, 280, 560)
ORDER = (
    "assigned", "departed", "arrived", "returned_to_family", "closed", "diverted", "absent",
    "withdrawn", "unlisted", "undetermined",
)  # fmt: skip


@dataclass(frozen=True)
class Bar:
    """One number: of whom (`destination`, `state`), where it is drawn."""

    destination: str | None
    state: str | None
    persons: int
    x: int
    y: float
    height: float
    width: int = WIDTH

    @property
    def middle(self) -> float:
        return round(self.y + self.height / 2, 1)


@dataclass(frozen=True)
class Stream:
    """People from one bar to another, as an SVG path."""

    path: str


@dataclass(frozen=True)
class Flow:
    bars: Sequence[Bar]
    streams: Sequence[Stream]
    height: int


def flow(groups: Sequence[Mapping[str, Any]]) -> Flow | None:
    """The picture of a board's `by_destination`; None while nobody is enumerated."""
    total = sum(group["persons"] for group in groups)
    if not total:
        return None
    by_destination: dict[str, int] = {}
    by_state: dict[str, int] = {}
    for group in groups:
        by_destination[group["destination"]] = (
            by_destination.get(group["destination"], 0) + group["persons"]
        )
        by_state[group["state"]] = by_state.get(group["state"], 0) + group["persons"]
    destinations = sorted(by_destination, key=lambda one: (one == "undetermined", one))
    states = sorted(by_state, key=ORDER.index)
    scale = HEIGHT / total
    whole = Bar(None, None, total, COLUMNS[0], 0, HEIGHT)
    middle = _column(COLUMNS[1], [(one, None, by_destination[one]) for one in destinations], scale)
    right = _column(COLUMNS[2], [(None, one, by_state[one]) for one in states], scale)
    at_whole, leaving, entering = 0.0, {}, {}
    streams = []
    for bar in middle:
        streams.append(_stream(whole, at_whole, bar, bar.y, bar.height))
        at_whole += bar.height
        leaving[bar.destination] = bar.y
    for bar in right:
        entering[bar.state] = bar.y
    for destination in destinations:
        for state in states:
            persons = sum(
                group["persons"]
                for group in groups
                if (group["destination"], group["state"]) == (destination, state)
            )
            if not persons:
                continue
            size = persons * scale
            source = next(bar for bar in middle if bar.destination == destination)
            target = next(bar for bar in right if bar.state == state)
            streams.append(_stream(source, leaving[destination], target, entering[state], size))
            leaving[destination] += size
            entering[state] += size
    bottom = max(bar.y + bar.height for bar in (whole, *middle, *right))
    return Flow((whole, *middle, *right), streams, round(bottom) + GAP)


def _column(
    x: int, counts: Sequence[tuple[str | None, str | None, int]], scale: float
) -> list[Bar]:
    bars, y = [], 0.0
    for destination, state, persons in counts:
        height = persons * scale
        bars.append(Bar(destination, state, persons, x, round(y, 1), round(height, 1)))
        y += max(height, GAP) + GAP / 2
    return bars


def _stream(source: Bar, from_y: float, target: Bar, to_y: float, size: float) -> Stream:
    left, right = source.x + WIDTH, target.x
    bend = (left + right) / 2
    top = f"M{left} {from_y:.1f}C{bend} {from_y:.1f} {bend} {to_y:.1f} {right} {to_y:.1f}"
    low, high = from_y + size, to_y + size
    return Stream(f"{top}V{high:.1f}C{bend} {high:.1f} {bend} {low:.1f} {left} {low:.1f}Z")
