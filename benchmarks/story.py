"""What the offices record while they are measured: made by their own deciders, in batches.

Where a person's data is opened again, to be sealed for another office, it is sealed under her own
key as intake does it; elsewhere bytes of the same length stand for it.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any

from services.city import reactor
from services.city.domain import beneficiary, handover, operation
from shared.contracts.messages import ArrivalAcknowledged
from shared.contracts.values import Identity, draw_person_code
from shared.kernel import index
from shared.kernel.decider import Command
from shared.kernel.handling import Handling, Unit
from shared.kernel.vault import SCHEME
from shared.runtime.office import Office

NOW = datetime(2019, 10, 4, 14, 30, tzinfo=timezone(timedelta(hours=8)))
OPERATION = "OP-UKUR"
BATCH_UNITS = 1_000
MANIFEST_PERSONS = 50
SEALED_BYTES = 180  # About what a sealed name, NIK and birth date come to.
WHO = Identity(initials="AB", born=date(1990, 1, 2), name="Contoh Ukur", nik="3578010201900001")


def say(kind: type[Command], by: str = "petugas", **fields: Any) -> Command:
    return kind(by=by, now=NOW, occurred_at=NOW, **fields)


def opening(of: str = OPERATION) -> Command:
    return say(
        operation.OpenOperation,
        operation=of,
        name="Kegiatan untuk mengukur",
        site="53.71.01",
        planned_departure=date(2019, 10, 4),
        grant_rupiah=6_000_000,
        fare_floor_rupiah=1_500_000,
        fare_ceiling_rupiah=2_000_000,
    )


def registration(person: str, identity: str | None = None, of: str = OPERATION) -> Command:
    return say(
        beneficiary.RegisterBeneficiary,
        person=person,
        operation=of,
        origin="35.78",
        birth_date=date(1990, 1, 2),
        sign_of_trafficking=False,
        destination="35",
        identity=identity or as_if_sealed(),
    )


def as_if_sealed() -> str:
    return SCHEME + base64.urlsafe_b64encode(os.urandom(SEALED_BYTES)).decode()


async def intake(office: Office, persons: Sequence[str]) -> list[Unit]:
    """A request of intake: each person sealed, and looked up by from then on, as in production."""
    texts, keys, lines = await index.seal(office.vault, [(code, WHO) for code in persons])
    return [
        Unit([registration(code, text), willingness(code)], "", [keys[code]], lines[code])
        for code, text in zip(persons, texts, strict=True)
    ]


def willingness(person: str, statement: str = "SPK/1") -> Command:
    return say(beneficiary.GiveWillingness, person=person, statement=statement)


def drafting(id_: str, of: str = OPERATION) -> Command:
    return say(
        handover.DraftHandover,
        handover=id_,
        operation=of,
        receiving_office="35",
        planned_departure=date(2019, 10, 4),
        transport="Kapal contoh",
    )


def entry(id_: str, person: str, identity: str | None = None) -> Command:
    return say(
        handover.AddEntry,
        handover=id_,
        person=person,
        origin="35.78",
        identity=identity or as_if_sealed(),
    )


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
        outcome = await handling.handle(units[at : at + batch], at=NOW, actor=actor, cause="ukur")
        if outcome.refused:
            raise RuntimeError(f"refused: {outcome.refused[0]}")


async def approved(office: Office, number: int, persons: int = 3) -> list[str]:
    """Records handovers that only wait to be issued, each with a few people; gives their ids."""
    ids = [f"HO-{at}" for at in range(number)]
    codes = [[draw_person_code() for _ in range(persons)] for _ in ids]
    sealed, keys = await office.vault.seal(
        [(code, WHO.model_dump_json()) for manifest in codes for code in manifest]
    )
    texts = iter(sealed)
    of_person = {key.subject: key for key in keys}
    units = [
        Unit(
            [
                drafting(id_),
                *(entry(id_, code, next(texts)) for code in manifest),
                *approval(id_),
            ],
            keys=[of_person[code] for code in manifest],
        )
        for id_, manifest in zip(ids, codes, strict=True)
    ]
    await handle(office.handling, units)
    return ids


async def whole_operation(handling: Handling, persons: int) -> None:
    """Records an operation from intake to arrival: five events a person, a few a handover."""
    codes = [draw_person_code() for _ in range(persons)]
    manifests = [codes[at : at + MANIFEST_PERSONS] for at in range(0, persons, MANIFEST_PERSONS)]
    await handle(handling, [Unit([opening()])])
    await handle(handling, [Unit([registration(code), willingness(code)]) for code in codes])
    for at, manifest in enumerate(manifests):
        await handle(handling, [Unit(list(until_departure(f"HO-{at}", manifest)))])
    for at, manifest in enumerate(manifests):
        arrivals = [Unit(arrival(f"HO-{at}", code)) for code in manifest]
        await handle(handling, arrivals, actor="office:35")


def until_departure(id_: str, manifest: Sequence[str], of: str = OPERATION) -> Iterator[Command]:
    yield drafting(id_, of)
    for code in manifest:
        yield say(beneficiary.EnterHandover, person=code, handover=id_, destination="35")
        yield entry(id_, code)
    yield from approval(id_)
    yield issue(id_)
    yield say(handover.DepartHandover, handover=id_)


def arrival(id_: str, person: str) -> Sequence[Command]:
    """What the city decides when the province answers: the same commands as over the link."""
    answer = ArrivalAcknowledged(handover=id_, person=person, outcome="arrived", at=NOW, answer=1)
    return reactor.react("35", answer, "office:35", NOW, NOW, {})
