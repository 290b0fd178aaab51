"""What each screen of the city weighs, and how long the server takes for it, among many people.

    python -m benchmarks.screens [--persons 100000]

Twenty operations, a fifth of the people in handovers, a tenth arrived. Each screen is asked for as
a browser's own page asks (so that it comes compressed), one request after the other: in process,
and by uvicorn on the loopback address. Beside it stands the page for a new password, which asks
only who is signed in: what every page costs here and now, so that the ratio says what is ours.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI

from benchmarks import story
from benchmarks.__main__ import machine
from benchmarks.places import Places, start_places
from shared.contracts.values import draw_person_code
from shared.kernel.handling import Unit
from shared.runtime import assets, sessions, staff
from shared.runtime.forms import path_names
from shared.runtime.office import Office
from shared.runtime.serve import Server
from shared.runtime.web import make_app

OPERATIONS = 20
IN_HANDOVERS, ARRIVED = 5, 2
"""Every fifth is in a handover; of every second handover all have arrived."""
REQUESTS = 40
EMPTY = "/kata-sandi"
ASKED_BY_A_PAGE = {
    "Accept": "text/html",
    "Accept-Encoding": "gzip",
    "Sec-Fetch-Site": "same-origin",
}
MORE = {
    "/kegiatan/{operation}/orang": ("?tujuan=35&keadaan=assigned", "?halaman=80", "?cari={person}"),
    "/serah-terima": ("?tahap=departed&halaman=3",),
    "/serah-terima/{handover}/pilih": ("?semua=ya",),
}
"""Screens that are also asked with a question."""


async def fill(office: Office, persons: int) -> dict[str, str]:
    """Records the people and projects them; gives an example of what stands in braces."""
    each = persons // OPERATIONS
    example: dict[str, str] = {}
    for number in range(OPERATIONS):
        of = f"OP-{number:02}"
        codes = [draw_person_code() for _ in range(each)]
        await story.handle(office.handling, [Unit([story.opening(of)])])
        await story.handle(
            office.handling,
            [Unit([story.registration(c, of=of), story.willingness(c)]) for c in codes],
        )
        going = codes[: each // IN_HANDOVERS]
        for at in range(0, len(going), story.MANIFEST_PERSONS):
            id_, manifest = f"HO-{number:02}-{at}", going[at : at + story.MANIFEST_PERSONS]
            await story.handle(
                office.handling, [Unit(list(story.until_departure(id_, manifest, of)))]
            )
            example = {"operation": of, "handover": id_, "person": manifest[0]}
            if at // story.MANIFEST_PERSONS % ARRIVED == 0:
                await story.handle(
                    office.handling,
                    [Unit(story.arrival(id_, code)) for code in manifest],
                    actor="office:35",
                )
    draft = story.drafting("HO-DRAFT", example["operation"])
    await story.handle(office.handling, [Unit([draft])])
    await asyncio.gather(*(_project(office, number) for number in range(len(office.projectors))))
    async with office.pool.connection() as connection:
        await connection.execute("analyze")
    return example


async def _project(office: Office, number: int) -> None:
    while await office.projectors[number].step():
        pass


async def signed_in(office: Office, name: str, *roles: str) -> str:
    """A session's cookie."""
    await staff.add_staff(
        office.pool, name, frozenset(roles), "kata sandi untuk mengukur", kind="city",
        wrap=office.keyring,
    )  # fmt: skip
    account = await staff.by_username(office.pool, name)
    begun = await sessions.begin(office.pool, account, office.clock()) if account else None
    if begun is None:
        raise RuntimeError("no session")
    return f"{sessions.COOKIE}={begun.token}"


