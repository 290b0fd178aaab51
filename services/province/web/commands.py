"""The province's commands as staff send them. What belongs together stands or falls together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from services.province.domain import arrival, case, grant, house
from shared.contracts.values import (
    AbsenceReason,
    ArrivalOutcome,
    Identifier,
    Identity,
    Initials,
    Name,
    OfficeCode,
    Reason,
    draw_person_code,
)
from shared.custody import erasure
from shared.kernel.decider import Command
from shared.kernel.handling import Unit
from shared.runtime.forms import Form, command_route
from shared.runtime.manifest import CommandRoute, Desk, Plan, Problem

RECEPTION = frozenset({"reception"})
CASE_WORKER = frozenset({"case_worker"})
ADMIN = frozenset({"admin"})


class AnswerForm(Form):
    """This office's answer for one person; who arrives is admitted to a house."""

    outcome: ArrivalOutcome
    absence: AbsenceReason | None = None
    diverted_to: OfficeCode | None = None
    house: Identifier | None = None
    willing: bool | None = None
    override_reason: Reason | None = None


class CorrectionForm(AnswerForm):
    corrects: int
    reason: Reason


class UnlistedForm(Form):
    """Somebody who stands on no manifest: she gets a code, a bed, and a case all the same."""

    initials: Initials
    name: Name | None = None
    born: date | None = None
    house: Identifier
    willing: bool
    override_reason: Reason | None = None


class UnlistedCorrectionForm(Form):
    reason: Reason


async def announced(desk: Desk, key: str) -> tuple[arrival.State, arrival.HandoverExpected]:
    """What is expected of a handover, and what was answered. Raises Problem (409)."""
    state: arrival.State = await desk.state(arrival.decider, key)
    if state.expected is None:
        raise Problem(
            409,
            "ARRIVAL_UNKNOWN",
            "Serah terima ini belum diumumkan kepada kantor ini.",
            "Periksa kodenya, atau tanyakan kepada kota pengirim.",
        )
    return state, state.expected


async def acknowledge(desk: Desk, form: AnswerForm, path: dict[str, str]) -> Plan:
    state, expected = await announced(desk, path["handover"])
    commands = answering(desk, state, expected, path["person"], form)
    return Plan([Unit(commands)], {"handover": path["handover"], "person": path["person"]})


def answering(
    desk: Desk,
    state: arrival.State,
    expected: arrival.HandoverExpected,
    person: str,
    form: AnswerForm,
) -> list[Command]:
    """The answer, and with "arrived" her bed and her case in the same step (rules 5, 6, 9, 11)."""
    said = {"handover": expected.handover, "person": person}
    commands = [desk.command(arrival.AcknowledgeArrival, **said, **_outcome(form))]
    before = state.answers.get(person)
    if form.outcome == "arrived" and (before is None or before.outcome != "arrived"):
        commands += _settle(desk, expected, person, form.house, form.willing, form)
    return commands


async def correct(desk: Desk, form: CorrectionForm, path: dict[str, str]) -> Plan:
    """A wrong answer is replaced by a new one that cites it (rule 18)."""
    state, expected = await announced(desk, path["handover"])
    person = path["person"]
    before = state.answers.get(person)
    said = {"handover": path["handover"], "person": person}
    commands = [
        desk.command(
            arrival.CorrectAcknowledgement,
            **said,
            **_outcome(form),
            corrects=form.corrects,
            reason=form.reason,
        )
    ]
    if form.outcome == "arrived":
        if before is not None and before.outcome == "arrived":
            return Plan([Unit(commands)], dict(said))
        commands += _settle(desk, expected, person, form.house, form.willing, form)
    else:
        opened: case.State = await desk.state(case.decider, person)
        if opened.opened is not None and opened.opened.handover == path["handover"]:
            commands += [
                desk.command(case.CancelCase, person=person),
                desk.command(house.ReleasePerson, house=opened.opened.house, person=person),
            ]
    return Plan([Unit(commands)], dict(said))


async def unlisted(desk: Desk, form: UnlistedForm, path: dict[str, str]) -> Plan:
    _, expected = await announced(desk, path["handover"])
    person = draw_person_code()
    commands = [
        desk.command(
            arrival.AcknowledgeUnlisted,
            handover=path["handover"],
            person=person,
            identity=Identity(
                initials=form.initials, name=form.name, born=form.born
            ).model_dump_json(),
        ),
        *_settle(desk, expected, person, form.house, form.willing, form),
    ]
    return Plan([Unit(commands)], {"handover": path["handover"], "person": person})


async def correct_unlisted(desk: Desk, form: UnlistedCorrectionForm, path: dict[str, str]) -> Plan:
    """It did not occur: with it go the case and the bed that it had opened (rule 18)."""
    said = {"handover": path["handover"], "person": path["person"]}
    commands = [desk.command(arrival.CorrectUnlisted, **said, reason=form.reason)]
    state: case.State = await desk.state(case.decider, path["person"])
    if state.opened is not None and state.opened.handover == path["handover"]:
        commands += [
            desk.command(case.CancelCase, person=path["person"]),
            desk.command(house.ReleasePerson, house=state.opened.house, person=path["person"]),
        ]
    return Plan([Unit(commands)], dict(said))


def _outcome(form: AnswerForm) -> dict[str, Any]:
    return form.model_dump(include={"outcome", "absence", "diverted_to"})


