"""The commands that look back: one subject's history, and what changed between two times."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from services.cli.command import (
    FOUND_WRONG,
    CouldNotRun,
    JsonFlag,
    console,
    plain,
    print_json,
    with_office,
)
from shared.kernel.asof import Moment
from shared.runtime import history as looking_back
from shared.runtime.history import Axis
from shared.runtime.manifest import Problem
from shared.runtime.office import Office
from shared.runtime.status import parse_time

app = typer.Typer()

EVERYTHING = "all"
TIME = "such as 2019-10-04T08:00:00+08:00"


@app.command()
def history(
    subject: Annotated[str, typer.Argument(help="An id or stream: HO-…, PM-…, handover-HO-…")],
    known_at: Annotated[
        str | None, typer.Option(help=f"As known then, by what was recorded: {TIME}.")
    ] = None,
    true_at: Annotated[
        str | None, typer.Option(help="As true then: what had occurred, with every correction.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """What happened to a subject, who did it, in plain words. Exit 1 where nothing is known."""
    moment = Moment(_time(known_at), _time(true_at))

    async def work(office: Office) -> list[dict[str, Any]]:
        async with office.pool.connection() as connection:
            found: list[dict[str, Any]] = []
            types, corrections = office.handling.types, office.service.corrections
            async with looking_back.snapshot(connection):
                while more := await looking_back.history(
                    connection,
                    types,
                    corrections,
                    subject,
                    moment,
                    found[-1]["position"] if found else 0,
                ):
                    found += more
            return found

    found = with_office(work)
    if as_json:
        print_json(found)
    else:
        console.print(_table(found) if found else f"Tidak ada catatan tentang {plain(subject)}.")
    raise typer.Exit(0 if found else FOUND_WRONG)


@app.command()
def changes(
    subject: Annotated[str, typer.Argument(help="An id or stream, or `all`.")],
    since: Annotated[str, typer.Option("--from", help=f"After this time, {TIME}.")],
    until: Annotated[str, typer.Option("--to", help="Up to this time.")],
    axis: Annotated[
        str, typer.Option(help="recorded: what was written down; occurred: what was so.")
    ] = "recorded",
    known_at: Annotated[str | None, typer.Option(help="As it was known at this time.")] = None,
    after: Annotated[int, typer.Option(min=0, help="Where an earlier answer broke off.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """What changed between two times, day by day: what, who, why. Exit 1 where nothing did."""
    if axis not in ("recorded", "occurred"):
        raise CouldNotRun("--axis is recorded or occurred.")
    on: Axis = "occurred" if axis == "occurred" else "recorded"
    first, last, known = parse(since), parse(until), _time(known_at)

    async def work(office: Office) -> dict[str, Any]:
        async with (
            office.pool.connection() as connection,
            looking_back.snapshot(connection),
        ):
            return await looking_back.changes(
                connection,
                office.handling.types,
                office.service.corrections,
                first,
                last,
                on,
                office.settings.zone,
                None if subject == EVERYTHING else subject,
                after,
                known_at=known,
            )

    found = with_office(work)
    if as_json:
        print_json(found)
    else:
        for day in found["days"]:
            console.rule(f"{day['day']:%d-%m-%Y}", align="left")
            console.print(_table(day["lines"]))
        if not found["days"]:
            console.print("Tidak ada yang berubah di antara kedua waktu itu.")
        if found["after"] is not None:
            console.print(f"Masih ada; lanjutkan dengan --after {found['after']}.")
    raise typer.Exit(0 if found["days"] else FOUND_WRONG)


def _table(lines: list[dict[str, Any]]) -> Table:
    table = Table("#", "terjadi", "dicatat", "oleh", "apa", "mengapa")
    for line in lines:
        table.add_row(
            str(line["position"]),
            line["occurred_at"][:16],
            line["recorded_at"][:16],
            plain(line["actor"]),
            plain(line["words"]),
            plain(line["why"] or ""),
        )
    return table


def _time(text: str | None) -> datetime | None:
    return None if text is None else parse(text)


def parse(text: str) -> datetime:
    """A time that was typed. Raises CouldNotRun."""
    try:
        return parse_time(text)
    except Problem as problem:
        raise CouldNotRun(f"{problem.detail} {problem.remedy}") from None
