"""A whole office whose wrapping keys never leave a PKCS#11 token (SoftHSM)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from pydantic import SecretStr

from services.city.service import SERVICE
from shared.kernel.rotation import rotate
from shared.runtime.settings import Settings
from tests.runtime.test_key_providers import PIN, TOKEN, module
from tests.system import story
from tests.system.offices import open_desk

__all__ = ["module"]


async def test_an_office_works_and_rotates_its_keys_on_a_token(
    module: Path, stack: AsyncExitStack, settings: Callable[..., Settings]
) -> None:
    on_token = settings("53.71", ()).model_copy(
        update={
            "key_file": None,
            "key_passphrase": None,
            "pkcs11_module": module,
            "pkcs11_token": TOKEN,
            "pkcs11_pin": SecretStr(PIN),
        }
    )
    city = await open_desk(stack, on_token, SERVICE)
    await story.open_operation(city)
    (person,) = await story.register(city, story.intake_row(name="Contoh Pertama"))
    path = f"/beneficiaries/{person}/identity"
    assert (await city.look("intake", path))["name"] == "Contoh Pertama"
    assert await rotate(city.office.keyring) == 2
    assert list(city.office.keyring.provider.epochs()) == [2]
    assert (await city.look("intake", path))["name"] == "Contoh Pertama"
    (other,) = await story.register(city, story.intake_row(name="Contoh Kedua"))
    seen = await city.look("intake", f"/beneficiaries/{other}/identity")
    assert seen["name"] == "Contoh Kedua"
