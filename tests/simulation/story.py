"""A read model made for the simulation: of each stream, how many events it has, and the last.

The product's own read models need PostgreSQL; the projector that keeps this one is the product's.
Each event counts up, so that one that is applied twice, or not at all, shows.
"""

from __future__ import annotations

from collections.abc import Iterator

from shared.kernel.projector import Projection, Recorded, Statement

NAME = "story"
TOLD = (
    "insert into story values (%(stream)s, 1, %(position)s)"
    " on conflict (stream) do update set events = story.events + 1, position = excluded.position"
)


def apply(recorded: Recorded) -> Iterator[Statement]:
    yield TOLD, {"stream": recorded.stream, "position": recorded.position}


projection = Projection(
    NAME,
    1,
    "create table story (stream text primary key, events integer not null,"
    " position bigint not null)",
    apply,
)
