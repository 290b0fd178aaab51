"""What staff do and see of custody in every office: look-ups, break-glass, holds, erasures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Literal

from psycopg.errors import QueryCanceled
from pydantic import Field, model_validator

from shared.contracts.values import Name, Nik, Sealed, Value, draw_id
from shared.custody import access, erasure, projection
from shared.kernel import asof, index
from shared.kernel.decider import Command
from shared.kernel.event import StoredEvent
from shared.kernel.handling import Unit
from shared.kernel.projector import recorded
from shared.kernel.vault import is_person, is_sealed
from shared.runtime import custody
from shared.runtime.audit.sums import NotDerived, derive
from shared.runtime.forms import Form, command_route
from shared.runtime.history import busy, snapshot
from shared.runtime.manifest import CommandRoute, Desk, Plan, Problem, ReadRoute, Service
from shared.runtime.papers import certificate
from shared.runtime.papers.paper import Paper
from shared.runtime.papers.record import Kind as PaperKind
from shared.runtime.papers.record import NotCovered
from shared.runtime.status import parse_time

Kind = Literal["city", "province"]
APPROVER = frozenset({"approver"})
AUDITOR = frozenset({"auditor"})
OVERSEERS = frozenset({"approver", "auditor", "admin"})
AT_THE_DESK: dict[str, frozenset[str]] = {
    "city": frozenset({"intake", "issuer"}),
    "province": frozenset({"reception", "case_worker"}),
}
"""Who meets people, and may therefore propose an erasure, or break the glass."""

LOOKING_UP: dict[str, frozenset[str]] = {
    "city": frozenset({"intake"}),
    "province": frozenset({"reception", "case_worker"}),
}
NOBODY = "PM-0000000000"
"""Asked about where nobody was found, so that a miss takes the steps of a hit."""

YEAR = timedelta(days=365)
CUSTODY = (projection.projection,)
PAPERS: tuple[PaperKind, ...] = (certificate.KIND,)
"""Custody's own kinds of paper, beside those of a service."""
EQUATIONS_EVENTS = 200_000
"""A longer log is folded by the command line alone: a request would take minutes."""


class LookupForm(Form):
    """An exact identity: her NIK, or her name with her birth date; and for what it is asked."""

    nik: Nik | None = None
    name: Name | None = None
    born: date | None = None
    purpose: access.Purpose

    @model_validator(mode="after")
    def _whole(self) -> LookupForm:
        by_name = self.name is not None and self.born is not None
        if (self.nik is not None) == by_name:
            raise ValueError("isi NIK, atau nama lengkap dengan tanggal lahir")
        return self


class ReviewForm(Form):
    finding: Literal["justified", "unjustified"]


async def look_up(desk: Desk, form: LookupForm, _: dict[str, str]) -> Plan:
    """One answer for who is not here and for whom the asker may not know; the same steps too."""
    if form.nik is not None:
        kind, text = index.NIK, form.nik
    else:
        kind, text = (
            index.NAME_AND_BIRTH,
            index.name_and_birth(form.name or "", form.born or date.min),
        )
    await desk.vault.keyring.refresh()
    digests = desk.vault.keyring.digests(kind, text.encode())
    async with desk.handling.store.pool.connection() as connection:
        cursor = await connection.execute(
            "select person from identity_index where digest = any(%s) order by person limit 10",
            (digests,),
        )
        hits = [str(row[0]) for row in await cursor.fetchall()]
    service: Service = desk.service
    allowed = [
        one
        for one in hits or [NOBODY]
        # Both are always asked.
        if await service.is_here(desk, one) & await service.may_find(desk, one)
    ]
    person = allowed[0] if hits and allowed else None
    command = desk.command(
        access.LookUpIdentity,
        staff=desk.staff.username,
        purpose=form.purpose,
        person=person,
    )
    return Plan([Unit([command])], {"person": person})


async def review(desk: Desk, form: ReviewForm, path: dict[str, str]) -> Plan:
    command = desk.command(
        access.ReviewBreakGlass, break_glass=path["break_glass"], finding=form.finding
    )
    return Plan([Unit([command])], dict(path))


async def _known(desk: Desk, command: Any) -> Sequence[Command]:
    async with desk.handling.store.pool.connection() as connection:
        if await desk.vault.known(connection, command.person):
            return []
    raise custody.is_unknown()


