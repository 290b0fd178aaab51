"""What the offices record while they are measured: made by their own deciders, in batches."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any

from services.city import reactor
from services.city.domain import beneficiary, handover, operation
from shared.contracts.messages import ArrivalAcknowledged
from shared.contracts.values import draw_person_code
from shared.kernel.decider import Command
from shared.kernel.handling import Handling, Unit

NOW = datetime(2019, 10, 4, 14, 30, tzinfo=timezone(timedelta(hours=8)))
OPERATION = "OP-UKUR"
BATCH_UNITS = 1_000
MANIFEST_PERSONS = 50
SEALED_BYTES = 180  # About what a sealed name, NIK and birth date come to.


def say(kind: type[Command], by: str = "petugas", **fields: Any) -> Command:
    return kind(by=by, now=NOW, occurred_at=NOW, **fields)


def opening() -> Command:
    return say(
        operation.OpenOperation,
        operation=OPERATION,
        name="Kegiatan untuk mengukur",
        site="53.71.01",
        planned_departure=date(2019, 10, 4),
        grant_rupiah=6_000_000,
        fare_floor_rupiah=1_500_000,
        fare_ceiling_rupiah=2_000_000,
    )


def registration(person: str) -> Command:
    return say(
        beneficiary.RegisterBeneficiary,
        person=person,
        operation=OPERATION,
        initials="AB",
        origin="35.78",
        birth_date=date(1990, 1, 2),
        sign_of_trafficking=False,
        destination="35",
        identity=base64.urlsafe_b64encode(os.urandom(SEALED_BYTES)).decode(),
    )


def willingness(person: str, statement: str = "SPK/1") -> Command:
    return say(beneficiary.GiveWillingness, person=person, statement=statement)


def drafting(id_: str) -> Command:
    return say(
        handover.DraftHandover,
        handover=id_,
        operation=OPERATION,
        receiving_office="35",
        planned_departure=date(2019, 10, 4),
        transport="Kapal contoh",
    )


def entry(id_: str, person: str) -> Command:
    return say(handover.AddEntry, handover=id_, person=person, initials="AB", origin="35.78")


def approval(id_: str) -> list[Command]:
    return [
        say(handover.SubmitHandover, handover=id_),
        say(
            handover.ApproveHandover,
            by="pengesah",
            handover=id_,
            signatory="kepala",
            deed_date=date(2019, 10, 4),
        ),
    ]


def issue(id_: str) -> Command:
    return say(handover.IssueHandover, handover=id_, deed_number=f"BAST/{id_}")


async def handle(
    handling: Handling, units: Sequence[Unit], actor: str = "petugas", batch: int = BATCH_UNITS
) -> None:
    """Handles all units in batches. Raises where one is refused: that would measure nothing."""
    for at in range(0, len(units), batch):
        outcome = await handling.handle(
            units[at : at + batch], at=NOW, actor=actor, correlation="ukur"
        )
        if outcome.refused:
            raise RuntimeError(f"refused: {outcome.refused[0]}")


async def approved(handling: Handling, number: int, persons: int = 3) -> list[str]:
    """Records handovers that only wait to be issued, each with a few people; gives their ids."""
    ids = [f"HO-{index}" for index in range(number)]
    units = [
        Unit(
            [
                drafting(id_),
                *(entry(id_, draw_person_code()) for _ in range(persons)),
                *approval(id_),
            ]
        )
        for id_ in ids
    ]
    await handle(handling, units)
    return ids


async def whole_operation(handling: Handling, persons: int) -> None:
    """Records an operation from intake to arrival: five events a person, a few a handover."""
    codes = [draw_person_code() for _ in range(persons)]
    manifests = [codes[at : at + MANIFEST_PERSONS] for at in range(0, persons, MANIFEST_PERSONS)]
    await handle(handling, [Unit([opening()])])
    await handle(handling, [Unit([registration(code), willingness(code)]) for code in codes])
    for index, manifest in enumerate(manifests):
        await handle(handling, [Unit(list(_until_departure(f"HO-{index}", manifest)))])
    for index, manifest in enumerate(manifests):
        arrivals = [Unit(_arrival(f"HO-{index}", code)) for code in manifest]
        await handle(handling, arrivals, actor="office:35")


def _until_departure(id_: str, manifest: Sequence[str]) -> Iterator[Command]:
    yield drafting(id_)
    for code in manifest:
        yield say(beneficiary.EnterHandover, person=code, handover=id_, destination="35")
        yield entry(id_, code)
    yield from approval(id_)
    yield issue(id_)
    yield say(handover.DepartHandover, handover=id_)


def _arrival(id_: str, person: str) -> Sequence[Command]:
    """What the city decides when the province answers: the same commands as over the link."""
    answer = ArrivalAcknowledged(handover=id_, person=person, outcome="arrived", at=NOW, answer=1)
    return reactor.react("35", answer, "office:35", NOW, NOW)
