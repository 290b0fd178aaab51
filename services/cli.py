"""The `pulang` command: the only file that knows both kinds of office.

Settings are `PULANG_*`; with `--office CODE`, those of a running demo are read from
`var/demo/CODE.env`. Exit codes: 0 fine, 1 found something wrong, 2 could not run.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from psycopg import Error as DatabaseError
from psycopg.errors import UniqueViolation
from psycopg_pool import PoolTimeout
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.kernel import rotation
from shared.kernel.keyring import Keyring, NoKeys, NotAVerifierKey
from shared.kernel.keys import Unopened
from shared.kernel.projector import RebuildRunning
from shared.runtime import parking
from shared.runtime import serve as processes
from shared.runtime import staff as accounts
from shared.runtime import status as statuses
from shared.runtime.hardware_keys import HardwareUnusable
from shared.runtime.key_file import KeyFileUnusable, SealedFile
from shared.runtime.manifest import Problem, Service
from shared.runtime.office import NotThisOffice, Office, open_keyring, open_office
from shared.runtime.settings import Settings
from shared.runtime.staff import ROLES, NewAccount, add_staff

T = TypeVar("T")

FOUND_WRONG = 1
COULD_NOT_RUN = 2
DEMO = Path("var/demo")

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
staff_app = typer.Typer(no_args_is_help=True, help="Staff accounts.")
app.add_typer(staff_app, name="staff")
keys_app = typer.Typer(no_args_is_help=True, help="The office's keys, and whom it trusts.")
app.add_typer(keys_app, name="keys")
parked_app = typer.Typer(no_args_is_help=True, help="Messages that could not be applied.")
app.add_typer(parked_app, name="parked")
console = Console()
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class CouldNotRun(Exception):
    """Said to the operator as it stands; exit code 2."""


@app.callback()
def choose_office(
    office: Annotated[str | None, typer.Option(help="Office code, such as 53.71 or 35.")] = None,
) -> None:
    if office is None:
        return
    os.environ["PULANG_OFFICE"] = office
    known = DEMO / f"{office}.env"
    if "PULANG_DATABASE_URL" not in os.environ and known.exists():
        for line in known.read_text().splitlines():
            name, _, value = line.partition("=")
            os.environ.setdefault(name, value)


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        names = ", ".join(
            f"PULANG_{str(e['loc'][0]).upper()}" if e["loc"] else e["msg"] for e in error.errors()
        )
        raise CouldNotRun(f"These settings are missing or wrong: {names}.") from None


def _service(settings: Settings) -> Service:
    return CITY if settings.kind == "city" else PROVINCE


def _with_office(work: Callable[[Office], Awaitable[T]]) -> T:
    settings = _settings()

    async def run() -> T:
        async with open_office(settings, _service(settings)) as office:
            return await work(office)

    return asyncio.run(run())


def _print_json(found: Any) -> None:
    sys.stdout.write(json.dumps(found, default=str, ensure_ascii=False) + "\n")


@app.command()
def demo(
    once: Annotated[bool, typer.Option(help="End after printing the board as JSON.")] = False,
) -> None:
    """Three offices on embedded servers, with the case of 2019 loaded."""
    from services import demo as demo_offices  # slow to import, and needed here alone

    try:
        code = demo_offices.run(once=once)
    except demo_offices.DemoFailed as error:
        raise CouldNotRun(str(error)) from None
    raise typer.Exit(code)


@app.command()
def serve() -> None:
    """Web and worker of this office in one process."""
    processes.serve(_service(_settings()))


@app.command()
def web() -> None:
    """The web of this office; as many of them as are needed."""
    processes.serve(_service(_settings()), with_worker=False)


@app.command()
def worker() -> None:
    """The worker of this office; of several, one is active and the others stand by."""
    processes.work(_service(_settings()))


@app.command()
def migrate() -> None:
    """Bring the precious tables to this version; at the very first run, draw the office's keys.

    The tables' owner is in PULANG_OWNER_DATABASE_URL; the role in PULANG_DATABASE_URL, under which
    the software runs, is made here and can't change what is precious.
    """
    from sqlalchemy.exc import OperationalError, SQLAlchemyError  # both are slow to import

    from shared.kernel.migrate import migrate as migrate_tables

    settings = _settings()
    try:
        migrate_tables(settings.owner_database_url or settings.database_url, settings.database_url)
    except OperationalError as error:
        raise CouldNotRun(f"the database is away: {type(error).__name__}") from None
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", error)).partition("\n")[0]
        raise CouldNotRun(f"the tables can't be migrated, nothing was changed: {said}") from None
    _draw_keys(settings)
    console.print(f"Office {settings.office}: tables are up to date.")


def _draw_keys(settings: Settings) -> bool:
    """The office's first keys, where it has none; says whether it drew them."""
    import psycopg

    if settings.key_file is not None and not settings.key_file.exists():
        with psycopg.connect(settings.database_url) as connection:
            row = connection.execute("select exists (select from office_keys)").fetchone()
        if row and row[0]:
            raise CouldNotRun(
                f"{settings.key_file} is missing, and this database has keys wrapped by it."
                " Restore the file from your backup; a new one could open nothing."
            )
        if settings.key_passphrase is None:
            raise CouldNotRun("set PULANG_KEY_PASSPHRASE: the key file is sealed with it.")
        SealedFile.make(
            settings.key_file, settings.key_passphrase.get_secret_value(), settings.office
        )
    return _with_keyring(rotation.init)