def commands(kind: Kind) -> tuple[CommandRoute, ...]:
    """The commands of custody at this kind of office."""
    desk = AT_THE_DESK[kind]
    person = "/beneficiaries/{person}"
    return (
        CommandRoute(
            "/lookups", "Cari menurut identitas", LOOKING_UP[kind], LookupForm, look_up, quiet=True
        ),
        command_route(
            f"{person}/break-glass",
            "Buka akses darurat atas satu orang",
            access.OpenBreakGlass,
            desk,
            draws={"break_glass": lambda: draw_id("BG")},
            before=_known,
        ),
        CommandRoute(
            "/break-glass/{break_glass}/review",
            "Tinjau akses darurat",
            AUDITOR,
            ReviewForm,
            review,
        ),
        command_route(
            f"{person}/erasure",
            "Usulkan penghapusan data",
            erasure.ProposeErasure,
            desk,
            draws={"erasure": lambda: draw_id("ER")},
            before=_known,
        ),
        command_route(
            f"{person}/erasure-approval",
            "Setujui penghapusan data",
            erasure.ApproveErasure,
            APPROVER,
        ),
        command_route(
            f"{person}/erasure-rejection",
            "Tolak usulan penghapusan",
            erasure.RejectErasure,
            APPROVER,
        ),
        command_route(
            f"{person}/hold",
            "Tahan data dari penghapusan",
            erasure.PlaceHold,
            APPROVER,
            before=_known,
        ),
        command_route(f"{person}/hold-end", "Akhiri penahanan", erasure.LiftHold, APPROVER),
    )


async def _erasures(desk: Desk, _: dict[str, str]) -> Any:
    return await projection.erasures(desk.reading)


async def _certificate(desk: Desk, path: dict[str, str]) -> Any:
    """Says who decided what and on what ground, and that every office has confirmed."""
    found = [
        one for one in await projection.erasures(desk.reading) if one["person"] == path["person"]
    ]
    if not found:
        return None
    if found[0]["state"] != "completed":
        raise Problem(
            409,
            "ERASURE_INCOMPLETE",
            "Penghapusan ini belum selesai di semua kantor.",
            "Lihat /erasures: kantor mana yang belum memastikan.",
        )
    head = await desk.handling.store.head()
    return found[0] | {
        "office": desk.settings.office,
        "office_name": desk.settings.office_name,
        "statement": certificate.STATEMENT,
        "log_size": head.size,
        "paper": await _on_paper(desk, path["person"]),
    }


async def _on_paper(desk: Desk, person: str) -> dict[str, Any] | None:
    """What the printed certificate says; nothing until a checkpoint covers it."""
    try:
        return await certificate.facts(desk.source, person)
    except NotCovered:
        return None


def _print_certificate(desk: Desk, found: dict[str, Any]) -> Paper:
    if found["paper"] is None:
        raise NotCovered(found["person"])
    return certificate.certificate(desk.settings, found["paper"])


async def _holds(desk: Desk, _: dict[str, str]) -> Any:
    return await projection.holds(desk.reading, desk.now.date())


async def _looks(desk: Desk, given: dict[str, str]) -> Any:
    before = parse_time(given["before"]).isoformat() if "before" in given else None
    return await projection.looks(
        desk.reading, subject=given.get("subject"), staff=given.get("by"), before=before
    )


async def _alarms(desk: Desk, _: dict[str, str]) -> Any:
    return await projection.alarms(desk.reading)


async def _break_glasses(desk: Desk, _: dict[str, str]) -> Any:
    return await projection.break_glasses(desk.reading)


async def _open_reasons(desk: Desk, found: list[dict[str, Any]]) -> Any:
    items = [(row["person"], "reason", row["reason"]) for row in found if row["reason"]]
    texts = iter(await custody.opened(desk, items))
    return [row | {"reason": next(texts) if row["reason"] else custody.ERASED} for row in found]


async def retention(desk: Desk, _: dict[str, str]) -> Any:
    """Whose affairs ended longer ago than data may be kept; a proposal, nothing is done."""
    before: datetime = desk.now - YEAR * desk.settings.retention_years
    decided = {one["person"] for one in await projection.erasures(desk.reading)}
    held = {one["person"] for one in await projection.holds(desk.reading, desk.now.date())}
    service: Service = desk.service
    return [
        row | {"held": row["person"] in held}
        for row in await service.retained(desk, before)
        if row["person"] not in decided
    ]


