"""The city's commands as staff send them. What belongs together stands or falls together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from services.city.domain import (
    advance,
    authority,
    beneficiary,
    deed,
    grant,
    handover,
    operation,
    treasury,
)
from shared.contracts.values import PersonCode, Reason, Reference, draw_id
from shared.custody import erasure
from shared.kernel.decider import Command
from shared.kernel.handling import Unit
from shared.runtime import custody
from shared.runtime.files import FileForm
from shared.runtime.forms import Form, command_route
from shared.runtime.manifest import CommandRoute, Desk, Plan, Problem

INTAKE = frozenset({"intake"})
ISSUER = frozenset({"issuer"})
APPROVER = frozenset({"approver"})
TREASURER = frozenset({"treasurer"})
ADMIN = frozenset({"admin"})


class EntriesForm(Form):
    """People to put on a draft's manifest."""

    persons: tuple[PersonCode, ...] = Field(min_length=1, max_length=1_000)
    partial: bool = False


class WillingnessWithdrawalForm(Form):
    reason: Reason | None = None


class ReceiptFileForm(FileForm):
    """The scanned paper of a receipt; `reason` says why the one before was wrong."""

    receipt: Reference
    reason: Reason | None = None


async def add_entries(desk: Desk, form: EntriesForm, path: dict[str, str]) -> Plan:
    """Each person enters the handover and its manifest in one step (rules 2, 8, 9)."""
    draft: handover.State = await desk.state(handover.decider, path["handover"])
    if draft.drafted is None:
        raise Problem(
            409,
            "HANDOVER_UNKNOWN",
            "Serah terima ini tidak ada.",
            "Buat rancangannya lebih dahulu.",
        )
    people = await desk.states(beneficiary.decider, form.persons)
    units = [
        Unit(_entry_commands(desk, draft.drafted, person, people[person]))
        for person in form.persons
    ]
    return Plan(units, {"handover": path["handover"]}, all_or_nothing=not form.partial)


def _entry_commands(
    desk: Desk, drafted: handover.HandoverDrafted, person: str, state: beneficiary.State
) -> list[Command]:
    kept = desk.command(erasure.RequireNotErased, person=person)
    enter = desk.command(
        beneficiary.EnterHandover,
        person=person,
        handover=drafted.handover,
        destination=drafted.receiving_office,
    )
    registered = state.registered
    if registered is None:
        return [kept, enter]
    require_same_operation(registered, drafted)
    add = desk.command(
        handover.AddEntry,
        handover=drafted.handover,
        person=person,
        origin=registered.origin,
        identity=registered.identity,
    )
    return [kept, enter, add]


def require_same_operation(
    registered: beneficiary.BeneficiaryRegistered, drafted: handover.HandoverDrafted
) -> None:
    if registered.operation != drafted.operation:
        raise Problem(
            409,
            "ANOTHER_OPERATION",
            f"{registered.person} terdaftar pada kegiatan {registered.operation}.",
            "Masukkan ia ke serah terima kegiatannya sendiri.",
        )


async def withdraw_willingness(
    desk: Desk, form: WillingnessWithdrawalForm, path: dict[str, str]
) -> Plan:
    """She takes her willingness back, and with it leaves the manifest she is on (rule 9)."""
    person = path["person"]
    state: beneficiary.State = await desk.state(beneficiary.decider, person)
    withdraw = desk.command(
        beneficiary.WithdrawWillingness,
        person=person,
        handover=state.handover,
        reason=form.reason,
    )
    reason = "Kesediaan ditarik oleh yang bersangkutan"
    return Plan(
        [Unit([withdraw, *await _off_manifest(desk, state.handover, person, reason)])],
        {"person": person},
    )


async def show_protection_path(desk: Desk, form: Form, path: dict[str, str]) -> Plan:
    """A sign of trafficking: she leaves every manifest and is handed over no more (rule 12)."""
    person = path["person"]
    state: beneficiary.State = await desk.state(beneficiary.decider, person)
    show = desk.command(beneficiary.ShowProtectionPath, person=person, handover=state.handover)
    reason = "Dialihkan ke jalur perlindungan"
    off = await _off_manifest(desk, state.handover, person, reason)
    if state.handover is not None:
        on_her_way: handover.State = await desk.state(handover.decider, state.handover)
        if on_her_way.departed_at is not None or person in on_her_way.answers.given:
            # She has left: the path is shown all the same; her arrival is the receiver's to say.
            off = []
    return Plan([Unit([*await _not_erased(desk, show), show, *off])], {"person": person})


