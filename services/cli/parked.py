"""`pulang parked`: messages that could not be applied."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from services.cli.command import (
    FOUND_WRONG,
    JsonFlag,
    console,
    operator,
    plain,
    print_json,
    printable,
    with_office,
)
from shared.runtime import parking
from shared.runtime import status as statuses
from shared.runtime.office import Office

app = typer.Typer(no_args_is_help=True, help="Messages that could not be applied.")


@app.command("list")
def parked_list(as_json: JsonFlag = False) -> None:
    """Parked messages, without their contents. Exit 1 where there are some."""

    async def work(office: Office) -> list[dict[str, Any]]:
        async with office.pool.connection() as connection:
            return await statuses.parked(connection)

    found = with_office(work)
    if as_json:
        print_json(found)
    else:
        columns = ("id", "sender", "sequence", "reason", "times", "parked_at", "detail")
        table = Table(*columns)
        for row in found:
            table.add_row(*(plain(row[name]) for name in columns))
        console.print(table if found else "Nothing is parked.")
    raise typer.Exit(FOUND_WRONG if found else 0)


@app.command("show")
def parked_show(number: int, as_json: JsonFlag = False) -> None:
    """One parked message as it came, and how it was settled."""
    found = with_office(lambda office: parking.show(office, number))
    if as_json:
        print_json(found)
    else:
        for name, value in found.items():
            console.print(
                f"{name}: {printable(value)}", highlight=False, markup=False, soft_wrap=True
            )


@app.command("retry")
def parked_retry(
    numbers: Annotated[list[int] | None, typer.Argument(help="All if left out.")] = None,
) -> None:
    """Try parked messages again, in order. Exit 1 where one of them stays parked."""
    applied, left = with_office(lambda office: parking.retry(office, numbers or [], operator()))
    console.print(f"{len(applied)} message(s) applied, {len(left)} of those tried stay parked.")
    for row in left:
        console.print(f"  {row['id']}: {row['reason']} {printable(row['detail'])}", markup=False)
    raise typer.Exit(FOUND_WRONG if left else 0)


@app.command("discard")
def parked_discard(
    number: int,
    reason: Annotated[str, typer.Option(help="Why; it goes on the record, nothing personal.")],
) -> None:
    """Give a parked message up, on the record; what waited behind it goes on."""
    freed = with_office(lambda office: parking.discard(office, number, reason, operator()))
    console.print(f"{number}: discarded; {len(freed)} message(s) that waited are applied now.")
