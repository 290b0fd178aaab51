"""The `pulang` command: with the demo, the only place that knows both kinds of office.

Settings are `PULANG_*`; with `--office CODE`, those of a running demo are read from
`var/demo/CODE.env`. Exit codes: 0 fine, 1 found something wrong, 2 could not run.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from psycopg import Error as DatabaseError
from psycopg_pool import PoolTimeout

from services.cli import (
    audit,
    backup,
    history,
    keys,
    log,
    missing,
    parked,
    processes,
    staff,
    witness,
)
from services.cli.command import COULD_NOT_RUN, DEMO, CouldNotRun
from shared.kernel import rotation
from shared.kernel.handling import Undecided
from shared.kernel.hold import Held
from shared.kernel.keyring import NoKeys, NotAVerifierKey
from shared.kernel.keys import Unopened
from shared.kernel.projector import RebuildRunning
from shared.kernel.store import Conflict
from shared.runtime import parking, replaying, witnessing
from shared.runtime.audit.account import NoAccount
from shared.runtime.audit.evidence import NoEvidence
from shared.runtime.audit.sums import NotDerived
from shared.runtime.backup import NoBackup
from shared.runtime.hardware_keys import HardwareUnusable
from shared.runtime.key_file import KeyFileUnusable
from shared.runtime.missing import NotMissing
from shared.runtime.offered import NotOffered
from shared.runtime.office import NotThisOffice

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
app.add_typer(processes.app)
app.add_typer(log.app)
app.add_typer(backup.app)
app.add_typer(history.app)
app.add_typer(staff.app, name="staff")
app.add_typer(keys.app, name="keys")
app.add_typer(parked.app, name="parked")
app.add_typer(witness.app, name="witness")
app.add_typer(missing.app, name="missing")
app.add_typer(audit.app, name="audit")


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


def main() -> int:
    """Runs the command. Nobody sees a traceback for what an operator can mend."""
    try:
        # Outside its standalone mode the library gives the exit code instead of leaving with it.
        return app(standalone_mode=False) or 0
    except (
        CouldNotRun,
        HardwareUnusable,
        Held,
        KeyFileUnusable,
        NoAccount,
        NoBackup,
        NoEvidence,
        NoKeys,
        NotAVerifierKey,
        NotDerived,
        NotMissing,
        NotOffered,
        NotThisOffice,
        parking.NotParked,
        replaying.NotReplayed,
        witnessing.NotForked,
        RebuildRunning,
        rotation.Unfinished,
        Unopened,
    ) as error:
        sys.stderr.write(f"pulang: {error}\n")
    except (Conflict, Undecided) as error:
        sys.stderr.write(f"pulang: somebody else was faster, run it again: {error}\n")
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
