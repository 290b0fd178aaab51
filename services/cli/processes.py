"""The commands that run an office's processes and prepare its database."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.command import CouldNotRun, console, read_settings, service_of, with_keyring
from shared.kernel import rotation
from shared.runtime import serve as processes
from shared.runtime.key_file import SealedFile
from shared.runtime.settings import Settings

app = typer.Typer()


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
    processes.serve(service_of(read_settings()))


@app.command()
def web() -> None:
    """The web of this office; as many of them as are needed."""
    processes.serve(service_of(read_settings()), with_worker=False)


@app.command()
def worker() -> None:
    """The worker of this office; of several, one is active and the others stand by."""
    processes.work(service_of(read_settings()))


@app.command()
def migrate() -> None:
    """Bring the precious tables to this version; at the very first run, draw the office's keys.

    The tables' owner is in PULANG_OWNER_DATABASE_URL; the role in PULANG_DATABASE_URL, under which
    the software runs, is made here and can't change what is precious.
    """
    from sqlalchemy.exc import OperationalError, SQLAlchemyError  # both are slow to import

    from shared.kernel.migrate import migrate as migrate_tables

    settings = read_settings()
    try:
        migrate_tables(settings.owner_database_url or settings.database_url, settings.database_url)
    except OperationalError as error:
        raise CouldNotRun(f"the database is away: {type(error).__name__}") from None
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", error)).partition("\n")[0]
        raise CouldNotRun(f"the tables can't be migrated, nothing was changed: {said}") from None
    if not draw_keys(settings):
        with_keyring(rotation.count)
    console.print(f"Office {settings.office}: tables are up to date.")


def draw_keys(settings: Settings) -> bool:
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
    return with_keyring(rotation.init)
