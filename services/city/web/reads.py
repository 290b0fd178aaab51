"""What the city's staff read: board, handovers, ledgers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from services.city.documents import deed, treasury
from services.city.domain import beneficiary
from services.city.projections import board, handovers, holdings, ledger
from shared.contracts.messages import GrantDisbursed, HandoverIssued, Message
from shared.runtime import custody
from shared.runtime.files import Opened
from shared.runtime.history import PLAIN
from shared.runtime.manifest import Acknowledged, Desk, Problem, ReadRoute
from shared.runtime.papers.paper import Paper
from shared.runtime.papers.record import Kind, Source

FIELDS = ("initials", "name", "nik", "born", "contact", "account")
IDENTITY = {
    "intake": FIELDS,
    "issuer": ("initials", "name", "nik", "born"),
    "treasurer": ("name", "account"),
}
"""What of an identity each role needs: the deed's annex names her, the treasurer pays her."""

MEETING = frozenset(IDENTITY)
TEXTS = {
    "beneficiary": frozenset({"intake"}),
    "handover": frozenset({"issuer", "approver"}),
    "grant": frozenset({"treasurer", "approver"}),
    "advance": frozenset({"treasurer", "approver"}),
    "operation": frozenset({"issuer", "approver", "auditor"}),
    "custody": frozenset({"approver"}),
}
"""Who may open the free texts of which streams."""

BOARD, HANDOVERS, LEDGER = (board.projection,), (handovers.projection,), (ledger.projection,)
STAFF = frozenset({"intake", "issuer", "approver", "treasurer", "auditor"})


async def _operations(desk: Desk, _: dict[str, str]) -> Any:
    return await board.operations(desk.reading)


async def _board(desk: Desk, path: dict[str, str]) -> Any:
    more = await ledger.findings(desk.reading, path["operation"])
    return await board.board(desk.reading, path["operation"], more)


async def _persons(desk: Desk, given: dict[str, str]) -> Any:
    return await board.persons(
        desk.reading, given["operation"], given.get("state"), given.get("destination")
    )


async def _identity(desk: Desk, path: dict[str, str]) -> Any:
    return await board.person(desk.reading, path["person"])


async def _open_identity(desk: Desk, found: dict[str, Any]) -> Any:
    """As much of her identity as the asker's role needs; who is protected, only by break-glass."""
    person = found["person"]
    protected = not await may_find(desk, person)
    glass = await custody.glass(desk, person) if protected else None
    if protected and glass is None:
        raise is_protected()
    fields = [f for f in FIELDS if any(f in IDENTITY[role] for role in desk.staff.roles & MEETING)]
    return {"person": person} | await custody.identity(
        desk, person, found["identity"], fields, glass
    )


def is_protected() -> Problem:
    return Problem(
        403,
        "PROTECTED",
        "Ia berada di jalur perlindungan; datanya tidak dibuka di sini.",
        "Bila mendesak, buka akses darurat dengan alasannya.",
    )


async def is_here(desk: Desk, person: str) -> bool:
    state: beneficiary.State = await desk.state(beneficiary.decider, person)
    return state.registered is not None


async def may_find(desk: Desk, person: str) -> bool:
    """A look-up tells nobody of who is on the protection path."""
    state: beneficiary.State = await desk.state(beneficiary.decider, person)
    return not state.protected


async def may_read(desk: Desk, category: str, person: str) -> bool:
    """What was written about somebody on the protection path needs break-glass."""
    return await may_find(desk, person) or await custody.glass(desk, person) is not None


async def retained(desk: Desk, before: datetime) -> list[dict[str, Any]]:
    return await board.ended(desk.reading, before)


async def acknowledged(
    connection: AsyncConnection[Any], messages: Sequence[tuple[str, Mapping[str, Any]]]
) -> list[Acknowledged | None]:
    """A handover by the answers for its people, a credit by the receiver's word about it."""

    def data_of(kind: type[Message]) -> list[Any]:
        return [message["data"] for _, message in messages if message["type"] == kind.type]

    handed_over = await handovers.answered(
        connection, [data["handover"] for data in data_of(HandoverIssued)]
    )
    credited = await ledger.answered(
        connection, [(data["person"], data["reference"]) for data in data_of(GrantDisbursed)]
    )

    def answer_to(receiver: str, type_: str, data: Mapping[str, Any]) -> Acknowledged | None:
        if type_ == HandoverIssued.type and data["handover"] in handed_over:
            return Acknowledged(*handed_over[data["handover"]])
        if type_ == GrantDisbursed.type:
            by, at = credited.get((data["person"], data["reference"]), (None, None))
            return Acknowledged(1, 1, at) if by == receiver else Acknowledged(0, 1, None)
        return None

    return [answer_to(receiver, one["type"], one["data"]) for receiver, one in messages]


