"""The eraser: carries out what was decided, in the worker.

It begins only what is decided, on the log and not on a read model. Then the keys are destroyed, and
the epoch that wrapped them; only then is it recorded, and asked of the offices that received
anything about her. Killed at any line it begins again: destroying twice destroys once.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from shared.custody import erasure
from shared.custody.projection import due
from shared.kernel.handling import Handling, Unit
from shared.kernel.rotation import finish, rotate
from shared.kernel.vault import Vault

ACTOR = "worker"


class Eraser:
    """`step` carries out all that is due, in one key epoch."""

    def __init__(self, handling: Handling, vault: Vault) -> None:
        self._handling = handling
        self._vault = vault
        self._finished = False

    async def step(self, now: datetime) -> int:
        """Erases; gives the number of persons."""
        keyring = self._vault.keyring
        if not self._finished:
            # A rotation that was killed left an old epoch alive.
            await finish(keyring)
            self._finished = True
        async with keyring.pool.connection() as connection:
            persons = await due(connection, now)
        persons = await self._begun(persons, now)
        if not persons:
            return 0
        self._finished = False
        async with keyring.pool.connection() as connection, connection.transaction():
            subjects = [s for person in persons for s in await self._subjects(connection, person)]
            await self._vault.destroy(connection, subjects)
        epoch = await rotate(keyring)
        self._finished = True
        units = [
            Unit(
                [
                    erasure.ExecuteErasure(
                        by=ACTOR,
                        now=now,
                        occurred_at=now,
                        person=person,
                        epoch=epoch,
                        offices=await self._told(person),
                    )
                ]
            )
            for person in persons
        ]
        await self._handling.handle(
            units, at=now, actor=ACTOR, cause=f"erasure-{epoch}", all_or_nothing=False
        )
        return len(persons)

    async def _begun(self, persons: list[str], now: datetime) -> list[str]:
        """Whose erasure has begun: it was decided here, or ordered by who dealt with her."""
        states = await self._handling.states(erasure.decider, persons)
        persons = [
            person
            for person, state in states.items()
            if state.executed is None
            and (state.approved or await self._dealt_with(person, list(state.ordered)))
        ]
        units = [
            Unit([erasure.BeginErasure(by=ACTOR, now=now, occurred_at=now, person=person)])
            for person in persons
        ]
        if not units:
            return []
        outcome = await self._handling.handle(
            units, at=now, actor=ACTOR, cause="erasure", all_or_nothing=False
        )
        refused = {one.index for one in outcome.refused}
        return [person for n, person in enumerate(persons) if n not in refused]

    async def _dealt_with(self, person: str, offices: list[str]) -> bool:
        """Whether one of these offices and this one had told each other of her before.

        An order from any other is nobody's to give: it waits for a decision of this office.
        """
        async with self._vault.keyring.pool.connection() as connection:
            cursor = await connection.execute(
                "select exists (select from (select receiver as office, body from outbox"
                " union all select sender, body from inbox) as said where office = any(%s)"
                " and position(%s in body) > 0 and position('pulang.erasure.' in body) = 0)",
                (offices, f'"{person}"'.encode()),
            )
            return await cursor.fetchone() == (True,)

    async def _subjects(self, connection: AsyncConnection[Any], person: str) -> list[str]:
        """Her own key, and those of papers that name her: their free texts may name her too."""
        cursor = await connection.execute(
            "select distinct e.stream from person_keys k join events e on e.stream = k.subject"
            " where k.wrapped is not null and k.subject not like 'PM-%%'"
            " and position(%s in e.body) > 0",
            (f'"{person}"'.encode(),),
        )
        return [person, *(str(row[0]) for row in await cursor.fetchall())]

    async def _told(self, person: str) -> tuple[str, ...]:
        """The offices that any message about her went to, from this office's own store."""
        async with self._vault.keyring.pool.connection() as connection:
            cursor = await connection.execute(
                "select distinct receiver from outbox where position(%s in body) > 0 order by 1",
                (f'"{person}"'.encode(),),
            )
            return tuple(str(row[0]) for row in await cursor.fetchall())
