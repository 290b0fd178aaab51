"""Commands as they are typed, each in a process of its own.

They are forked off a server that has the software loaded: loading it anew takes longer than most
commands do. What a command prints, reads from its environment and leaves behind is its own.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

from services import cli

ROOT = Path(__file__).resolve().parent.parent.parent
# A test runner's width of a line is none of an operator's. Where the runner has loaded readline,
# that has set both past `os.environ`, which knows nothing of them; whoever is started does.
for _name in ("COLUMNS", "LINES"):
    os.environ.pop(_name, None)
    os.unsetenv(_name)
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


def _run(words: tuple[str, ...], environment: dict[str, str], out: str, err: str) -> None:
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    for stream, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    sys.argv = ["pulang", *words]
    sys.exit(cli.main())


async def pulang(*words: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, output and errors of the command."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PULANG_")}
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = _FORKS.Process(
            target=_run, args=(words, clean | environment, str(out), str(err)), daemon=True
        )
        process.start()
        await asyncio.to_thread(process.join)
        return process.exitcode or 0, out.read_text(), err.read_text()