def _with_keyring(work: Callable[[Keyring], Awaitable[T]]) -> T:
    settings = _settings()

    async def run() -> T:
        async with open_keyring(settings) as keyring:
            return await work(keyring)

    return asyncio.run(run())


@keys_app.command("init")
def keys_init() -> None:
    """Draw this office's first keys. Does nothing where it has some."""
    drawn = _draw_keys(_settings())
    console.print("Keys drawn." if drawn else "This office has keys already.")


@keys_app.command("rotate")
def keys_rotate(
    prepare_signing: Annotated[
        bool, typer.Option(help="Draw the next signing key, for partners to trust beforehand.")
    ] = False,
    switch_signing: Annotated[
        bool, typer.Option(help="Sign with the prepared key; partners must trust it by now.")
    ] = False,
) -> None:
    """Open a new key epoch: every living key is wrapped anew, the old epoch destroyed.

    Make a new backup of the key tables and of the key file after it: older ones open nothing.
    """

    async def work(keyring: Keyring) -> str:
        await keyring.refresh()
        if prepare_signing:
            key_id = await rotation.prepare_signing(keyring)
            return f"Signing key {key_id} is prepared: export it, and have partners trust it."
        if switch_signing:
            switched = await rotation.switch_signing(keyring)
            if switched is None:
                raise CouldNotRun("no signing key is prepared: --prepare-signing comes first.")
            return f"This office signs with {switched} now; partners can revoke the old one."
        return f"Key epoch {await rotation.rotate(keyring)}: back up keys anew, now."

    console.print(_with_keyring(work), highlight=False)


@keys_app.command("list")
def keys_list(as_json: JsonFlag = False) -> None:
    """This office's keys, by purpose and epoch, and the partners' keys that it trusts."""

    async def work(keyring: Keyring) -> dict[str, Any]:
        return await statuses.keys(keyring)

    found = _with_keyring(work)
    if as_json:
        _print_json(found)
        return
    own = Table("key", "purpose", "epoch", "state", "since", title=f"Epoch {found['epoch']}")
    for row in found["keys"]:
        own.add_row(*(str(row[name]) for name in ("key_id", "purpose", "epoch", "state", "since")))
    trusted = Table("office", "key", "trusted", "by", "revoked", title="Partners")
    for row in found["trusted"]:
        names = ("office", "key_id", "trusted_at", "trusted_by", "revoked_at")
        trusted.add_row(*(str(row[name] or "") for name in names))
    console.print(own, trusted)


@keys_app.command("export-public")
def keys_export_public() -> None:
    """Print this office's note verifier keys, a line each: what partners are to trust."""

    async def work(keyring: Keyring) -> list[tuple[str, str]]:
        return await keyring.public()

    lines = _with_keyring(work)
    if not lines:
        raise CouldNotRun("this office has no keys yet: run `pulang keys init`.")
    for _, line in lines:
        sys.stdout.write(line + "\n")


@keys_app.command("trust")
def keys_trust(
    partner: Annotated[str, typer.Argument(help="The partner's office code.")],
    key: Annotated[
        str, typer.Argument(help="Its verifier key, `-` for lines from standard input.")
    ] = "-",
    revoke: Annotated[
        bool, typer.Option(help="KEY is a key id: trust it no more, for good.")
    ] = False,
) -> None:
    """Trust a partner's signing key; compare it with the partner by another way first."""
    settings = _settings()
    if partner not in settings.partners:
        raise CouldNotRun(f"{partner} is no partner of office {settings.office}.")
    lines = [one for one in sys.stdin.read().splitlines() if one] if key == "-" else [key]

    async def work(keyring: Keyring) -> list[str]:
        if revoke:
            return [one for one in lines if await keyring.revoke(partner, one, _operator())]
        return [await keyring.trust(partner, one, _operator()) for one in lines]

    done = _with_keyring(work)
    if not done:
        raise CouldNotRun("no such key is trusted." if revoke else "no key was given.")
    word = "revoked" if revoke else "trusted"
    for key_id in done:
        console.print(f"Office {settings.office}: key {key_id} of {partner} {word}.")