def addresses(office: Office, example: dict[str, str]) -> list[tuple[str, str, frozenset[str]]]:
    """Each screen's name, an address of it and its roles; those without an example are said."""
    found, unknown = [], []
    for screen in office.service.screens:
        if not path_names(screen.path) <= set(example):
            unknown.append(screen.path)
            continue
        values = example | ({"handover": "HO-DRAFT"} if screen.path.endswith("/pilih") else {})
        for query in ("", *MORE.get(screen.path, ())):
            name = screen.path + query
            found.append((name, name.format_map(values), screen.roles))
    if unknown:
        print(f"Not measured, for want of an example: {', '.join(unknown)}\n")
    return found


@asynccontextmanager
async def _served(app: FastAPI) -> AsyncIterator[str]:
    server = Server(uvicorn.Config(app, port=0, lifespan="off", log_level="error"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


async def p95(http: httpx.AsyncClient, address: str, cookie: str) -> tuple[float, float, int]:
    """Median and p95 in ms, and the bytes of an answer's body as it is sent."""
    times, size = [], 0
    for number in range(REQUESTS + 3):
        started = time.perf_counter()
        async with http.stream("GET", address, headers={"Cookie": cookie}) as answer:
            raw = [chunk async for chunk in answer.aiter_raw()]
        if answer.status_code != 200:
            raise RuntimeError(f"{address}: {answer.status_code}")
        if number >= 3:  # The first ones load templates and plans.
            times.append((time.perf_counter() - started) * 1000)
        size = sum(map(len, raw))
    return statistics.median(times), statistics.quantiles(times, n=20)[-1], size


async def measure(places: Places, persons: int) -> None:
    async with places.office("53.71", "35") as office:
        started = time.monotonic()
        example = await fill(office, persons)
        events = (await office.store.head()).size
        print(f"{persons:,} people, {events:,} events, loaded in", end=" ")
        print(f"{time.monotonic() - started:.0f} s\n")
        cookies: dict[str, str] = {}
        for role in ("issuer", "approver", "intake", "treasurer", "auditor", "admin"):
            cookies[role] = await signed_in(office, role, role)
        app = make_app(lambda: None, office.service, with_worker=False, body_bytes=100_000)
        app.state.office, app.state.worker = office, None
        in_process = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://o", headers=ASKED_BY_A_PAGE
        )
        print("| screen | as | bytes sent | plain | median ms | p95 ms | by uvicorn, p95 | ratio |")
        print("|---|---|--:|--:|--:|--:|--:|--:|")
        async with (
            in_process as asgi,
            _served(app) as base,
            httpx.AsyncClient(base_url=base, headers=ASKED_BY_A_PAGE, timeout=60) as wire,
        ):
            empty, _, _ = await p95(asgi, EMPTY, cookies["issuer"])
            for name, address, roles in [
                (EMPTY, EMPTY, frozenset({"issuer"})),
                *addresses(office, example),
            ]:
                for role in [one for one in cookies if one in roles][:2]:
                    median, worst, size = await p95(asgi, address, cookies[role])
                    _, by_wire, _ = await p95(wire, address, cookies[role])
                    headers = {"Cookie": cookies[role], "Sec-Fetch-Site": "none"}
                    plain = len((await asgi.get(address, headers=headers)).content)
                    print(
                        f"| `{name}` | {role} | {size:,} | {plain:,} | {median:.0f} | {worst:.0f}"
                        f" | {by_wire:.0f} | {median / empty:.1f} |",
                        flush=True,
                    )
            for name in ("pulang.css", "pulang.js"):
                async with asgi.stream("GET", assets.address(name)) as answer:
                    size = sum([len(chunk) async for chunk in answer.aiter_raw()])
                print(f"| `{name}`, once | | {size:,} | | | | | |")


def main() -> None:
    logging.disable(logging.ERROR)
    parser = argparse.ArgumentParser(description=re.split(r"\n\n", __doc__ or "")[0])
    parser.add_argument("--persons", type=int, default=100_000)
    with start_places() as places:
        print(machine(places), end="; ")
        asyncio.run(measure(places, parser.parse_args().persons))


if __name__ == "__main__":
    main()
