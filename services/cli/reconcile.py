"""`pulang audit equations` and `pulang audit reconcile`: what must add up here, and with whom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.command import (
    COULD_NOT_RUN,
    FOUND_WRONG,
    CouldNotRun,
    JsonFlag,
    console,
    operator,
    print_json,
    printable,
    with_office,
)
from shared.runtime.audit import account, asking, sums
from shared.runtime.audit import reconcile as reconciling
from shared.runtime.audit.account import NoAccount
from shared.runtime.audit.reconcile import Comparison
from shared.runtime.equations import Equation, Findings
from shared.runtime.office import Office


def equations(as_json: JsonFlag = False) -> None:
    """What must add up in this office: persons and rupiah, derived from the log's events and held
    against the read models. Exit 1 where something does not."""
    found = with_office(_derive)
    if as_json:
        print_json(found.document())
    else:
        _say_equations(found)
    raise typer.Exit(FOUND_WRONG if found.faults else 0)


def reconcile(
    partner: Annotated[
        str | None,
        typer.Argument(help="The office at the other end, such as 35; none: equations and all."),
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write this office's account of the link to a new file.")
    ] = None,
    with_: Annotated[
        Path | None, typer.Option("--with", help="Compare with the partner's account.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """What two offices have told each other, held against one another: the partner is asked over
    the link, or compared by file. Exit 1 where they differ, 2 where no answer came."""
    if export is not None and with_ is not None:
        raise CouldNotRun("Say one of --export FILE and --with FILE, or neither.")
    if partner is None:
        if export is not None or with_ is not None:
            raise CouldNotRun("Say with which partner.")
        _all(as_json)
    elif export is not None:
        _export(partner, export, as_json)
    elif with_ is not None:
        theirs = account.read(with_)
        _show(with_office(lambda office: _by_file(office, partner, theirs)), as_json)
    else:
        _show(with_office(lambda office: asking.over_link(office, partner, operator())), as_json)


async def _derive(office: Office) -> Findings:
    """Keeps what it finds for the auditors' page, which a long log leaves to this command."""
    code, began = office.settings.office, office.clock()
    async with office.pool.connection() as connection:
        found = await sums.derive(connection, code, office.service, office.handling.types)
        await sums.keep(connection, found.document(), began, operator())
    return found


async def _by_file(office: Office, partner: str, theirs: account.Account) -> Comparison:
    async with office.pool.connection() as connection:
        return await reconciling.reconcile(connection, office, partner, theirs)


def _all(as_json: bool) -> None:
    """The equations of this office, and then each partner; the first that is silent stops none."""

    async def work(office: Office) -> tuple[Findings, list[Comparison], dict[str, str]]:
        found = await _derive(office)
        compared, failed = list[Comparison](), dict[str, str]()
        for partner in office.settings.partners:
            try:
                compared.append(await asking.over_link(office, partner, operator()))
            except NoAccount as error:
                failed[partner] = str(error)
        return found, compared, failed

    found, compared, failed = with_office(work)
    if as_json:
        partners = [one.document() for one in compared]
        print_json({"equations": found.document(), "partners": partners, "not_compared": failed})
    else:
        _say_equations(found)
        for one in compared:
            _say_comparison(one)
        for partner, why in failed.items():
            _say(f"Office {partner} was not compared: {why}.")
    wrong = found.faults + sum(one.faults for one in compared)
    raise typer.Exit(FOUND_WRONG if wrong else COULD_NOT_RUN if failed else 0)


def _export(partner: str, path: Path, as_json: bool) -> None:
    async def work(office: Office) -> account.Account:
        async with office.pool.connection() as connection:
            made = await reconciling.export(connection, office, partner)
        return account.signed(made, office.keyring.sign)

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


def _show(found: Comparison, as_json: bool) -> None:
    if as_json:
        print_json(found.document())
    else:
        _say_comparison(found)
    raise typer.Exit(FOUND_WRONG if found.faults else 0)


def _say_comparison(found: Comparison) -> None:
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


def _say_equations(found: Findings) -> None:
    _say(f"Office {found.office}, derived from its first {found.events} events.")
    for one in found.shown:
        _say(sentence(one))
    for name, number in found.checked.items():
        _say(f"{name}: {found.holding[name]} of {number} hold.")
    for model, stands in found.models.items():
        if stands is None:
            _say(f"Read model {model} was not compared: it is being built anew.")
        elif stands < found.events:
            _say(f"Read model {model} was compared as of event {stands}, where it stands.")
    for differs in found.differences:
        _say(f"{differs.model}.{differs.table}, {differs.place}: it is not what the events say")
        _say(f"    from the events: {differs.expected}")
        _say(f"    found:           {differs.found}")
    open_ = found.outcomes.get("open", 0)
    if open_:
        _say(f"{open_} discrepancy(ies) stand open, for people to explain.")
    _say("No fault." if not found.faults else f"{found.faults} fault(s).")


def sentence(one: Equation) -> str:
    """Both sides of an equation, and what is to be thought of it."""
    terms = " + ".join(f"{name} {_figure(one, number)}" for name, number in one.terms.items())
    is_ = "=" if one.outcome == "holds" else "is not"
    text = f"{one.name}, {one.about}: {one.side} {_figure(one, one.left)} {is_} {terms or '0'}"
    if one.outcome == "holds":
        return f"{text}."
    apart = f"{_figure(one, abs(one.difference))} {'too many' if one.difference > 0 else 'missing'}"
    text += f" = {_figure(one, one.right)}: {apart}."
    if one.discrepancy:
        text += f" The discrepancy {one.discrepancy} ({one.difference:+d}) is {one.outcome}."
    if one.persons:
        text += f" It is about {', '.join(one.persons)}."
    return text


def _figure(one: Equation, number: int) -> str:
    return f"Rp{number:,}".replace(",", ".") if one.unit == "rupiah" else str(number)


def _say(line: Any) -> None:
    console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