@app.command()
def status(as_json: JsonFlag = False) -> None:
    """Log, worker, read models, links, parked messages. Exit 1 where something is wrong."""

    async def work(office: Office) -> dict[str, Any]:
        async with office.pool.connection() as connection:
            return await statuses.status(connection, office.settings.partners)

    found = _with_office(work)
    wrong = statuses.wrong(found)
    if as_json:
        _print_json(found | {"wrong": wrong})
    else:
        _print_status(found)
        for sentence in wrong:
            console.print(f"[red]{sentence}[/red]")
    raise typer.Exit(FOUND_WRONG if wrong else 0)


def _print_status(found: dict[str, Any]) -> None:
    log = found["log"]
    console.print(f"Log: {log['size']} events, root {log['root'][:16]}…  Worker: {found['worker']}")
    models = Table("read model", "position", "lag", title="Read models", title_justify="left")
    for row in found["projections"]:
        models.add_row(row["name"], str(row["position"]), str(row["lag"]))
    links = Table(
        "partner", "recorded", "sent", "confirmed", "applied here", "parked",
        title="Links", title_justify="left",
    )  # fmt: skip
    for row in found["links"]:
        columns = ("partner", "recorded", "sent", "confirmed", "applied", "parked")
        links.add_row(*(str(row[column]) for column in columns))
    console.print(models, links)


