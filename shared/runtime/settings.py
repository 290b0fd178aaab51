"""An office's settings, from `PULANG_*` in the environment."""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.contracts.values import OfficeCode

OFFICE_KEY_BYTES = 32


def _split(value: Any) -> Any:
    return tuple(filter(None, value.split(","))) if isinstance(value, str) else value


def _zone(name: str) -> str:
    ZoneInfo(name)
    return name


class Settings(BaseSettings):
    """One office: who it is, whom it has links with, and where its servers are."""

    model_config = SettingsConfigDict(env_prefix="PULANG_", frozen=True)

    office: OfficeCode
    office_name: str = Field(min_length=1)
    partners: Annotated[tuple[OfficeCode, ...], NoDecode, BeforeValidator(_split)] = ()
    time_zone: Annotated[str, AfterValidator(_zone)] = "Asia/Makassar"
    database_url: str = Field(pattern=r"^postgresql://")
    redis_url: str = Field(pattern=r"^(rediss?|unix)://")
    key_file: Path
    host: str = "127.0.0.1"
    port: int = Field(default=8071, ge=1, le=65535)
    pool_connections: int = Field(default=10, ge=2, le=100)
    body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    read_your_writes_seconds: float = Field(default=2.0, ge=0)

    @property
    def kind(self) -> str:
        """A code with a dot is a city's, one without a province's."""
        return "city" if "." in self.office else "province"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


class KeyFileMissing(Exception):
    """The office's key file is not there, or is none."""


def read_office_key(path: Path) -> bytes:
    """The 32 bytes that wrap this office's person keys. Raises KeyFileMissing."""
    try:
        key = b64decode(path.read_text().strip(), validate=True)
    except FileNotFoundError:
        raise KeyFileMissing(
            f"{path} is missing: restore it, or run `pulang migrate` once"
        ) from None
    except (OSError, ValueError) as error:
        raise KeyFileMissing(f"{path} can't be read as a key: {type(error).__name__}") from None
    if len(key) != OFFICE_KEY_BYTES:
        raise KeyFileMissing(f"{path} is no office key: it has {len(key)} bytes")
    return key


def make_office_key(path: Path) -> None:
    """Draws a new office key into a file that only this user can read, unless one is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(b64encode(os.urandom(OFFICE_KEY_BYTES)).decode() + "\n")
