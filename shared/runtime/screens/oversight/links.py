"""The links with other offices: how far each is and what ails it, each message's delivery, and what
is parked with its reason.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from shared.kernel.projector import rows
from shared.runtime import deliveries, parking, status
from shared.runtime.manifest import Desk, Problem
from shared.runtime.office import Office
from shared.runtime.screens.oversight.looking_back import asked_for
from shared.runtime.screens.paging import PAGE_ROWS, offset_of, page_of
from shared.runtime.screens.screen import Loaded, Screen, Step

OPERATOR = frozenset({"operator"})
SEEING = frozenset({"operator", "auditor", "admin"})
ONLY_DISCARDED = ("UNREADABLE_SEAL", "UNREADABLE_FRAME", "UNTRUSTED_FRAME", "REPLAYED_FRAME")
"""Trying these again changes nothing: what was genuine comes again by itself."""


async def links(desk: Desk, _: dict[str, str]) -> Loaded:
    found = await status.status(desk.reading, desk.settings.partners)
    return {
        "found": found,
        "links": [one | {"troubles": list(_troubles(one, found, desk))} for one in found["links"]],
        "behind": [
            one
            for one in found["projections"]
            if one["lag"] < 0 or _long(one["waiting_since"], status.MODEL_WAIT, desk)
        ],
    }


def _troubles(link: dict[str, Any], found: dict[str, Any], desk: Desk) -> Any:
    """What is wrong with a link, by code; the page has the words."""
    if link["partner"] in found["untrusted"]:
        yield "untrusted"
    if _long(link["waiting_since"], status.LINK_WAIT, desk):
        yield "waiting"
    elif _long(link["heard_at"], status.SILENCE, desk):
        yield "silent"
    if link["forked"]:
        yield "forked"
    if link["forked_there"]:
        yield "forked_there"
    if link["witnessed_there"] > found["log"]["size"]:
        yield "behind"


def _long(since: Any, bound: timedelta, desk: Desk) -> bool:
    return since is not None and desk.now - since > bound


async def ledger(desk: Desk, given: dict[str, str]) -> Loaded:
    before = status.parse_position(given.get("sebelum", str(deliveries.NEWEST)), "sebelum")
    code = asked_for(given)
    partner = given.get("kantor") or None
    found = await deliveries.deliveries(
        desk.reading, desk.service, code, before, receiver=partner, most=PAGE_ROWS
    )
    kept = {name: given[name] for name in ("kantor", "kode") if given.get(name)}
    return {
        "messages": found,
        "partners": desk.settings.partners,
        "given": given,
        "kept": kept,
        "older": found[-1]["position"] if len(found) >= PAGE_ROWS else None,
    }


async def parked(desk: Desk, given: dict[str, str]) -> Loaded:
    found = await rows(
        desk.reading,
        "select id, sender, sequence, reason, detail, times, tries, parked_at,"
        " octet_length(raw) as bytes, count(*) over ()::int as of from parked"
        " where settled_at is null and (%(sender)s::text is null or sender = %(sender)s)"
        " order by id limit %(limit)s offset %(offset)s",
        sender=given.get("kantor") or None,
        limit=PAGE_ROWS,
        offset=offset_of(given),
    )
    return {
        "page": page_of(found, given, "kantor"),
        "given": given,
        "partners": desk.settings.partners,
        "only_discarded": ONLY_DISCARDED,
    }


async def retry(office: Office, desk: Desk, given: dict[str, str]) -> Loaded:
    """As `pulang parked retry`: what is applied now is what its sender sent, nothing else."""
    number = given.get("parked", "")
    if not (number.isascii() and number.isdigit() and len(number) <= status.POSITION_DIGITS):
        raise Problem(422, "INVALID_INPUT", "Nomor pesan tidak terbaca.", "Muat ulang halaman.")
    try:
        applied, left = await parking.retry(office, [int(number)], desk.staff.username)
    except parking.NotParked:
        raise Problem(
            409,
            "NOT_PARKED",
            "Pesan ini tidak tertahan lagi.",
            "Muat ulang halaman: sudah ada yang menyelesaikannya.",
        ) from None
    return {"preview": {"number": int(number), "applied": len(applied), "left": left}}


LINKS = Screen("/tautan", "oversight_links.html", SEEING, links, menu="Tautan")
LEDGER = Screen(
    "/tautan/pesan",
    "oversight_ledger.html",
    SEEING,
    ledger,
    optional=("kantor", "kode", "sebelum"),
)
PARKED = Screen(
    "/tautan/tertahan",
    "oversight_parked.html",
    SEEING,
    parked,
    steps={"retry": Step(OPERATOR, retry)},
    optional=("kantor", "halaman"),
)