async def equations(desk: Desk, _: dict[str, str]) -> Any:
    """What must add up here, derived from the log anew at each asking."""
    too_long = Problem(
        503,
        "LOG_TOO_LONG",
        "Catatan kantor ini terlalu panjang untuk dihitung ulang di sini.",
        "Minta operator menjalankan `pulang audit equations`; hasilnya tampil pada Persamaan.",
    )
    if (await desk.handling.store.head()).size > EQUATIONS_EVENTS:
        raise too_long
    deadline = time.monotonic() + desk.settings.past_seconds
    try:
        async with snapshot(desk.reading):
            await asof.slot(desk.reading)
            office, types = desk.settings.office, desk.handling.types
            found = await derive(desk.reading, office, desk.service, types, deadline)
    except (QueryCanceled, asof.TooLong):
        raise too_long from None
    except asof.Busy:
        raise busy() from None
    except NotDerived:
        raise Problem(
            503,
            "LOG_NOT_DERIVED",
            "Persamaan tidak dapat dihitung dari catatan ini.",
            "Minta operator menjalankan `pulang audit verify`.",
        ) from None
    return found.document()


class _Texts(Value):
    """What one event holds sealed."""

    stream: str
    type: str
    subject: str
    texts: dict[str, Sealed] = Field(default_factory=dict)


async def texts(desk: Desk, path: dict[str, str]) -> Any:
    position = path["position"]
    if not (position.isascii() and position.isdigit() and len(position) <= 18):
        return None
    cursor = await desk.reading.execute(
        "select position, stream, version, type, body from events where position = %s",
        (int(position),),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    stored = StoredEvent(*row)
    event = recorded(stored, desk.handling.types).event
    person = getattr(event, "person", None)
    return _Texts(
        stream=stored.stream,
        type=stored.type,
        subject=person if isinstance(person, str) else stored.stream,
        texts={
            name: value
            for name, value in event.model_dump(mode="json").items()
            if isinstance(value, str) and is_sealed(value) and name != "identity"
        },
    )


async def open_texts(desk: Desk, found: _Texts) -> Any:
    category = found.stream.partition("-")[0]
    service: Service = desk.service
    if not service.texts.get(category, frozenset()) & desk.staff.roles:
        raise Problem(
            403,
            "ROLE_MISSING",
            "Peran Anda tidak mencakup catatan ini.",
            "Mintalah kepada petugas yang menanganinya.",
        )
    if is_person(found.subject) and not await service.may_read(desk, category, found.subject):
        raise Problem(
            403,
            "NOT_ASSIGNED",
            "Catatan ini milik petugas lain.",
            "Bila mendesak, buka akses darurat dengan alasannya.",
        )
    names = list(found.texts)
    said = await custody.opened(desk, [(found.subject, n, found.texts[n]) for n in names])
    return {"type": found.type, "texts": dict(zip(names, said, strict=True))}


def reads(service: Service) -> tuple[ReadRoute, ...]:
    """What is read of custody. Who opens free texts of which kind, the service says."""
    opening = frozenset(role for roles in service.texts.values() for role in roles)
    return (
        ReadRoute("/erasures", "Penghapusan data", OVERSEERS, _erasures, models=CUSTODY),
        ReadRoute(
            "/erasures/{person}/certificate",
            "Surat keterangan penghapusan",
            OVERSEERS,
            _certificate,
            paper=_print_certificate,
        ),
        ReadRoute("/holds", "Penahanan dari penghapusan", OVERSEERS, _holds, models=CUSTODY),
        ReadRoute("/equations", "Persamaan: orang dan rupiah", AUDITOR, equations),
        ReadRoute("/retention", "Yang masa simpannya lewat", OVERSEERS, retention),
        ReadRoute(
            "/looks",
            "Siapa melihat data siapa",
            AUDITOR,
            _looks,
            optional=("subject", "by", "before"),
            models=CUSTODY,
        ),
        ReadRoute(
            "/looks/alarms",
            "Pembukaan data yang tidak biasa",
            AUDITOR | APPROVER,
            _alarms,
            models=CUSTODY,
        ),
        ReadRoute(
            "/break-glass", "Akses darurat", AUDITOR | APPROVER, _break_glasses, models=CUSTODY
        ),
        ReadRoute(
            "/break-glass/reasons",
            "Alasan akses darurat",
            AUDITOR,
            _break_glasses,
            opens=_open_reasons,
        ),
        ReadRoute(
            "/events/{position}/texts",
            "Catatan tersegel dari satu kejadian",
            opening,
            texts,
            opens=open_texts,
        ),
    )
