"""The implementations that nobody here wrote, each behind one call: a folder in, a verdict out.

x/mod        golang.org/x/mod, by the authors of Go:
             apt-get install -y --no-install-recommends golang-go golang-golang-x-mod-dev
tlog-scales  by the operator of a public witness:
             pip install tlog-scales==0.0.3
"""

from __future__ import annotations

import functools
import importlib.util
import io
import os
import shutil
import subprocess
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

HERE = Path(__file__).resolve().parent
GOPATH = Path("/usr/share/gocode")  # where Debian's packages of Go sources lie
X_MOD, SCALES = "x/mod", "tlog-scales"
ALL = (X_MOD, SCALES)


def missing(name: str) -> str | None:
    """Why it can't be asked here, or nothing where it can."""
    if name == SCALES:
        return None if importlib.util.find_spec("tlog_scales") else "tlog-scales is not installed"
    if not shutil.which("go"):
        return "there is no Go"
    sources = GOPATH / "src/golang.org/x/mod/sumdb/tlog"
    return None if sources.is_dir() else "Debian's golang-golang-x-mod-dev is not installed"


def ask(name: str, folder: Path) -> tuple[int, str]:
    """0 and what was checked, or 1 and, last, the first fault."""
    if name == X_MOD:
        return go("check", folder)
    from tests.independent import scales

    told = io.StringIO()
    with redirect_stdout(told), redirect_stderr(told):
        code = scales.main(str(folder))
    return code, told.getvalue()


def go(command: str, subject: Path) -> tuple[int, str]:
    run = subprocess.run(
        [f"{_built().name}/main", command, subject],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout


@functools.cache
def _built() -> tempfile.TemporaryDirectory[str]:
    """The Go program, built once for each process, without modules, a network or a C compiler.

    The folder goes when the process ends.
    """
    folder = tempfile.TemporaryDirectory(prefix="independent-")
    environment = {"GOCACHE": f"{folder.name}/cache"} | os.environ
    environment |= {
        "GO111MODULE": "off",
        "GOPATH": str(GOPATH),
        "GOFLAGS": "",
        "CGO_ENABLED": "0",
    }
    build = ["go", "build", "-o", f"{folder.name}/main", str(HERE / "main.go")]
    subprocess.run(build, env=environment, check=True)
    return folder
