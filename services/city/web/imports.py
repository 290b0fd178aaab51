"""Imports at the city: intake of many people, the bank's file, releases and fares as rows."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from services.city.domain import advance, bank, beneficiary, grant, operation
from services.city.web.commands import INTAKE, TREASURER
from shared.contracts.values import (
    Account,
    Identifier,
    Identity,
    Initials,
    Name,
    Nik,
    OfficeCode,
    PersonCode,
    PositiveRupiah,
    Reason,
    Reference,
    RegionCode,
    Value,
    draw_person_code,
    nik_birth_date,
)
from shared.kernel.handling import Unit
from shared.runtime.manifest import CommandRoute, Desk, Plan, Problem
from shared.runtime.rows import Import, check_rows

_DAY_FIRST = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})", re.ASCII)
_YEAR_FIRST = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _written_day(value: Any) -> Any:
    """The second of January as `2/1/1990`, as Indonesian spreadsheets save it, or `1990-01-02`.

    Never month first, and never a bare number, which may count days or seconds.
    """
    if isinstance(value, date):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if found := _DAY_FIRST.fullmatch(text):
        day, month, year = found.groups()
        text = f"{year}-{month:0>2}-{day:0>2}"
    if not _YEAR_FIRST.fullmatch(text):
        raise ValueError("bukan tanggal; tulis hari/bulan/tahun, misalnya 4/10/2019")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("tanggal ini tidak ada; urutannya hari/bulan/tahun") from None


Day = Annotated[date, BeforeValidator(_written_day)]


class IntakeRow(Value):
    """One person at intake. Who she is is sealed at once; but her initials all is optional."""

    initials: Initials
    origin: RegionCode
    birth_date: Day
    sign_of_trafficking: bool
    destination: OfficeCode | None = None
    willingness: Reference | None = None
    name: Name | None = None
    nik: Nik | None = None
    contact: Name | None = None
    account: Account | None = None

    @model_validator(mode="after")
    def _nik_matches(self) -> IntakeRow:
        if self.birth_date > date.today():  # noqa: DTZ011 — a date of birth has no time zone
            raise ValueError("tanggal lahir berada di masa depan")
        if self.nik and nik_birth_date(self.nik, date.today()) != self.birth_date:  # noqa: DTZ011
            raise ValueError("NIK tidak cocok dengan tanggal lahirnya")
        return self

    def identity(self) -> str:
        """What is sealed of this row, as JSON."""
        return Identity(
            initials=self.initials,
            born=self.birth_date,
            name=self.name,
            nik=self.nik,
            contact=self.contact,
            account=self.account,
        ).model_dump_json()


class CreditRow(Value):
    """One line of the bank's file."""

    person: PersonCode
    reference: Reference
    status: Literal["credited", "failed", "returned"]
    amount_rupiah: PositiveRupiah
    credited_on: Day
    replaces: Reference | None = None
    reason: Reason | None = None


class ReleaseRow(Value):
    person: PersonCode
    release: Reference
    budget_code: Reference
    amount_rupiah: PositiveRupiah


class FareRow(Value):
    """One ticket and its receipt (kuitansi)."""

    person: PersonCode
    receipt: Reference
    amount_rupiah: PositiveRupiah
    override_reason: Reason | None = None


async def _operation(desk: Desk, key: Identifier) -> operation.OperationOpened:
    state: operation.State = await desk.state(operation.decider, key)
    if state.opened is None:
        raise Problem(
            409,
            "OPERATION_UNKNOWN",
            "Kegiatan pemulangan ini belum dibuka.",
            "Periksa kode kegiatan, atau buka kegiatannya lebih dahulu.",
        )
    return state.opened


async def register(desk: Desk, form: Import, path: dict[str, str]) -> Plan:
    """Intake: each row becomes one person with a code of her own, drawn here."""
    opened = await _operation(desk, path["operation"])
    rows, errors = check_rows(IntakeRow, form.rows, partial=form.partial)
    codes = [draw_person_code() for _ in rows]
    units = []
    for code, (_, row) in zip(codes, rows, strict=True):
        commands = [
            desk.command(
                beneficiary.RegisterBeneficiary,
                person=code,
                operation=opened.operation,
                origin=row.origin,
                birth_date=row.birth_date,
                sign_of_trafficking=row.sign_of_trafficking,
                destination=row.destination,
                identity=row.identity(),
            )
        ]
        if row.willingness is not None:
            commands.append(
                desk.command(beneficiary.GiveWillingness, person=code, statement=row.willingness)
            )
        units.append(Unit(commands))
    numbers = [number for number, _ in rows]
    unlinked = {row.destination for _, row in rows if row.destination} - {*desk.settings.partners}
    return Plan(
        units,
        # Nobody is turned away for where her home is; whoever sent her is told at once.
        {"operation": opened.operation} | ({"unlinked": sorted(unlinked)} if unlinked else {}),
        not form.partial,
        numbers,
        errors,
        [{"row": n, "person": code} for n, code in zip(numbers, codes, strict=True)],
    )