def _settle(
    desk: Desk,
    expected: arrival.HandoverExpected,
    person: str,
    house_: str | None,
    willing: bool | None,
    form: AnswerForm | UnlistedForm,
) -> list[Command]:
    if house_ is None or willing is None:
        raise Problem(
            422,
            "HOUSE_AND_WILLINGNESS",
            "Untuk yang tiba, isi rumah singgahnya dan tanyakan lagi kesediaannya.",
            "Pilih rumah singgahnya, dan catat apakah ia masih bersedia.",
        )
    return [
        desk.command(
            house.AdmitPerson,
            house=house_,
            person=person,
            override_reason=form.override_reason,
        ),
        desk.command(
            case.OpenCase,
            person=person,
            city=expected.city,
            handover=expected.handover,
            house=house_,
            willing=willing,
        ),
    ]


async def _mine(desk: Desk, command: Any) -> Sequence[Command]:
    """A case is worked on by whom it is assigned to, and nobody else."""
    return [desk.command(case.RequireAssigned, person=command.person)]


async def _still_hers(desk: Desk, command: Any) -> Sequence[Command]:
    """The same, of what is written about her: nothing more once she was erased."""
    kept = desk.command(erasure.RequireNotErased, person=command.person)
    return [*await _mine(desk, command), kept]


async def _is_case_worker(desk: Desk, command: case.AssignCase) -> Sequence[Command]:
    async with desk.handling.store.pool.connection() as connection:
        cursor = await connection.execute(
            "select 1 from staff where username = %s and active and 'case_worker' = any(roles)",
            (command.worker,),
        )
        if await cursor.fetchone() is None:
            raise Problem(
                409,
                "WORKER_UNKNOWN",
                "Tidak ada pekerja sosial aktif dengan nama itu.",
                "Periksa nama penggunanya pada daftar petugas.",
            )
    return []


async def _free_bed(desk: Desk, command: Any) -> Sequence[Command]:
    state: case.State = await desk.state(case.decider, command.person)
    if state.opened is None:
        return []
    return [desk.command(house.ReleasePerson, house=state.opened.house, person=command.person)]


async def _capital(desk: Desk, command: case.ReturnToFamily) -> Sequence[Command]:
    """Home only with her business capital on her account (rule 19); her own word comes first."""
    return [
        desk.command(grant.RequireConfirmedGrant, person=command.person),
        *await _free_bed(desk, command),
    ]


COMMANDS: tuple[CommandRoute, ...] = (
    CommandRoute(
        "/arrivals/{handover}/entries/{person}/answer",
        "Jawab untuk satu orang: tiba, tidak tiba, dialihkan",
        RECEPTION,
        AnswerForm,
        acknowledge,
    ),
    CommandRoute(
        "/arrivals/{handover}/entries/{person}/correction",
        "Koreksi jawaban",
        RECEPTION,
        CorrectionForm,
        correct,
    ),
    CommandRoute(
        "/arrivals/{handover}/unlisted",
        "Catat yang tiba tanpa tercantum",
        RECEPTION,
        UnlistedForm,
        unlisted,
    ),
    CommandRoute(
        "/arrivals/{handover}/unlisted/{person}/correction",
        "Koreksi: kedatangan tanpa tercantum tidak terjadi",
        RECEPTION,
        UnlistedCorrectionForm,
        correct_unlisted,
    ),
    command_route(
        "/arrivals/{handover}/decline", "Tolak serah terima", arrival.DeclineHandover, RECEPTION
    ),
    command_route("/houses", "Catat rumah singgah", house.OpenHouse, ADMIN),
    command_route(
        "/beneficiaries/{person}/grant-confirmations",
        "Pastikan bantuan ada di rekeningnya",
        grant.ConfirmGrant,
        CASE_WORKER,
    ),
    command_route(
        "/beneficiaries/{person}/grant-disputes",
        "Nyatakan bantuan tidak ada di rekeningnya",
        grant.DisputeGrant,
        CASE_WORKER,
    ),
    command_route("/cases/{person}/taking", "Ambil kasus", case.TakeCase, CASE_WORKER),
    command_route(
        "/cases/{person}/assignment",
        "Tugaskan kasus kepada pekerja sosial",
        case.AssignCase,
        ADMIN,
        before=_is_case_worker,
    ),
    command_route(
        "/cases/{person}/assessment",
        "Catat asesmen",
        case.AssessPerson,
        CASE_WORKER,
        before=_still_hers,
    ),
    command_route(
        "/cases/{person}/offers",
        "Tawarkan diklat",
        case.OfferTrainings,
        CASE_WORKER,
        before=_still_hers,
    ),
    command_route(
        "/cases/{person}/choice",
        "Catat pilihannya",
        case.ChooseTrainings,
        CASE_WORKER,
        before=_still_hers,
    ),
    command_route(
        "/cases/{person}/completed-trainings",
        "Catat diklat yang selesai",
        case.CompleteTraining,
        CASE_WORKER,
        before=_still_hers,
    ),
    command_route(
        "/cases/{person}/readiness",
        "Nyatakan siap",
        case.DeclareReady,
        CASE_WORKER,
        before=_still_hers,
    ),
    command_route(
        "/cases/{person}/family-return",
        "Catat kembali ke keluarga",
        case.ReturnToFamily,
        CASE_WORKER,
        before=_mine,
        after=_capital,
    ),
    command_route(
        "/cases/{person}/family-decline",
        "Catat penolakan keluarga",
        case.RecordFamilyDecline,
        CASE_WORKER,
        before=_mine,
    ),
    command_route(
        "/cases/{person}/leaving",
        "Catat kepergian dari rumah singgah",
        case.LeaveHouse,
        CASE_WORKER,
        before=_mine,
        after=_free_bed,
    ),
    command_route(
        "/cases/{person}/follow-ups",
        "Catat pascalayanan",
        case.FollowUp,
        CASE_WORKER,
        before=_still_hers,
    ),
    command_route(
        "/cases/{person}/closing",
        "Tutup kasus",
        case.CloseCase,
        CASE_WORKER,
        before=_mine,
        after=_free_bed,
    ),
)
