"""The page of equations: it shows what was derived last, and derives only when somebody asks."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest

from shared.kernel import asof
from shared.runtime import custody_routes
from shared.runtime.audit import sums
from shared.runtime.screens.paging import PAGE_ROWS
from tests.screens.browser import Browser, operation_shown, signed_in
from tests.system import story
from tests.system.offices import Desk
from tests.system.test_command import environment
from tests.system.typed import pulang

NEVER = "Belum pernah dihitung"
ALL = "Sesudah itu tidak ada yang tercatat."


@pytest.fixture
async def auditor(city: Desk, stack: AsyncExitStack) -> Browser:
    return await stack.enter_async_context(signed_in(city, "pemeriksa", "auditor"))


async def press(auditor: Browser, status: int = 200) -> str:
    page = await auditor.submit(await auditor.open("/persamaan"), "derive")
    assert page.status_code == status, page.text
    return page.text


async def test_what_was_derived_last_is_shown_with_what_came_since(
    city: Desk, auditor: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await operation_shown(city)
    page = (await auditor.open("/persamaan")).text
    assert NEVER in page
    assert "papan kegiatan" not in page
    size = await city.size()
    page = await press(auditor)
    assert "oleh pemeriksa, dari 2 peristiwa dalam log" in page
    assert ALL in page
    assert "Angka ini dapat berbeda dari papan kegiatan" in page
    assert await city.size() == size, "nothing of it is an event"

    async def never(*_: Any) -> Any:
        raise RuntimeError("a page that is opened derives nothing")

    await story.register(city, story.intake_row())
    with monkeypatch.context() as patched:
        patched.setattr(custody_routes, "derive", never)
        page = (await auditor.open("/persamaan")).text
    assert f"Sesudah itu tercatat {await city.size() - size} peristiwa lagi" in page
    assert "dari 2 peristiwa dalam log" in page
    page = await press(auditor)
    assert f"dari {await city.size()} peristiwa dalam log" in page
    assert ALL in page


async def test_a_fold_that_took_long_hides_none_that_saw_more(city: Desk, auditor: Browser) -> None:
    await operation_shown(city)
    await press(auditor)
    async with city.office.pool.connection() as connection:
        slow = await sums.kept(connection)
    assert slow
    await story.register(city, story.intake_row())
    await press(auditor)
    async with city.office.pool.connection() as connection:
        await sums.keep(connection, slow["found"], slow["made_at"], "operator")
    page = (await auditor.open("/persamaan")).text
    assert f"oleh pemeriksa, dari {await city.size()} peristiwa dalam log" in page


async def test_a_log_too_long_for_the_page_is_derived_by_the_operator_and_shown(
    city: Desk, auditor: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await operation_shown(city)
    monkeypatch.setattr(custody_routes, "EQUATIONS_EVENTS", 1)
    page = await press(auditor, 503)
    assert "LOG_TOO_LONG" in page
    assert NEVER in page
    code, _, err = await pulang("audit", "equations", **environment(city), SUDO_USER="siti")
    assert code == 0, err
    page = (await auditor.open("/persamaan")).text
    assert "oleh siti, dari 2 peristiwa dalam log" in page
    page = await press(auditor, 503)
    assert "oleh siti, dari 2 peristiwa dalam log" in page, "the last answer stays"


async def test_two_derive_at_once_and_a_third_is_told_so(city: Desk, auditor: Browser) -> None:
    await operation_shown(city)
    pool = city.office.pool
    async with pool.connection() as one, one.transaction():
        await asof.slot(one)
        async with pool.connection() as other, other.transaction():
            await asof.slot(other)
            assert "PAST_BUSY" in await press(auditor, 503)
    assert ALL in await press(auditor)


async def test_many_equations_come_a_page_at_a_time(city: Desk, auditor: Browser) -> None:
    operations = PAGE_ROWS // 2 + 1
    for number in range(operations):
        one = story.OPERATION | {"operation": f"OP-{number}"}
        await city.post("issuer", "/operations", one)
    first = await press(auditor)
    assert first.count("<h3>") == PAGE_ROWS
    second = (await auditor.open("/persamaan?halaman=2")).text
    assert second.count("<h3>") == operations * 2 - PAGE_ROWS


async def test_a_province_has_no_board_and_derives_too(
    province: Desk, stack: AsyncExitStack
) -> None:
    there = await stack.enter_async_context(signed_in(province, "pemeriksa", "auditor"))
    page = await press(there)
    assert "Belum ada peristiwa untuk dihitung." in page
    assert "papan kegiatan" not in page
