"""`pulang audit`: the history, proven from the bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.cli.command import (
    FOUND_WRONG,
    CouldNotRun,
    JsonFlag,
    console,
    print_json,
    printable,
    with_office,
)
from shared.runtime import audit
from shared.runtime.audit import account, evidence, reconcile
from shared.runtime.office import Office

STREAMS = {"city": "handover", "province": "arrival"}
"""What each kind of office calls the stream of a handover."""

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
        for end, witnessed in report.given_up:
            console.print(
                f"On record: the log went on from {end} events after a restore, and {witnessed}"
                f" had been witnessed: see `pulang history restore-{end}`.",
                highlight=False,
            )
        for one in report.faults.kept:
            console.print(f"{one.table}, {one.place}: {one.words}", markup=False, highlight=False)
            console.print(f"    expected: {one.expected}", markup=False, highlight=False)
            console.print(f"    found:    {one.found}", markup=False, highlight=False)
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
        stream = f"{STREAMS[office.settings.kind]}-{handover}"
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


@app.command("reconcile")
def audit_reconcile(
    partner: Annotated[str, typer.Argument(help="The office at the other end, such as 35.")],
    export: Annotated[
        Path | None, typer.Option(help="Write this office's account of the link to a new file.")
    ] = None,
    with_: Annotated[
        Path | None, typer.Option("--with", help="Compare with the partner's account.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """What two offices have told each other, held against one another by file. Exit 1 where
    they differ."""
    if export is not None and with_ is None:
        _export(partner, export, as_json)
    elif with_ is not None and export is None:
        _compare(partner, with_, as_json)
    else:
        raise CouldNotRun("Say one of --export FILE and --with FILE.")


def _export(partner: str, path: Path, as_json: bool) -> None:
    async def work(office: Office) -> account.Account:
        async with office.pool.connection() as connection:
            return await reconcile.export(connection, office, partner)

    made = with_office(work)
    account.write(made, path)
    sent, received = len(made.sent.messages), len(made.received.messages)
    if as_json:
        print_json({"file": str(path), "events": made.events, "sent": sent, "received": received})
        return
    _say(
        f"{path}: what office {made.office} shares with {partner}, {sent} message(s) sent and"
        f" {received} received, as of {made.events} events."
    )
    if made.checkpoint is None:
        _say("No checkpoint is made yet: nothing ties the account to a signed history.")


def _compare(partner: str, path: Path, as_json: bool) -> None:
    theirs = account.read(path)

    async def work(office: Office) -> reconcile.Comparison:
        async with office.pool.connection() as connection:
            return await reconcile.reconcile(connection, office, partner, theirs)

    found = with_office(work)
    if as_json:
        print_json(found.document())
    else:
        _say(
            f"Office {found.office} and {found.partner}: {found.sent} message(s) sent,"
            f" {found.received} received; their account is of {found.exported_at.isoformat()}."
        )
        for words in found.history:
            _say(words)
        for group in found.groups:
            _say(
                f"From {group['sender']}, {group['period'] or 'no month'},"
                f" {group['subject'] or 'no subject'}: {group['differences']} difference(s)."
            )
        for one in found.differences:
            names = " ".join(name for name in (one.type, one.subject) if name)
            _say(
                f"{one.kind}: {one.sender} to {one.receiver}, number {one.number}"
                f"{', ' + names if names else ''}: {one.words}"
            )
        _say("Nothing differs." if not found.faults else f"{found.faults} difference(s).")
    raise typer.Exit(FOUND_WRONG if found.faults else 0)


def _say(line: str) -> None:
    console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