async def _off_manifest(
    desk: Desk, handover_: str | None, person: str, reason: str
) -> Sequence[Command]:
    if handover_ is None:
        return []
    withdraw = desk.command(
        handover.WithdrawEntry, handover=handover_, person=person, reason=reason
    )
    return [withdraw, *await _leaving(desk, handover_, [person])]


async def _not_erased(desk: Desk, command: Any) -> Sequence[Command]:
    return [desk.command(erasure.RequireNotErased, person=command.person)]


async def _leaving(
    desk: Desk, handover_: str, persons: Sequence[str] | None = None
) -> Sequence[Command]:
    """These people, or all, leave the handover; its receiver hears no more of their grants."""
    state: handover.State = await desk.state(handover.decider, handover_)
    if state.drafted is None:
        return []
    office = state.drafted.receiving_office
    return [
        command
        for person in (state.entries if persons is None else persons)
        # Whom the receiver has answered for is where it says, whatever is withdrawn here.
        if person not in state.answers.given
        for command in (
            desk.command(
                beneficiary.LeaveHandover, person=person, handover=handover_, cause="withdrawn"
            ),
            desk.command(grant.StopSharingGrant, person=person, office=office, handover=handover_),
        )
    ]


async def _one_leaves(desk: Desk, command: handover.WithdrawEntry) -> Sequence[Command]:
    return await _leaving(desk, command.handover, [command.person])


async def _all_leave(desk: Desk, command: handover.WithdrawHandover) -> Sequence[Command]:
    return await _leaving(desk, command.handover)


async def _authority(desk: Desk, command: handover.ApproveHandover) -> Sequence[Command]:
    """The signatory's authority is checked at the date of the deed (rule 7)."""
    return [
        desk.command(authority.ExerciseAuthority, signatory=command.signatory, on=command.deed_date)
    ]


async def _hand_over(desk: Desk, command: handover.IssueHandover) -> Sequence[Command]:
    """Its number is no other's; nobody is handed over who was received already; the receiver learns
    of the grants.
    """
    state: handover.State = await desk.state(handover.decider, command.handover)
    if state.drafted is None or state.phase != "approved":
        # A repetition, or about to be refused: nobody is shared anew.
        return []
    office = state.drafted.receiving_office
    number = desk.command(
        # In capitals: a register doesn't tell them apart.
        deed.UseDeedNumber,
        deed_number=command.deed_number.upper(),
        handover=command.handover,
    )
    return [
        number,
        *await _all_still_here(desk, command),
        *(
            desk.command(grant.ShareGrant, person=person, office=office, handover=command.handover)
            for person in state.entries
        ),
    ]


async def _all_still_here(desk: Desk, command: Any) -> Sequence[Command]:
    state: handover.State = await desk.state(handover.decider, command.handover)
    return [
        desk.command(beneficiary.RequireNotReceived, person=person)
        for person in state.entries
        if person not in state.answers.given
    ]


async def _known_operation(desk: Desk, command: Any) -> Sequence[Command]:
    return [desk.command(operation.RequireOperation, operation=command.operation)]


async def _linked_office(desk: Desk, command: handover.DraftHandover) -> Sequence[Command]:
    if command.receiving_office not in desk.settings.partners:
        raise Problem(
            409,
            "OFFICE_NOT_LINKED",
            f"Kantor {command.receiving_office} tidak terhubung dengan kantor ini.",
            "Periksa kode kantornya, atau minta operator membuat hubungannya.",
        )
    more = list(await _known_operation(desk, command))
    if command.predecessor is not None:
        more.append(desk.command(handover.RequireHandover, handover=command.predecessor))
    return more


async def _surplus(desk: Desk, command: treasury.RecordTreasuryReturn) -> Sequence[Command]:
    """Each person's share leaves her advance in the same step as the STS is recorded."""
    return [
        desk.command(
            advance.ReturnSurplus,
            person=share.person,
            operation=command.operation,
            sts=command.sts,
            amount_rupiah=share.amount_rupiah,
        )
        for share in command.shares
    ]


async def attach_receipt(desk: Desk, form: ReceiptFileForm, path: dict[str, str]) -> Plan:
    file = await custody.sealed_file(desk, path["person"], form.file)
    attach = desk.command(
        advance.AttachReceipt,
        person=path["person"],
        receipt=form.receipt,
        media_type=form.media_type,
        size_bytes=len(form.file),
        sha256=file.sha256,
        reason=form.reason,
    )
    return Plan([Unit([attach], files=[file])], path | {"receipt": form.receipt})


