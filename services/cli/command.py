"""The parts that every command shares: settings, the office, what is printed.

Settings are `PULANG_*`; with `--office CODE`, those of a running demo are read from
`var/demo/CODE.env`. Exit codes: 0 fine, 1 found something wrong, 2 could not run.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.kernel.keyring import Keyring
from shared.runtime.manifest import Service
from shared.runtime.office import Office, open_keyring, open_office
from shared.runtime.settings import Settings

T = TypeVar("T")

FOUND_WRONG = 1
COULD_NOT_RUN = 2
DEMO = Path("var/demo")

console = Console()
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class CouldNotRun(Exception):
    """Said to the operator as it stands; exit code 2."""


def read_settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        names = ", ".join(
            f"PULANG_{str(e['loc'][0]).upper()}" if e["loc"] else e["msg"] for e in error.errors()
        )
        raise CouldNotRun(f"These settings are missing or wrong: {names}.") from None


def service_of(settings: Settings) -> Service:
    return CITY if settings.kind == "city" else PROVINCE


def with_office(work: Callable[[Office], Awaitable[T]]) -> T:
    settings = read_settings()

    async def run() -> T:
        async with open_office(settings, service_of(settings)) as office:
            return await work(office)

    return asyncio.run(run())


def printable(value: object) -> str:
    """Text that others wrote, without what a terminal would obey."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(value))


def plain(value: object) -> str:
    """The same for a cell of a table: brackets in it style nothing."""
    return escape(printable(value))


def print_json(found: Any) -> None:
    sys.stdout.write(json.dumps(found, default=str, ensure_ascii=False) + "\n")


def with_keyring(work: Callable[[Keyring], Awaitable[T]]) -> T:
    settings = read_settings()

    async def run() -> T:
        async with open_keyring(settings) as keyring:
            return await work(keyring)

    return asyncio.run(run())


def operator() -> str:
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or "operator"
