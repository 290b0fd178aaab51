"""`pulang missing`: what a restored office lacks, got back or given up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.command import (
    FOUND_WRONG,
    JsonFlag,
    console,
    operator,
    print_json,
    printable,
    with_office,
)
from shared.runtime import missing
from shared.runtime.audit import account
from shared.runtime.office import Office

app = typer.Typer(no_args_is_help=True, help="What a restored office lacks.")

Accounts = Annotated[
    list[Path] | None,
    typer.Option("--account", help="What a partner made with `audit reconcile --export`."),
]


@app.command("list")
def missing_list(
    evidence: Annotated[
        list[Path] | None, typer.Option(help="Evidence of this office that others keep.")
    ] = None,
    accounts: Accounts = None,
    as_json: JsonFlag = False,
) -> None:
    """Why the log is held, whom it waits for, and all that is missing. Exit 1 where it is."""
    told = [account.read(path) for path in accounts or ()]
    found = with_office(lambda office: missing.find(office, evidence or (), told))
    if as_json:
        print_json(found.document())
    else:
        _print(found)
    raise typer.Exit(0 if found.complete else FOUND_WRONG)


def _print(found: missing.Missing) -> None:
    _say(f"The log is held: {found.hold.why}." if found.hold.why else "The log is not held.")
    _say(f"It has {found.hold.size} events and is known to have had {found.end}.")
    for one in found.partners:
        heard = "heard since" if one.heard else "not heard yet"
        _say(
            f"Office {one.partner}: {heard}; has witnessed {one.witnessed} events and applied"
            f" {one.applied} messages, of which {min(one.applied, one.last)} are here."
        )
    for row in found.events:
        _say(f"index {row['index']}: {row['type']} {row['subject']} {row['time']}, {row['place']}")
    for first, last in found.unknown:
        _say(f"index {first}{f' to {last}' if last > first else ''}: nothing is known")
    for row in found.messages:
        names = " ".join(row[name] for name in ("type", "subject", "period") if row[name])
        _say(f"to {row['partner']}, number {row['number']}: {names or 'ask for its account'}")
    for path in found.others:
        _say(f"{path}: of another history of this office, as one that was given up; left out.")
    if found.back:
        _say(f"{found.back} of these events can be appended: `pulang missing recover`.")


@app.command("recover")
def missing_recover(
    evidence: Annotated[list[Path], typer.Argument(help="Folders or .zip files of evidence.")],
    as_json: JsonFlag = False,
) -> None:
    """Append the very bytes that continue the log. Exit 1 where something stays missing."""

    async def work(office: Office) -> tuple[int, missing.Missing]:
        number = await missing.recover(office, evidence)
        return number, await missing.find(office, evidence, ())

    number, left = with_office(work)
    if as_json:
        print_json({"appended": number} | left.document())
    else:
        _say(f"{number} event(s) appended, as they were.")
        _print(left)
    raise typer.Exit(0 if left.complete else FOUND_WRONG)


@app.command("accept")
def missing_accept(
    reason: Annotated[str, typer.Option(help="Why; it goes on the record, nothing personal.")],
    accounts: Accounts = None,
) -> None:
    """Go on without what is missing, on the record, behind the numbers that partners have."""
    told = [account.read(path) for path in accounts or ()]
    partners = with_office(lambda office: missing.accept(office, reason, operator(), told))
    for one in partners:
        behind = f"the next message has number {max(one.last, one.applied) + 1}"
        unsure = "" if one.heard else "; it was NOT heard, and may have more"
        _say(f"Office {one.partner}: {behind}{unsure}.")


def _say(line: str) -> None:
    console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
