"""The commands that look at the log and at what was made of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from services.cli.command import (
    FOUND_WRONG,
    CouldNotRun,
    JsonFlag,
    console,
    operator,
    plain,
    print_json,
    printable,
    with_office,
)
from shared.contracts.values import draw_id
from shared.kernel.projector import Rebuilt
from shared.runtime import deliveries as ledger
from shared.runtime import replaying
from shared.runtime import status as statuses
from shared.runtime.office import Office

app = typer.Typer()


@app.command()
def status(as_json: JsonFlag = False) -> None:
    """Log, worker, read models, links, parked messages. Exit 1 where something is wrong."""

    async def work(office: Office) -> dict[str, Any]:
        async with office.pool.connection() as connection:
            return await statuses.status(connection, office.settings.partners)

    found = with_office(work)
    wrong = statuses.wrong(found)
    if as_json:
        print_json(found | {"wrong": wrong})
    else:
        _print_status(found)
        for sentence in wrong:
            console.print(f"[red]{sentence}[/red]")
    raise typer.Exit(FOUND_WRONG if wrong else 0)


@app.command()
def deliveries(
    subject: Annotated[
        str | None, typer.Argument(help="An id in the messages: HO-…, PM-…; all if left out.")
    ] = None,
    before: Annotated[
        int, typer.Option(min=1, max=ledger.NEWEST, help="Older ones: those before this #.")
    ] = ledger.NEWEST,
    as_json: JsonFlag = False,
) -> None:
    """The newest 200 messages to partners: how far each is, and since when."""

    async def work(office: Office) -> list[dict[str, Any]]:
        async with office.pool.connection() as connection:
            return await ledger.deliveries(connection, office.service, subject, before)

    found = with_office(work)
    if as_json:
        print_json(found)
        return
    table = Table("#", "to", "number", "message", "about", "state", "since (UTC)", "answered")
    for row in found:
        asked = row["acknowledged_of"]
        table.add_row(
            str(row["position"]),
            row["receiver"],
            str(row["sequence"]),
            plain(row["type"].removeprefix("pulang.")),
            plain(row["subject"]),
            row["state"],
            f"{row[row['state'] + '_at']:%Y-%m-%d %H:%M:%S}",
            f"{row['acknowledged_persons']} of {asked}" if asked else "",
        )
    console.print(table if found else "No message to a partner.")


def _print_status(found: dict[str, Any]) -> None:
    log = found["log"]
    console.print(f"Log: {log['size']} events, root {log['root'][:16]}…  Worker: {found['worker']}")
    models = Table("read model", "position", "lag", title="Read models", title_justify="left")
    for row in found["projections"]:
        models.add_row(row["name"], str(row["position"]), str(row["lag"]))
    links = Table(
        "partner", "recorded", "sent", "confirmed", "waiting since (UTC)", "unapplied there",
        "applied here", "parked", title="Links", title_justify="left",
    )  # fmt: skip
    columns = ("partner", "recorded", "sent", "confirmed", "unapplied_there", "applied", "parked")
    for row in found["links"]:
        cells = [str(row[column]) for column in columns]
        since = row["waiting_since"]
        cells.insert(4, f"{since:%Y-%m-%d %H:%M:%S}" if since else "")
        links.add_row(*cells)
    console.print(models, links)


class Rate(ProgressColumn):
    """Events a second, over all of the task."""

    def render(self, task: Task) -> Text:
        seconds = task.finished_time or task.elapsed or 0.0
        return Text(f"{task.completed / seconds:,.0f} events/s" if seconds else "")


@app.command()
def replay(
    reason: Annotated[str, typer.Option(help="Why; it goes on the record, nothing personal.")],
    projection: Annotated[
        str | None, typer.Argument(help="One read model; all if left out.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Rebuild read models, compare, switch, on the record. Exit 1 where they differed."""

    async def work(office: Office) -> dict[str, Rebuilt]:
        chosen = [p for p in office.projectors if projection in (None, p.projection.name)]
        if not chosen:
            names = ", ".join(p.projection.name for p in office.projectors)
            raise CouldNotRun(f"There is no read model {projection}; there are {names}.")
        run = draw_id("RP")
        rebuilt: dict[str, Rebuilt] = {}
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as progress:
            for projector in chosen:
                name = projector.projection.name
                task = progress.add_task(name, total=None)
                rebuilt[name] = await replaying.replay(
                    office,
                    projector,
                    run,
                    reason,
                    operator(),
                    lambda done, total, task=task: progress.update(  # type: ignore[misc]
                        task, completed=done, total=total
                    ),
                )
        return rebuilt

    found = with_office(work)
    if as_json:
        print_json({name: one.differences for name, one in found.items()})
    else:
        for name, one in found.items():
            said = "DIFFERED, switched" if one.differences else "equal, switched"
            if one.differing is None:
                said = "of another version before, switched"
            console.print(f"{name}: {said} at {one.through}, {one.rebuilt}", highlight=False)
            for line in one.differences:
                console.print(f"  {printable(line)}", markup=False)
    raise typer.Exit(FOUND_WRONG if any(one.differences for one in found.values()) else 0)
