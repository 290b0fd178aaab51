"""`pulang audit`: the history, proven from the bytes."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.cli.command import FOUND_WRONG, JsonFlag, console, print_json, with_office
from shared.runtime import audit
from shared.runtime.office import Office

app = typer.Typer(no_args_is_help=True, help="The history, proven from the bytes.")


@app.command("verify")
def audit_verify(as_json: JsonFlag = False) -> None:
    """Derive everything anew from the log's bytes and compare. Exit 1 where something differs."""

    async def work(office: Office) -> audit.Report:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bars:
            tasks: dict[str, object] = {}

            def progress(what: str, done: int, total: int) -> None:
                task = tasks.setdefault(what, bars.add_task(what, total=total))
                bars.update(task, completed=done, total=total)  # type: ignore[arg-type]

            async with office.pool.connection() as connection:
                return await audit.verify(connection, office, progress=progress)

    report = with_office(work)
    if as_json:
        print_json(report.document())
    else:
        console.print(
            f"Office {report.office}: {report.events} events, {report.checkpoints} checkpoints,"
            f" {report.messages_in} messages that came, {report.witnessed} witnessed checkpoints,"
            f" read models {', '.join(report.read_models)}.",
            highlight=False,
        )
        for one in report.faults.kept:
            console.print(f"{one.table}, {one.place}: {one.words}", markup=False, highlight=False)
            console.print(f"    expected: {one.expected}", markup=False, highlight=False)
            console.print(f"    found:    {one.found}", markup=False, highlight=False)
        number = report.faults.number
        console.print("Nothing differs." if not number else f"{number} fault(s).")
    raise typer.Exit(FOUND_WRONG if report.faults.number else 0)
