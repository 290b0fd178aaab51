"""What the city's staff read: board, handovers, ledgers."""

from __future__ import annotations

from typing import Any

from services.city.projections import board, handovers, ledger
from shared.runtime.manifest import Desk, ReadRoute

STAFF = frozenset({"intake", "issuer", "approver", "treasurer", "auditor"})


async def _operations(desk: Desk, _: dict[str, str]) -> Any:
    return await board.operations(desk.reading)


async def _board(desk: Desk, path: dict[str, str]) -> Any:
    more = await ledger.findings(desk.reading, path["operation"])
    return await board.board(desk.reading, path["operation"], more)


async def _persons(desk: Desk, path: dict[str, str]) -> Any:
    return await board.persons(desk.reading, path["operation"])


async def _handovers(desk: Desk, _: dict[str, str]) -> Any:
    return await handovers.handovers(desk.reading)


async def _handover(desk: Desk, path: dict[str, str]) -> Any:
    return await handovers.one(desk.reading, path["handover"])


async def _ledger(desk: Desk, path: dict[str, str]) -> Any:
    return await ledger.ledger(desk.reading, path["operation"])


READS: tuple[ReadRoute, ...] = (
    ReadRoute("/operations", "Kegiatan pemulangan", STAFF, _operations),
    ReadRoute("/operations/{operation}/board", "Papan kegiatan", STAFF, _board),
    ReadRoute("/operations/{operation}/beneficiaries", "Di mana mereka", STAFF, _persons),
    ReadRoute("/handovers", "Serah terima", STAFF, _handovers),
    ReadRoute("/handovers/{handover}", "Satu serah terima", STAFF, _handover),
    ReadRoute(
        "/operations/{operation}/ledger",
        "Buku rupiah: bantuan dan tiket",
        frozenset({"treasurer", "approver", "auditor"}),
        _ledger,
    ),
)