async def import_bank_file(desk: Desk, form: Import, path: dict[str, str]) -> Plan:
    """The bank's file; sent again it changes nothing (rule 15)."""
    opened = await _operation(desk, path["operation"])
    rows, errors = check_rows(CreditRow, form.rows, partial=form.partial)
    units = []
    for _, row in rows:
        commands = [
            desk.command(
                beneficiary.RequireBeneficiary, person=row.person, operation=opened.operation
            ),
            desk.command(bank.UseReference, reference=row.reference, person=row.person),
        ]
        reason = row.reason or "Menurut berkas bank"
        if row.status == "credited":
            what = desk.command(
                grant.DisburseGrant,
                person=row.person,
                operation=opened.operation,
                reference=row.reference,
                amount_rupiah=row.amount_rupiah,
                credited_on=row.credited_on,
                entitlement_rupiah=opened.grant_rupiah,
                replaces=row.replaces,
            )
        elif row.status == "failed":
            what = desk.command(
                grant.FailGrant, person=row.person, reference=row.reference, reason=reason
            )
        else:
            what = desk.command(
                grant.ReturnGrant,
                person=row.person,
                reference=row.reference,
                amount_rupiah=row.amount_rupiah,
                returned_on=row.credited_on,
                reason=reason,
            )
        units.append(Unit([*commands, what]))
    numbers = [number for number, _ in rows]
    return Plan(units, {"operation": opened.operation}, not form.partial, numbers, errors)


async def release_advances(desk: Desk, form: Import, path: dict[str, str]) -> Plan:
    """Travel money released per person, under the operation's ceiling for one fare."""
    opened = await _operation(desk, path["operation"])
    rows, errors = check_rows(ReleaseRow, form.rows, partial=form.partial)
    units = [
        Unit(
            [
                desk.command(
                    beneficiary.RequireBeneficiary, person=row.person, operation=opened.operation
                ),
                desk.command(
                    advance.ReleaseAdvance,
                    person=row.person,
                    operation=opened.operation,
                    release=row.release,
                    budget_code=row.budget_code,
                    amount_rupiah=row.amount_rupiah,
                    ceiling_rupiah=opened.fare_ceiling_rupiah,
                ),
            ]
        )
        for _, row in rows
    ]
    numbers = [number for number, _ in rows]
    return Plan(units, {"operation": opened.operation}, not form.partial, numbers, errors)


async def record_fares(desk: Desk, form: Import, path: dict[str, str]) -> Plan:
    """The tickets of many people, each with its receipt; sent again they change nothing."""
    opened = await _operation(desk, path["operation"])
    rows, errors = check_rows(FareRow, form.rows, partial=form.partial)
    units = [
        Unit(
            [
                desk.command(
                    beneficiary.RequireBeneficiary, person=row.person, operation=opened.operation
                ),
                desk.command(advance.RecordFare, **row.model_dump()),
            ]
        )
        for _, row in rows
    ]
    numbers = [number for number, _ in rows]
    return Plan(units, {"operation": opened.operation}, not form.partial, numbers, errors)


IMPORTS: tuple[CommandRoute, ...] = (
    CommandRoute(
        "/operations/{operation}/beneficiaries",
        "Daftarkan penerima manfaat",
        INTAKE,
        IntakeRow,
        register,
        is_import=True,
    ),
    CommandRoute(
        "/operations/{operation}/bank-file",
        "Impor berkas bank bantuan",
        TREASURER,
        CreditRow,
        import_bank_file,
        is_import=True,
    ),
    CommandRoute(
        "/operations/{operation}/advances",
        "Cairkan panjar tiket",
        TREASURER,
        ReleaseRow,
        release_advances,
        is_import=True,
    ),
    CommandRoute(
        "/operations/{operation}/fares",
        "Catat tiket dan kuitansi banyak orang",
        TREASURER,
        FareRow,
        record_fares,
        is_import=True,
    ),
)