COMMANDS: tuple[CommandRoute, ...] = (
    command_route(
        "/operations",
        "Buka kegiatan pemulangan",
        operation.OpenOperation,
        ISSUER,
        draws={"operation": lambda: draw_id("OP")},
    ),
    command_route(
        "/operations/{operation}/claims",
        "Catat angka yang dinyatakan, dengan sumbernya",
        operation.DeclareTotal,
        ISSUER,
    ),
    command_route(
        "/operations/{operation}/explanations",
        "Jelaskan selisih",
        operation.ExplainDiscrepancy,
        APPROVER,
    ),
    command_route(
        "/authorities", "Catat kewenangan menandatangani", authority.ConferAuthority, ADMIN
    ),
    command_route("/authority-ends", "Catat berakhirnya kewenangan", authority.EndAuthority, ADMIN),
    CommandRoute(
        "/beneficiaries/{person}/protection-path",
        "Tunjukkan jalur perlindungan",
        INTAKE,
        Form,
        show_protection_path,
    ),
    command_route(
        "/beneficiaries/{person}/destination",
        "Tentukan tujuan",
        beneficiary.DetermineDestination,
        INTAKE,
        before=_not_erased,
    ),
    command_route(
        "/beneficiaries/{person}/willingness",
        "Catat surat pernyataan kesediaan",
        beneficiary.GiveWillingness,
        INTAKE,
        before=_not_erased,
    ),
    CommandRoute(
        "/beneficiaries/{person}/willingness-withdrawal",
        "Catat penarikan kesediaan",
        INTAKE,
        WillingnessWithdrawalForm,
        withdraw_willingness,
    ),
    command_route(
        "/handovers",
        "Rancang serah terima",
        handover.DraftHandover,
        ISSUER,
        draws={"handover": lambda: draw_id("HO")},
        before=_linked_office,
    ),
    CommandRoute(
        "/handovers/{handover}/entries",
        "Tambahkan orang ke daftar nominatif",
        ISSUER,
        EntriesForm,
        add_entries,
    ),
    command_route(
        "/handovers/{handover}/entries/{person}/withdrawal",
        "Tarik satu orang sebelum keberangkatan",
        handover.WithdrawEntry,
        ISSUER,
        after=_one_leaves,
    ),
    command_route("/handovers/{handover}/submission", "Ajukan", handover.SubmitHandover, ISSUER),
    command_route(
        "/handovers/{handover}/return",
        "Kembalikan kepada penyusun",
        handover.ReturnHandover,
        APPROVER,
    ),
    command_route(
        "/handovers/{handover}/approval",
        "Sahkan",
        handover.ApproveHandover,
        APPROVER,
        before=_authority,
    ),
    command_route(
        "/handovers/{handover}/issue",
        "Terbitkan BAST",
        handover.IssueHandover,
        ISSUER,
        after=_hand_over,
    ),
    command_route(
        "/handovers/{handover}/departure",
        "Catat keberangkatan",
        handover.DepartHandover,
        ISSUER,
        after=_all_still_here,
    ),
    command_route(
        "/handovers/{handover}/departure-correction",
        "Koreksi: keberangkatan tidak terjadi",
        handover.CorrectDeparture,
        ISSUER,
    ),
    command_route(
        "/handovers/{handover}/withdrawal",
        "Tarik seluruh serah terima",
        handover.WithdrawHandover,
        ISSUER,
        after=_all_leave,
    ),
    command_route("/handovers/{handover}/closing", "Tutup", handover.CloseHandover, ISSUER),
    command_route(
        "/beneficiaries/{person}/fares",
        "Catat harga tiket dan kuitansinya",
        advance.RecordFare,
        TREASURER,
    ),
    command_route(
        "/beneficiaries/{person}/fare-corrections",
        "Koreksi harga tiket",
        advance.CorrectFare,
        TREASURER,
    ),
    CommandRoute(
        "/beneficiaries/{person}/receipt-files",
        "Lampirkan berkas kuitansi",
        TREASURER,
        ReceiptFileForm,
        attach_receipt,
    ),
    command_route(
        "/beneficiaries/{person}/grant-failures",
        "Catat kredit yang gagal",
        grant.FailGrant,
        TREASURER,
    ),
    command_route(
        "/beneficiaries/{person}/grant-returns",
        "Catat kredit yang dikembalikan",
        grant.ReturnGrant,
        TREASURER,
    ),
    command_route(
        "/treasury-returns",
        "Catat STS",
        treasury.RecordTreasuryReturn,
        TREASURER,
        before=_known_operation,
        after=_surplus,
    ),
)
