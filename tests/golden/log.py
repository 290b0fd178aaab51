"""The golden documents as an office's log: what reads it, and how it is restored to a database."""

from __future__ import annotations

from typing import Any

import psycopg

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.custody.projection import projection as custody_projection
from shared.kernel.event import EventTypes
from shared.kernel.projector import Projection
from tests.golden.documents import DECIDERS, Golden, standing

SERVICES = {"city": CITY, "province": PROVINCE}


def log_of(kind: str) -> list[Golden]:
    """An office's log: its own events, and custody's."""
    return [*standing(kind), *standing("custody")]


def types_of(kind: str) -> EventTypes:
    return EventTypes([*DECIDERS[kind], *DECIDERS["custody"]])


def projections_of(kind: str) -> tuple[Projection, ...]:
    return (*SERVICES[kind].projections, custody_projection)


def restore(owner: psycopg.Connection[Any], goldens: list[Golden]) -> None:
    for position, golden in enumerate(goldens, 1):
        document = golden.document
        owner.execute(
            "insert into events values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                position,
                document["subject"],
                document["streamversion"],
                document["id"],
                document["type"],
                document["time"],
                document["recordedtime"],
                document["actor"],
                document["correlationid"],
                golden.body,
            ),
        )
    owner.execute("update log_head set size = %s", (len(goldens),))
