"""Runs every measurement and prints one table, as Markdown, so that it can be kept in the docs."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import time
from collections.abc import Iterator, Sequence

import psycopg
import redis

from benchmarks import appending, crossing, rebuilding
from benchmarks.measure import Row, Trips
from benchmarks.places import Places, start_places

PARTS = (appending, crossing, rebuilding)


async def measure(places: Places) -> tuple[list[Row], list[Trips]]:
    rows: list[Row] = []
    trips: list[Trips] = []
    for part in PARTS:
        rows += await part.measure(places)
        trips += await part.count(places)
    return rows, trips


def table(rows: Sequence[Row]) -> Iterator[str]:
    yield "| what | Pulang | raw loop | ratio | the raw loop is |"
    yield "|---|--:|--:|--:|---|"
    for row in rows:
        figures = (f"{_figure(value)} {row.unit}" for value in (row.ours, row.raw))
        yield f"| {row.name} | {' | '.join(figures)} | {row.ratio:.2f} | {row.raw_is} |"


def trips_table(trips: Sequence[Trips]) -> Iterator[str]:
    yield "| one step | statements | waits for an answer |"
    yield "|---|--:|--:|"
    for one in trips:
        yield f"| {one.name} | {one.statements:g} | {one.round_trips:g} |"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def machine(places: Places) -> str:
    with psycopg.connect(places.servers.database_url("postgres")) as connection:
        version = connection.info.server_version // 10_000
        [fsync] = connection.execute("show fsync").fetchone() or ["?"]
    client = redis.Redis.from_url(places.servers.redis_url)
    valkey = client.info("server").get("valkey_version", "?")
    client.close()
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, PostgreSQL {version}"
        f" (fsync {fsync}), Valkey {valkey}, Unix sockets"
    )


def main() -> None:
    # A subscriber that is stopped while it reads says so as an error. A real failure shows all
    # the same: whatever does not arrive runs into a deadline.
    logging.disable(logging.ERROR)
    started = time.monotonic()
    with start_places() as places:
        print(machine(places), end="\n\n", flush=True)
        rows, trips = asyncio.run(measure(places))
    for line in (*table(rows), "", *trips_table(trips)):
        print(line)
    print(f"\n{time.monotonic() - started:.0f} seconds")


if __name__ == "__main__":
    main()
