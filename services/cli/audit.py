"""`pulang audit`: the history, proven from the bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from services.cli import reconcile
from services.cli.command import (
    FOUND_WRONG,
    JsonFlag,
    console,
    print_json,
    printable,
    with_office,
)
from shared.runtime import audit
from shared.runtime.audit import evidence
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
            tasks: dict[str, TaskID] = {}

            def progress(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = bars.add_task(what)
                bars.update(tasks[what], completed=done, total=total)

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
        for end, witnessed in report.given_up:
            console.print(
                f"On record: the log went on from {end} events after a restore, and {witnessed}"
                f" had been witnessed: see `pulang history restore-{end}`.",
                highlight=False,
            )
        for one in report.faults.kept:
            # Whoever changed the database chose what stands there.
            for line in (
                f"{one.table}, {one.place}: {one.words}",
                f"    expected: {one.expected}",
                f"    found:    {one.found}",
            ):
                console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
        number = report.faults.number
        console.print("Nothing differs." if not number else f"{number} fault(s).")
    raise typer.Exit(FOUND_WRONG if report.faults.number else 0)


@app.command("evidence")
def audit_evidence(
    handover: Annotated[str, typer.Argument(help="The handover, such as HO-KD-35.")],
    out: Annotated[Path, typer.Option(help="The folder to make; a .zip is made beside it.")],
    as_json: JsonFlag = False,
) -> None:
    """What an inspector can check of a handover without this office. Exit 1 if it does not hold."""
    folder = out.absolute()
    evidence.refuse_used(folder)

    async def work(office: Office) -> evidence.Evidence:
        stream = f"{evidence.STREAMS[office.settings.kind]}-{handover}"
        async with office.pool.connection() as connection:
            return await evidence.gather(connection, office, handover, stream)

    made = with_office(work)
    faults = evidence.write(made, folder)
    if as_json:
        print_json(made.document() | {"folder": str(folder), "faults": faults})
    else:
        shown = [
            f"{folder} and {evidence.archive_of(folder).name}: {made.covered} event(s) of"
            f" {handover}, proven by the checkpoint of {made.size} events.",
            *(
                f"Office {partner} has witnessed {kept} checkpoint(s) of this log; {number} are in"
                " the folder."
                for partner, (number, kept) in made.witnessed.items()
            ),
            *([] if made.witnessed else ["No partner has witnessed this log yet."]),
        ]
        if made.beyond:
            shown.append(f"{made.beyond} newer event(s) are named and not covered: ask again soon.")
        shown += [f"It does not hold: {fault}" for fault in faults]
        for line in shown:
            console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(FOUND_WRONG if faults else 0)


app.command("equations")(reconcile.equations)
app.command("reconcile")(reconcile.reconcile)