async def _handovers(desk: Desk, _: dict[str, str]) -> Any:
    return await handovers.handovers(desk.reading)


async def _handover(desk: Desk, path: dict[str, str]) -> Any:
    return await handovers.one(desk.reading, path["handover"])


async def _ledger(desk: Desk, path: dict[str, str]) -> Any:
    return await ledger.ledger(desk.reading, path["operation"])


async def _grants(desk: Desk, given: dict[str, str]) -> Any:
    return await holdings.grants(desk.reading, given["operation"], given.get("state"))


async def _advances(desk: Desk, given: dict[str, str]) -> Any:
    return await holdings.advances(desk.reading, given["operation"], given.get("state"))


async def _credits(desk: Desk, path: dict[str, str]) -> Any:
    return await ledger.credits(desk.reading, path["operation"])


async def _movements(desk: Desk, path: dict[str, str]) -> Any:
    return await ledger.movements(desk.reading, path["operation"])


async def _treasury_returns(desk: Desk, path: dict[str, str]) -> Any:
    return await ledger.treasury_returns(desk.reading, path["operation"])


async def _authorities(desk: Desk, _: dict[str, str]) -> Any:
    return await handovers.authorities(desk.reading)


def _entries(found: dict[str, Any]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = found["entries"]
    return entries


async def _deed(desk: Desk, path: dict[str, str]) -> Any:
    return await deed.facts(desk.source, path["handover"])


async def _annex(desk: Desk, path: dict[str, str]) -> Any:
    return await deed.facts(desk.source, path["handover"], deed.ANNEX)


async def _open_annex(desk: Desk, found: dict[str, Any]) -> Any:
    """Everybody on the manifest as one look; who is protected since stays closed here."""
    sealed: dict[str, str | None] = found.pop("sealed")
    closed = {person: text for person, text in sealed.items() if await may_find(desk, person)}
    opened = await custody.identities(desk, closed, deed.FIELDS)
    return found | {
        "identities": {
            person: opened.get(person, dict.fromkeys(deed.FIELDS) | {"name": PROTECTED})
            for person in sealed
        }
    }


PROTECTED = "(jalur perlindungan)"


async def _report(desk: Desk, path: dict[str, str]) -> Any:
    return await treasury.report_facts(desk.source, path["operation"])


async def _sts(desk: Desk, given: dict[str, str]) -> Any:
    """The draft of what is still to be paid back, or one that was recorded."""
    if "sts" in given:
        return await treasury.sts_facts(desk.source, given["operation"], given["sts"])
    return await treasury.draft_facts(desk.source, given["operation"])


def _file_erased() -> Problem:
    return Problem(
        409,
        "FILE_ERASED",
        "Berkas ini sudah dihapus bersama datanya.",
        "Nomor dan jumlah kuitansinya tetap tercatat.",
    )


async def _receipt_file(desk: Desk, given: dict[str, str]) -> Any:
    return await holdings.receipt_file(desk.reading, given["person"], given.get("receipt", ""))


async def _open_receipt_file(desk: Desk, found: dict[str, Any]) -> Any:
    """A ticket names her: who is protected, only by break-glass."""
    person, kind, sealed = found["person"], found["file_kind"], found["sealed"]
    protected = not await may_find(desk, person)
    glass = await custody.glass(desk, person) if protected else None
    if protected and glass is None:
        raise is_protected()
    if kind == ledger.ERASED or await custody.erased(desk, [person]):
        raise _file_erased()
    if sealed is None:
        raise Problem(
            409,
            "FILE_LOST",
            "Berkas ini tidak ada lagi di penyimpanan kantor ini.",
            "Lampirkan lagi dari lembar aslinya, dan beri tahu operator.",
        )
    content = await custody.opened_file(desk, person, "receipt_file", bytes(sealed), glass)
    if content is None:
        raise _file_erased()
    return Opened(kind, content)


def _print_deed(desk: Desk, found: dict[str, Any]) -> Paper:
    return deed.deed(desk.settings.office_name, found)


def _print_annex(desk: Desk, found: dict[str, Any]) -> Paper:
    purpose = PLAIN[desk.purpose or "deed_annex"]
    return deed.annex(desk.settings.office_name, found, desk.staff.username, purpose)


def _print_report(desk: Desk, found: dict[str, Any]) -> Paper:
    return treasury.report(desk.settings.office_name, found)


def _print_sts(desk: Desk, found: dict[str, Any]) -> Paper:
    return treasury.sts(desk.settings.office_name, found)


async def evidence(source: Source, subject: str) -> dict[str, Paper]:
    """The deed of a handover, if it has one; its annex is nobody's evidence."""
    try:
        found = await deed.facts(source, subject)
    except Problem:
        return {}
    return {"bast.pdf": deed.deed(source.settings.office_name, found)} if found else {}


PAPERS: tuple[Kind, ...] = (
    deed.KIND, deed.ANNEX, treasury.REPORT, treasury.DRAFT, treasury.STS,
)  # fmt: skip
MONEY = frozenset({"treasurer", "approver", "auditor"})

READS: tuple[ReadRoute, ...] = (
    ReadRoute("/operations", "Kegiatan pemulangan", STAFF, _operations, models=BOARD),
    ReadRoute(
        "/operations/{operation}/board", "Papan kegiatan", STAFF, _board, models=BOARD + LEDGER
    ),
    ReadRoute(
        "/operations/{operation}/beneficiaries",
        "Di mana mereka",
        STAFF,
        _persons,
        optional=("state", "destination"),
        models=BOARD,
    ),
    ReadRoute(
        "/beneficiaries/{person}/identity",
        "Identitas satu orang",
        MEETING,
        _identity,
        opens=_open_identity,
    ),
    ReadRoute("/handovers", "Serah terima", STAFF, _handovers, models=HANDOVERS),
    ReadRoute(
        "/handovers/{handover}",
        "Satu serah terima",
        STAFF,
        _handover,
        models=HANDOVERS,
        table=_entries,
    ),
    ReadRoute(
        "/authorities",
        "Kewenangan menandatangani",
        STAFF | {"admin"},
        _authorities,
        models=HANDOVERS,
    ),
    ReadRoute(
        "/operations/{operation}/grants",
        "Bantuan tiap orang, menurut keadaan",
        MONEY,
        _grants,
        optional=("state",),
        models=LEDGER,
    ),
    ReadRoute(
        "/operations/{operation}/credits", "Tiap kredit bantuan", MONEY, _credits, models=LEDGER
    ),
    ReadRoute(
        "/operations/{operation}/advances",
        "Panjar tiket tiap orang, menurut keadaan",
        MONEY,
        _advances,
        optional=("state",),
        models=LEDGER,
    ),
    ReadRoute(
        "/operations/{operation}/movements",
        "Tiap pencairan, kuitansi dan setoran",
        MONEY,
        _movements,
        models=LEDGER,
    ),
    ReadRoute(
        "/beneficiaries/{person}/receipt-file",
        "Berkas satu kuitansi",
        TEXTS["advance"],
        _receipt_file,
        optional=("receipt",),
        needs=("receipt",),
        opens=_open_receipt_file,
        file=True,
    ),
    ReadRoute(
        "/operations/{operation}/treasury-returns",
        "STS yang tercatat",
        MONEY,
        _treasury_returns,
        models=LEDGER,
    ),
    ReadRoute(
        "/operations/{operation}/ledger",
        "Buku rupiah: bantuan dan tiket",
        MONEY,
        _ledger,
        models=LEDGER,
    ),
    ReadRoute(
        "/handovers/{handover}/deed",
        "Naskah BAST dengan daftar nominatif",
        STAFF,
        _deed,
        paper=_print_deed,
    ),
    ReadRoute(
        "/handovers/{handover}/deed/identities",
        "Lampiran identitas BAST, tersegel",
        frozenset({"issuer"}),
        _annex,
        opens=_open_annex,
        paper=_print_annex,
    ),
    ReadRoute(
        "/operations/{operation}/expenditure-report",
        "Laporan pertanggungjawaban belanja tiket",
        MONEY,
        _report,
        models=LEDGER,
        paper=_print_report,
    ),
    ReadRoute(
        "/operations/{operation}/treasury-return",
        "STS, atau rancangannya",
        MONEY,
        _sts,
        optional=("sts",),
        paper=_print_sts,
    ),
)
