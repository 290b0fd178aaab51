"""`pulang backup` and `pulang restore`: out of the database into a folder, and back."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer

from services.cli.command import (
    FOUND_WRONG,
    JsonFlag,
    console,
    print_json,
    printable,
    read_settings,
    service_of,
)
from shared.runtime import backup as backups
from shared.runtime import restoring
from shared.runtime.clock import system_clock

app = typer.Typer()

NEXT = (
    "Nothing is recorded yet. Start web and worker: once every partner is heard and none has more,"
    " the office goes on by itself. `pulang missing list` says what it waits for.",
    "Accounts are as of the backup: disable those who have left since; all sign in anew.",
    "People erased since the backup stay unreadable; the runbook says what is to be redone.",
)


@app.command("backup")
def backup(
    folder: Annotated[Path, typer.Argument(help="The folder to make; its parent is there.")],
    keys: Annotated[
        bool, typer.Option("--keys", help="The key tables alone, for another place.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """The precious tables without keys, or the key tables alone, into a new folder."""
    settings = read_settings()
    made = backups.back_up(
        settings.owner_database_url or settings.database_url,
        settings.office,
        folder,
        "keys" if keys else "events",
        system_clock(settings.zone)(),
    )
    if as_json:
        print_json({"folder": str(folder)} | made.model_dump(mode="json"))
        return
    what = f"key tables, epoch {made.key_epoch}" if keys else f"{made.events} events"
    _say(f"{folder}: {what} of office {made.office}, SHA-256 {made.sha256}.")
    if keys:
        _say("The key file is not in it, nor its passphrase: each has a place of its own.")


@app.command("restore")
def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that `pulang backup` made.")],
    keys: Annotated[
        Path | None,
        typer.Option(help="The newest that `pulang backup --keys` made; a drill may go without."),
    ] = None,
    evidence: Annotated[
        list[Path] | None,
        typer.Option(help="Evidence of this office that others keep, to compare with."),
    ] = None,
    drill: Annotated[
        bool, typer.Option("--drill", help="Into a database that is gone afterwards.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """A backup into the office's empty database, checked. Exit 1 where something does not hold."""
    settings = read_settings()
    service = service_of(settings)
    if keys is None and not drill:
        raise backups.NoBackup("name the newest backup of keys too: --keys FOLDER")

    async def run() -> restoring.Report:
        task = asyncio.current_task()
        if task is not None:
            # Whoever ends a drill finds its database gone all the same.
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        if drill:
            return await restoring.drill(settings, service, folder, keys, evidence or ())
        return await restoring.restore(settings, service, folder, keys or folder, evidence or ())

    try:
        report = asyncio.run(run())
    except asyncio.CancelledError:
        raise typer.Abort from None
    except backups.Damaged as error:
        if not drill:
            raise
        if as_json:
            print_json({"office": settings.office, "faults": 1, "damaged": str(error)})
        else:
            _say(f"Does not hold: {error}")
        raise typer.Exit(FOUND_WRONG) from None
    if as_json:
        print_json(report.document())
    else:
        for step in report.steps:
            _say(f"{step.name} ({step.seconds:.1f} s): {'; '.join(step.says) or 'done'}")
            for fault in step.faults:
                _say(f"    does not hold: {fault}")
        for line in NEXT if not drill else ():
            _say(line)
        _say("All holds." if not report.faults else f"{report.faults} fault(s).")
    raise typer.Exit(FOUND_WRONG if report.faults else 0)


def _say(line: str) -> None:
    console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