@app.command()
def history(
    subject: Annotated[str, typer.Argument(help="An id or stream: HO-…, PM-…, handover-HO-…")],
    as_of: Annotated[
        str | None, typer.Option(help="As known at this time, such as 2019-10-04T08:00:00+08:00.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """What happened to a subject, who did it, in plain words. Exit 1 where nothing is known."""
    at = _time(as_of) if as_of else None

    async def work(office: Office) -> list[dict[str, Any]]:
        async with office.pool.connection() as connection:
            found: list[dict[str, Any]] = []
            types = office.handling.types
            while more := await statuses.history(
                connection, types, subject, at, found[-1]["position"] if found else 0
            ):
                found += more
            return found

    found = _with_office(work)
    if as_json:
        _print_json(found)
    else:
        table = Table("#", "terjadi", "dicatat", "oleh", "apa")
        for line in found:
            table.add_row(
                str(line["position"]),
                line["occurred_at"][:16],
                line["recorded_at"][:16],
                line["actor"],
                line["words"],
            )
        console.print(table if found else f"Tidak ada catatan tentang {subject}.")
    raise typer.Exit(0 if found else FOUND_WRONG)


def _time(text: str) -> datetime:
    try:
        return statuses.parse_time(text)
    except Problem as problem:
        raise CouldNotRun(f"{problem.detail} {problem.remedy}") from None


@app.command()
def replay(
    projection: Annotated[
        str | None, typer.Argument(help="One read model; all if left out.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Rebuild read models beside the live ones, compare, and switch. Exit 1 where they differed."""

    async def work(office: Office) -> dict[str, list[str]]:
        chosen = [p for p in office.projectors if projection in (None, p.projection.name)]
        if not chosen:
            names = ", ".join(p.projection.name for p in office.projectors)
            raise CouldNotRun(f"There is no read model {projection}; there are {names}.")
        differences: dict[str, list[str]] = {}
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as progress:
            for projector in chosen:
                name = projector.projection.name
                task = progress.add_task(name, total=None)
                differences[name] = await projector.rebuild(
                    lambda done, total, task=task: progress.update(  # type: ignore[misc]
                        task, completed=done, total=total
                    )
                )
        return differences

    found = _with_office(work)
    if as_json:
        _print_json(found)
    else:
        for name, differences in found.items():
            console.print(f"{name}: " + ("equal, switched" if not differences else "DIFFERED"))
            for one in differences:
                console.print(f"  {one}", markup=False)
    raise typer.Exit(FOUND_WRONG if any(found.values()) else 0)


@parked_app.command("list")
def parked_list(as_json: JsonFlag = False) -> None:
    """Parked messages, without their contents. Exit 1 where there are some."""

    async def work(office: Office) -> list[dict[str, Any]]:
        async with office.pool.connection() as connection:
            return await statuses.parked(connection)

    found = _with_office(work)
    if as_json:
        _print_json(found)
    else:
        columns = ("id", "sender", "sequence", "reason", "times", "parked_at", "detail")
        table = Table(*columns)
        for row in found:
            table.add_row(*(str(row[name]) for name in columns))
        console.print(table if found else "Nothing is parked.")
    raise typer.Exit(FOUND_WRONG if found else 0)


@parked_app.command("show")
def parked_show(number: int, as_json: JsonFlag = False) -> None:
    """One parked message as it came, and how it was settled."""
    found = _with_office(lambda office: parking.show(office, number))
    if as_json:
        _print_json(found)
    else:
        for name, value in found.items():
            console.print(f"{name}: {value}", highlight=False, markup=False, soft_wrap=True)


@parked_app.command("retry")
def parked_retry(
    numbers: Annotated[list[int] | None, typer.Argument(help="All if left out.")] = None,
) -> None:
    """Try parked messages again, in order. Exit 1 where one of them stays parked."""
    applied, left = _with_office(lambda office: parking.retry(office, numbers or [], _operator()))
    console.print(f"{len(applied)} message(s) applied, {len(left)} of those tried stay parked.")
    for row in left:
        console.print(f"  {row['id']}: {row['reason']} {row['detail']}", markup=False)
    raise typer.Exit(FOUND_WRONG if left else 0)


@parked_app.command("discard")
def parked_discard(
    number: int,
    reason: Annotated[str, typer.Option(help="Why; it goes on the record, nothing personal.")],
) -> None:
    """Give a parked message up, on the record; what waited behind it goes on."""
    freed = _with_office(lambda office: parking.discard(office, number, reason, _operator()))
    console.print(f"{number}: discarded; {len(freed)} message(s) that waited are applied now.")


def _operator() -> str:
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or "operator"


@staff_app.command("add")
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
        made = _with_office(work)
    except ValueError as error:
        raise CouldNotRun(str(error)) from None
    account = {"username": username, "password": chosen, "token": made.token}
    if made.totp_secret is not None and made.totp_uri is not None:
        account |= {"totp_secret": made.totp_secret, "totp_uri": made.totp_uri}
    if as_json:
        _print_json(account)
    else:
        for name, value in account.items():
            console.print(f"{name}: {value}", highlight=False, soft_wrap=True)


@staff_app.command("disable")
def staff_disable(username: str) -> None:
    """Shut an account: its sessions and its token end at once. History keeps its name."""
    if not _with_office(lambda office: accounts.disable(office.pool, username)):
        raise CouldNotRun(f"there is no account {username}.")
    console.print(f"{username}: disabled.")


@staff_app.command("sign-out")
def staff_sign_out(username: str) -> None:
    """End all sessions of an account."""
    ended = _with_office(lambda office: accounts.sign_out(office.pool, username))
    console.print(f"{username}: {ended} session(s) ended.")


@staff_app.command("oidc")
def staff_oidc(
    username: str,
    subject: Annotated[
        str | None, typer.Option(help="Her `sub` at the identity provider; none if left out.")
    ] = None,
) -> None:
    """Say who an account is at the identity provider. Nobody is made an account by signing in."""
    try:
        known = _with_office(lambda office: accounts.link_oidc(office.pool, username, subject))
    except UniqueViolation:
        raise CouldNotRun("that subject is another account's.") from None
    if not known:
        raise CouldNotRun(f"there is no account {username}.")
    console.print(f"{username}: linked." if subject else f"{username}: no longer linked.")


@staff_app.command("list")
def staff_list(as_json: JsonFlag = False) -> None:
    """The accounts of this office and their roles."""

    found = _with_office(lambda office: accounts.every_account(office.pool))
    if as_json:
        _print_json(found)
    else:
        table = Table("username", "roles", "active")
        for row in found:
            table.add_row(row["username"], ", ".join(row["roles"]), str(row["active"]))
        console.print(table)


def main() -> int:
    """Runs the command. Nobody sees a traceback for what an operator can mend."""
    try:
        # Outside its standalone mode the library gives the exit code instead of leaving with it.
        return app(standalone_mode=False) or 0
    except (
        CouldNotRun,
        HardwareUnusable,
        KeyFileUnusable,
        NoKeys,
        NotAVerifierKey,
        NotThisOffice,
        parking.NotParked,
        RebuildRunning,
        rotation.Unfinished,
        Unopened,
    ) as error:
        sys.stderr.write(f"pulang: {error}\n")
    except (PoolTimeout, DatabaseError) as error:
        sys.stderr.write(f"pulang: the database is away or not migrated: {error}\n")
    except typer.Abort:
        sys.stderr.write("pulang: stopped.\n")
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        # A wrong option or argument, in the words of the command line's own library.
        sys.stderr.write(f"pulang: {error.format_message()}\n")
    return COULD_NOT_RUN


if __name__ == "__main__":
    sys.exit(main())
