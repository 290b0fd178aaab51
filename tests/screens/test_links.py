"""Every link of every page that a role can reach leads somewhere that this role may go."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from html import unescape
from urllib.parse import urlsplit

from shared.runtime.staff import ROLES_OF
from tests.screens.browser import HTML, Browser, signed_in
from tests.system import story
from tests.system.offices import Desk

CODE = re.compile(r"\b[A-Z]{2,3}-[A-Z0-9-]+|PM-\w+|\d[\d:T.+-]*")
MOST = 120


def kind(address: str) -> str:
    """What a link is, whoever and whatever it is about."""
    parts = urlsplit(address)
    names = sorted(one.partition("=")[0] for one in parts.query.split("&"))
    return CODE.sub("*", parts.path) + "?" + "&".join(names)


async def walked(browser: Browser) -> list[str]:
    """Follows one link of each kind, from today's page on; gives those that lead nowhere."""
    wrong, waits, known = [], [("/", "/")], {kind("/")}
    while waits:
        address, found_on = waits.pop(0)
        answer = await browser.http.get(address, headers=HTML)
        if answer.status_code not in (200, 303):
            wrong.append(f"{found_on} leads to {address}: {answer.status_code}")
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        for found in re.findall(r'<a\b[^>]*\shref="([^"#]+)', answer.text):
            there = unescape(found)
            there = f"{urlsplit(address).path}{there}" if there.startswith("?") else there
            if there.startswith("/") and kind(there) not in known:
                known.add(kind(there))
                waits.append((there, address))
    assert 3 < len(known) < MOST, sorted(known)
    return wrong


async def test_no_page_leads_anybody_where_she_may_not_go(
    city: Desk, province: Desk, stack: AsyncExitStack
) -> None:
    person = await story.arrived(city, province)
    rows = [story.intake_row(destination=None, willingness=None), story.intake_row()]
    others = await story.register(city, *rows)
    await story.draft(city, others[1:], "HO-2")
    credit = story.CREDIT | {"person": person, "reference": "KREDIT/1"}
    await city.post("treasurer", "/operations/OP-TEST/bank-file", {"rows": [credit]})
    await story.in_sync(city, province)
    wrong = []
    for desk in (city, province):
        for role in sorted(ROLES_OF[desk.office.service.kind]):
            browser = await stack.enter_async_context(signed_in(desk, f"seorang-{role}", role))
            wrong += [f"{role}: {one}" for one in await walked(browser)]
    assert wrong == []
