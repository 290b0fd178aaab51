"""Make .venv complete, on a machine that has nothing but Python.

    python3 tools/bootstrap.py runtime    what `make demo` needs
    python3 tools/bootstrap.py dev        what `make test` needs, which includes the former

A bare Debian has no ensurepip, no pip and no compiler. So the environment is made without pip; a
pip wheel, kept beside this file and checked by its hash, is run straight from the file; and it
installs wheels only, each checked against the hashed lock. An environment that is there already
is kept and completed. The second run finds its stamp and does nothing.

Standard library only: this runs before anything is installed.
"""

from __future__ import annotations  # so that an old Python gets as far as being told so

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIP = ROOT / "tools" / "pip-26.3-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
LOCKS = {"runtime": ROOT / "requirements.lock", "dev": ROOT / "requirements-dev.lock"}
PYTHON = ROOT / ".venv" / "bin" / "python"

# The `pulang` command and, in `main`, a .pth file are what an editable installation would write,
# without its build: that needs setuptools, which would have to be downloaded unpinned. To the shell
# the second line starts the Python beside this file, to Python it is a text without effect; so the
# command needs no "#!" with a path, which may be too long or hold a space, and can be moved.
COMMAND = """#!/bin/sh
'''exec' "$(dirname "$(readlink -f "$0")")/python" "$0" "$@"
' '''
import sys

from services.cli import main

sys.exit(main())
"""


def site_packages() -> Path | None:
    """Where .venv keeps its packages, or None when it has no Python that this project can use."""
    ask = "import sys, sysconfig as c; sys.version_info < (3, 11) or print(c.get_path('purelib'))"
    try:
        told = subprocess.run([PYTHON, "-c", ask], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return Path(told.stdout.strip()) if told.stdout else None


def stamp(lock: Path) -> str:
    """What an installation depends on: the lock and this file."""
    return hashlib.sha256(lock.read_bytes() + Path(__file__).read_bytes()).hexdigest()


def main(which: str) -> None:
    site = site_packages()
    if site is None:
        venv.create(PYTHON.parent.parent, clear=True, symlinks=True)
        site = site_packages()
    if site is None:
        sys.exit(f"No environment could be made in {PYTHON.parent.parent}. Nothing was installed.")

    # The development lock contains the runtime lock, so its stamp serves for both.
    wanted = stamp(LOCKS[which]), stamp(LOCKS["dev"])
    stamp_file = site / "pulang-installed"
    if stamp_file.exists() and stamp_file.read_text() in wanted:
        return

    if hashlib.sha256(PIP.read_bytes()).hexdigest() != PIP_SHA256:
        sys.exit(f"{PIP} is not the file that was committed. Nothing was installed. Restore it.")
    print(f"Installing {LOCKS[which].name} into .venv; this takes a minute, once.", flush=True)
    pip = [str(PYTHON), str(PIP / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--require-hashes", "--only-binary", ":all:", "--requirement", str(LOCKS[which])]
    if subprocess.run(pip).returncode:
        sys.exit("Not everything was installed; pip says why above. Mend that and run this again.")
    (site / "pulang.pth").write_text(os.path.relpath(ROOT, site) + "\n")
    command = PYTHON.with_name("pulang")
    command.write_text(COMMAND)
    command.chmod(0o755)
    stamp_file.write_text(wanted[0])


if __name__ == "__main__":
    if sys.version_info < (3, 11):
        sys.exit("Pulang needs Python 3.11 or newer; `python3` here is older. Nothing was changed.")
    if sys.argv[1:] not in (["runtime"], ["dev"]):
        sys.exit(__doc__)
    main(sys.argv[1])
