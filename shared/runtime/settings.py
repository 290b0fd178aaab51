"""An office's settings, from `PULANG_*` in the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.contracts.values import OfficeCode
from shared.kernel import asof


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
    owner_database_url: str | None = Field(default=None, pattern=r"^postgresql://")
    key_file: Path | None = None
    key_passphrase: SecretStr | None = None
    pkcs11_module: Path | None = None
    pkcs11_token: str = "pulang"  # noqa: S105 — a device's label
    pkcs11_pin: SecretStr | None = None
    public_url: str | None = Field(default=None, max_length=200, pattern=r"^https?://[^\s?#]+$")
    host: str = "127.0.0.1"
    port: int = Field(default=8071, ge=1, le=65535)
    pool_connections: int = Field(default=10, ge=2, le=100)
    body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    read_your_writes_seconds: float = Field(default=2.0, ge=0)
    past_seconds: float = Field(default=asof.SECONDS, ge=0.1, le=600)
    looks_alarm_persons: int = Field(default=100, ge=1)
    surplus_days: int = Field(default=30, ge=1, le=366)
    retention_years: int = Field(default=5, ge=1, le=100)
    oidc_issuer: str | None = Field(
        default=None, pattern=r"^(https://[^/?#]+|http://127\.0\.0\.1(:\d+)?)(/[^?#]*)?$"
    )
    oidc_client_id: str | None = Field(default=None, min_length=1)
    oidc_client_secret: SecretStr | None = None
    oidc_redirect_uri: str | None = Field(default=None, pattern=r"/masuk/oidc/kembali$")

    @model_validator(mode="after")
    def _oidc_whole(self) -> Settings:
        given = (self.oidc_issuer, self.oidc_client_id, self.oidc_redirect_uri)
        if any(given) and not all(given):
            raise ValueError("PULANG_OIDC_ISSUER, _CLIENT_ID and _REDIRECT_URI belong together")
        return self

    @property
    def kind(self) -> Literal["city", "province"]:
        """A code with a dot is a city's, one without a province's."""
        return "city" if "." in self.office else "province"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)
