"""`pulang witness`: what partners keep of this office's history, and this office of theirs."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from services.cli.command import (
    FOUND_WRONG,
    JsonFlag,
    console,
    operator,
    print_json,
    with_office,
)
from shared.runtime import witnessing
from shared.runtime.office import Office

app = typer.Typer(no_args_is_help=True, help="What offices witness of each other's history.")


@app.command("list")
def witness_list(as_json: JsonFlag = False) -> None:
    """Each partner: what was kept and cosigned. Exit 1 where a history is forked."""

    async def work(office: Office) -> list[dict[str, Any]]:
        async with office.pool.connection() as connection:
            return await witnessing.witnesses(connection, office.settings.partners)

    found = with_office(work)
    if as_json:
        print_json(found)
    else:
        columns = ("partner", "kept", "kept_at", "cosigned", "cosigned_at", "fork", "fork_detail")
        table = Table(*columns)
        for row in found:
            table.add_row(*("" if row[name] is None else str(row[name]) for name in columns))
        console.print(table)
    forked = any(row["fork"] or row["forked_there"] for row in found)
    raise typer.Exit(FOUND_WRONG if forked else 0)


@app.command("accept")
def witness_accept(
    partner: Annotated[str, typer.Argument(help="The partner's office code.")],
    reason: Annotated[str, typer.Option(help="Why; it goes on the record, nothing personal.")],
) -> None:
    """Believe a partner whose history forked again, on the record; what was parked is applied."""
    applied = with_office(lambda office: witnessing.accept(office, partner, reason, operator()))
    console.print(f"{partner}: accepted; {len(applied)} message(s) that waited are applied now.")
