"""`pulang staff`: accounts."""

from __future__ import annotations

import secrets
from typing import Annotated

import typer
from psycopg.errors import UniqueViolation
from rich.table import Table

from services.cli.command import CouldNotRun, JsonFlag, console, print_json, with_office
from shared.runtime import staff as accounts
from shared.runtime.office import Office
from shared.runtime.staff import ROLES, NewAccount, add_staff

app = typer.Typer(no_args_is_help=True, help="Staff accounts.")


@app.command("add")
def staff_add(
    username: str,
    roles: Annotated[str, typer.Option(help=f"Comma-separated: {', '.join(sorted(ROLES))}.")],
    password: Annotated[
        str | None, typer.Option(envvar="PULANG_PASSWORD", help="Drawn if left out.")
    ] = None,
    totp: Annotated[
        bool, typer.Option(help="A second factor; approvers and auditors get one anyway.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make an account, or renew its roles, password, token and TOTP secret, shown this once."""
    chosen = password or secrets.token_urlsafe(15)

    async def work(office: Office) -> NewAccount:
        return await add_staff(
            office.pool,
            username,
            frozenset(roles.split(",")),
            chosen,
            kind=office.service.kind,
            wrap=office.keyring,
            words=(office.settings.office_name, office.settings.office),
            totp=totp,
        )

    try:
        made = with_office(work)
    except ValueError as error:
        raise CouldNotRun(str(error)) from None
    account = {"username": username, "password": chosen, "token": made.token}
    if made.totp_secret is not None and made.totp_uri is not None:
        account |= {"totp_secret": made.totp_secret, "totp_uri": made.totp_uri}
    if as_json:
        print_json(account)
    else:
        for name, value in account.items():
            console.print(f"{name}: {value}", highlight=False, soft_wrap=True)


@app.command("disable")
def staff_disable(username: str) -> None:
    """Shut an account: its sessions and its token end at once. History keeps its name."""
    if not with_office(lambda office: accounts.disable(office.pool, username)):
        raise CouldNotRun(f"there is no account {username}.")
    console.print(f"{username}: disabled.")


@app.command("sign-out")
def staff_sign_out(username: str) -> None:
    """End all sessions of an account."""
    ended = with_office(lambda office: accounts.sign_out(office.pool, username))
    console.print(f"{username}: {ended} session(s) ended.")


@app.command("oidc")
def staff_oidc(
    username: str,
    subject: Annotated[
        str | None, typer.Option(help="Her `sub` at the identity provider; none if left out.")
    ] = None,
) -> None:
    """Say who an account is at the identity provider. Nobody is made an account by signing in."""
    try:
        known = with_office(lambda office: accounts.link_oidc(office.pool, username, subject))
    except UniqueViolation:
        raise CouldNotRun("that subject is another account's.") from None
    if not known:
        raise CouldNotRun(f"there is no account {username}.")
    console.print(f"{username}: linked." if subject else f"{username}: no longer linked.")


@app.command("list")
def staff_list(as_json: JsonFlag = False) -> None:
    """The accounts of this office and their roles."""

    found = with_office(lambda office: accounts.every_account(office.pool))
    if as_json:
        print_json(found)
    else:
        table = Table("username", "roles", "active")
        for row in found:
            table.add_row(row["username"], ", ".join(row["roles"]), str(row["active"]))
        console.print(table)
