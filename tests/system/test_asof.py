"""As known and as true at a time: the case of 2019, corrections at both offices, who may ask."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from services import demo
from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.kernel import asof
from shared.runtime import history as looking_back
from shared.runtime.settings import Settings
from shared.runtime.web import reads_of
from tests.system import story
from tests.system.offices import Desk, eventually, open_desk
from tests.system.test_command import environment
from tests.system.typed import pulang

THIRD, FOURTH = "2019-10-03T18:00:00+08:00", "2019-10-04T18:00:00+08:00"
LONG_AFTER = "2099-01-01T00:00:00+08:00"


@dataclass
class FromAside:
    """An office as the example's loader speaks to it, from a thread of its own."""

    desk: Desk
    loop: asyncio.AbstractEventLoop

    def get(self, role: str, path: str) -> Any:
        return self._wait(self.desk.get(role, path))

    def post(self, role: str, path: str, key: str, body: dict[str, Any]) -> Any:
        return self._wait(self.desk.post(role, path, body, key=key))

    def _wait(self, coming: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coming, self.loop).result(60)


@pytest.fixture
async def offices(
    broker: None, stack: AsyncExitStack, settings: Callable[..., Settings]
) -> dict[str, Desk]:
    """The demo's three offices."""
    made = {"53.71": await open_desk(stack, settings("53.71", ("35", "53")), CITY)}
    for code in ("35", "53"):
        made[code] = await open_desk(stack, settings(code, ("53.71",)), PROVINCE)
    return made


async def load(offices: dict[str, Desk]) -> None:
    sys.path.insert(0, str(demo.EXAMPLE))
    try:
        example = importlib.import_module("load")
    finally:
        sys.path.remove(str(demo.EXAMPLE))
    loop = asyncio.get_running_loop()
    aside = {code: FromAside(desk, loop) for code, desk in offices.items()}
    city = aside.pop("53.71")
    await asyncio.to_thread(example.load, city, aside)


async def at(desk: Desk, path: str, role: str = "auditor", **asked: str) -> Any:
    return await desk.get(role, f"{path}?{urlencode(asked)}")


async def test_the_case_of_2019_as_it_was_true_as_it_was_known_and_what_changed(
    offices: dict[str, Desk],
) -> None:
    city = offices["53.71"]
    before = datetime.now(city.office.settings.zone).isoformat()
    await load(offices)
    await story.in_sync(*offices.values())

    # As it was true on 3 October 2019, 18:00 WITA.
    board = await at(city, "/operations/KD-2019/board", true_at=THIRD)
    assert board["declared"] == board["enumerated"] == 68
    assert board["states"] == {"assigned": 63, "undetermined": 5}
    ledger = await at(city, "/operations/KD-2019/ledger", true_at=THIRD)
    assert ledger["grants"]["standing_rupiah"] == 408_000_000
    assert len([c for c in ledger["credits"] if c["credited_on"] == "2019-10-02"]) == 68
    assert ledger["fares"]["released_rupiah"] == 126_000_000
    assert ledger["treasury_returns"] == []
    handovers = await at(city, "/handovers", true_at=THIRD)
    assert {one["phase"] for one in handovers} == {"submitted"}
    assert {one["departed_at"] for one in handovers} == {None}
    lines = await at(city, "/history/HO-KD-35", true_at=THIRD)
    assert not any("berangkat" in line["words"] for line in lines)
    assert await at(offices["35"], "/arrivals", true_at=THIRD) == []

    # A day later they had left; those of NTT were there.
    board = await at(city, "/operations/KD-2019/board", true_at=FOURTH)
    assert board["states"] == {"departed": 58, "arrived": 5, "undetermined": 5}

    # As it was known before it was loaded, there was nothing; also about that day.
    for asked in ({"known_at": before}, {"known_at": before, "true_at": THIRD}):
        assert await at(city, "/operations", **asked) == []
        assert await at(city, "/handovers", **asked) == []
        gone = await city.http.get(
            f"/api/v1/operations/KD-2019/board?{urlencode(asked)}",
            headers={"Authorization": f"Bearer {city.tokens['auditor']}"},
        )
        assert gone.status_code == 404
    assert await at(city, "/operations/KD-2019/ledger", known_at=before) == await at(
        city, "/operations/KD-2019/ledger", true_at="2019-09-01T00:00:00+08:00"
    )

    # What changed between the two days, in plain words.
    changed = await at(
        city, "/changes", axis="occurred", **{"from": THIRD, "to": FOURTH}, subject="HO-KD-53"
    )
    assert [day["day"] for day in changed["days"]] == ["2019-10-04"]
    told = [(line["actor"], line["words"]) for line in changed["days"][0]["lines"]]
    assert told[:2] == [
        ("approver", "Serah terima HO-KD-53 disahkan oleh approver, tertanggal 2019-10-04."),
        (
            "issuer",
            "Berita acara BAST/CONTOH/2019/53 terbit untuk serah terima HO-KD-53"
            " ke Nusa Tenggara Timur (53).",
        ),
    ]
    assert ("issuer", "Serah terima HO-KD-53 berangkat pada 2019-10-04T09:00:00+08:00.") in told
    arrived = [actor for actor, words in told if words.endswith("dalam HO-KD-53: tiba.")]
    assert arrived == ["office:53"] * 5
    assert changed["after"] is None

    # In pages, and the whole of the third in the command line's words.
    day = ("--from", "2019-10-03T00:00:00+08:00", "--to", "2019-10-04T00:00:00+08:00")
    code, out, err = await pulang(
        "changes", "all", *day, "--axis", "occurred", "--json", **environment(city)
    )
    assert code == 0, err
    (third,) = json.loads(out)["days"]
    words = [line["words"] for line in third["lines"]]
    for stated in ("68 (orang)", "58 (orang ke Jawa Timur)", "Rp408000000 (rupiah bantuan)"):
        said = f"Dinyatakan untuk KD-2019: {stated}, menurut "
        assert any(line.startswith(said) for line in words), stated
    assert len([one for one in words if one.startswith("Panjar Rp2000000 dicairkan")]) == 63
    failed = [line for line in third["lines"] if "KMS-2019-0017 kepada" in line["words"]]
    assert [line["why"] for line in failed] == ["alasannya tersegel"]


async def test_a_departure_that_did_not_occur_was_never_true(city: Desk, province: Desk) -> None:
    persons = await story.issued(city, 2)
    now = datetime.now(city.office.settings.zone)
    departed, between, noticed, left = (
        (now + timedelta(seconds=number)).isoformat() for number in (1, 2, 3, 4)
    )

    async def states(**asked: str) -> set[str]:
        found = await at(city, "/handovers/HO-1", **asked)
        return {found["phase"], *(entry["state"] for entry in found["entries"])}

    await city.post("issuer", "/handovers/HO-1/departure", {"occurred_at": departed})
    assert await states(true_at=between) == {"departed"}
    believed = datetime.now(city.office.settings.zone).isoformat()
    await city.post(
        "issuer",
        "/handovers/HO-1/departure-correction",
        {"reason": "Kapal batal", "occurred_at": noticed},
    )
    await city.post("issuer", "/handovers/HO-1/departure", {"occurred_at": left})
    await story.in_sync(city, province)

    assert await states() == await states(true_at=LONG_AFTER) == {"departed"}
    assert await states(true_at=between) == await states(true_at=noticed) == {"issued"}
    # What was known then of that very time is another matter: it was wrong.
    assert await states(known_at=believed, true_at=between) == {"departed"}
    expected = await at(province, "/arrivals/HO-1", true_at=between)
    assert expected["departed_at"] is None
    lines = await at(city, "/history/HO-1", true_at=LONG_AFTER)
    assert [line["words"] for line in lines if "berangkat" in line["words"].lower()] == [
        "Keberangkatan HO-1 ternyata tidak terjadi.",
        f"Serah terima HO-1 berangkat pada {left}.",
    ]
    asked = {"axis": "occurred", "from": departed, "to": left}
    days = (await at(city, "/changes", **asked))["days"]
    told = [(line["words"], line["actor"], line["why"]) for day in days for line in day["lines"]]
    assert told == [
        ("Keberangkatan HO-1 ternyata tidak terjadi.", "issuer", "alasannya tersegel"),
        (f"Serah terima HO-1 berangkat pada {left}.", "issuer", None),
    ]
    # As it was known before the correction, it had departed.
    asked = {"axis": "occurred", "from": now.isoformat(), "to": between, "known_at": believed}
    days = (await at(city, "/changes", **asked))["days"]
    assert f"Serah terima HO-1 berangkat pada {departed}." in [
        line["words"] for day in days for line in day["lines"]
    ]
    code, out, err = await pulang(
        "changes", "HO-1", "--from", now.isoformat(), "--to", LONG_AFTER, "--known-at", believed,
        "--json", **environment(city),
    )  # fmt: skip
    assert code == 0, err
    assert "berangkat" in out
    assert "ternyata tidak terjadi" not in out
    assert len(persons) == 2


async def test_a_corrected_answer_was_not_so_at_either_office(city: Desk, province: Desk) -> None:
    """She was said to have come, and had not: no arrival, no case, no bed on the day between."""
    (person,) = await story.awaited(city, province, 1)
    now = datetime.now(city.office.settings.zone)
    came = (now + timedelta(seconds=1)).isoformat()
    await story.answer(province, person, story.ARRIVED | {"occurred_at": came})
    await province.post("case_worker", f"/cases/{person}/taking")
    # What is true is asked about a time after her answer, and before its correction.
    between = (now + timedelta(seconds=2)).isoformat()
    missed = (now + timedelta(seconds=3)).isoformat()
    await story.until_states(city, {person: "arrived"})
    assert await bed_and_case(province, between) == (1, [person])
    assert await state_at_city(city, between) == "arrived"
    assert (await asked_known(city))[person] == "arrived"

    await province.post(
        "reception",
        f"/arrivals/HO-1/entries/{person}/correction",
        {
            "outcome": "absent",
            "absence": "not_on_transport",
            "corrects": 1,
            "reason": "Salah orang",
            "occurred_at": missed,
        },
    )
    await story.until_states(city, {person: "absent"})
    assert await bed_and_case(province, between) == (0, [])
    assert await bed_and_case(province, LONG_AFTER) == (0, [])
    assert await state_at_city(city, between) == "assigned"
    assert await state_at_city(city, missed) == "absent"
    told = await at(province, f"/history/{person}", true_at=LONG_AFTER)
    answers = [(line["words"], line["why"]) for line in told if "Jawaban" in line["words"]]
    assert answers == [
        (
            f"Jawaban ke-2 untuk {person} dalam HO-1: tidak tiba.",
            "alasannya tersegel; tidak ikut berangkat",
        )
    ]
    everything = await at(province, f"/history/{person}", known_at=LONG_AFTER)
    assert len([line for line in everything if "Jawaban" in line["words"]]) == 2


async def bed_and_case(province: Desk, true_at: str) -> tuple[int, list[str]]:
    (house,) = await at(province, "/houses", true_at=true_at)
    cases = await at(province, "/cases", true_at=true_at)
    return house["residents"], [case["person"] for case in cases]


async def state_at_city(city: Desk, true_at: str) -> str:
    (one,) = await at(city, "/operations/OP-TEST/beneficiaries", true_at=true_at)
    state: str = one["state"]
    return state


async def asked_known(city: Desk) -> dict[str, str]:
    found = await at(city, "/operations/OP-TEST/beneficiaries", known_at=LONG_AFTER)
    return {one["person"]: one["state"] for one in found}


async def test_a_corrected_fare_was_the_right_one_from_the_first(city: Desk) -> None:
    await story.open_operation(city)
    (person,) = await story.register(city, story.intake_row())
    release = {"person": person, "release": "PJR/1", "budget_code": "DPA/1"}
    on = {"occurred_at": "2019-10-03T09:00:00+08:00"}
    await city.post(
        "treasurer",
        "/operations/OP-TEST/advances",
        {"rows": [release | {"amount_rupiah": 2_000_000}]} | on,
    )
    path = f"/beneficiaries/{person}"
    fare = {"receipt": "KW/1", "amount_rupiah": 1_900_000}
    await city.post("treasurer", f"{path}/fares", fare | on)
    await city.post(
        "treasurer",
        f"{path}/fare-corrections",
        {"receipt": "KW/1", "amount_rupiah": 1_700_000, "reason": "Salah baca"},
    )
    ledger = await at(city, "/operations/OP-TEST/ledger", true_at="2019-10-03T10:00:00+08:00")
    assert ledger["fares"]["spent_rupiah"] == 1_700_000


async def test_at_the_end_of_time_what_is_known_and_what_is_true_is_what_staff_read(
    city: Desk, province: Desk
) -> None:
    """Every address of a read model at both offices, whatever was corrected before."""
    persons = await story.awaited(city, province, 3)
    await city.post("issuer", "/handovers/HO-1/departure")
    await city.post("issuer", "/handovers/HO-1/departure-correction", {"reason": "Batal"})
    for person in persons:
        await story.answer(province, person, story.ARRIVED)
    wrong = {"outcome": "absent", "absence": "other", "corrects": 1, "reason": "Keliru"}
    await province.post("reception", f"/arrivals/HO-1/entries/{persons[0]}/correction", wrong)
    await province.post(
        "reception", "/arrivals/HO-1/unlisted", {"house": "RS-1", "willing": True, "initials": "X"}
    )
    release = {"person": persons[1], "release": "PJR/1", "budget_code": "DPA/1"}
    await city.post(
        "treasurer",
        "/operations/OP-TEST/advances",
        {"rows": [release | {"amount_rupiah": 2_000_000}]},
    )
    for step, amount in (("fares", 1_900_000), ("fare-corrections", 1_700_000)):
        fare = {"receipt": "KW/1", "amount_rupiah": amount}
        more = {"reason": "Salah baca"} if step == "fare-corrections" else {}
        await city.post("treasurer", f"/beneficiaries/{persons[1]}/{step}", fare | more)
    named = {"operation": "OP-TEST", "handover": "HO-1", "person": persons[1]}
    await story.in_sync(city, province)
    await eventually(lambda: caught_up(city, province))
    await eventually(lambda: covered(city))
    asked = 0
    for desk in (city, province):
        for route in reads_of(desk.office.service):
            if not route.models:
                continue
            path = route.path.format(**named)
            assert route.opens is None
            live = await at(desk, path)
            assert await at(desk, path, known_at=LONG_AFTER) == live, path
            assert await at(desk, path, true_at=LONG_AFTER) == live, path
            asked += 1
    assert asked == 5 + 13 + 6 + 5


async def caught_up(*desks: Desk) -> bool:
    found = [await desk.get("auditor", "/status") for desk in desks]
    return all(row["lag"] == 0 for one in found for row in one["projections"])


async def covered(city: Desk) -> bool:
    """A checkpoint covers the newest movement of money, so that there is a paper of it."""
    response = await city.http.get(
        "/api/v1/operations/OP-TEST/expenditure-report",
        headers={"Authorization": f"Bearer {city.tokens['auditor']}"},
    )
    return response.is_success


async def test_only_an_auditor_or_admin_looks_back(city: Desk) -> None:
    asked = f"/api/v1/operations?{urlencode({'known_at': LONG_AFTER})}"
    for role, status in (("intake", 403), ("auditor", 200), ("treasurer", 403)):
        response = await city.http.get(
            asked, headers={"Authorization": f"Bearer {city.tokens[role]}"}
        )
        assert response.status_code == status, role
    assert response.json()["code"] == "ROLE_MISSING"
    assert "auditor dan admin" in response.json()["detail"]


async def test_no_identity_opens_as_of_a_time(city: Desk, province: Desk) -> None:
    for desk in (city, province):
        assert not [r for r in reads_of(desk.office.service) if r.opens and r.models]


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ("/operations?true_at=kemarin", 422, "TIME_UNREADABLE"),
        ("/operations?known_at=9999-12-31T23:59:59-12:00", 422, "TIME_UNREADABLE"),
        ("/operations?known_at=0001-01-01T00:00:00Z", 422, "TIME_UNREADABLE"),
        ("/operations?known_at=2019-10-03T00:00:00%2B23:59", 422, "TIME_UNREADABLE"),
        ("/history/HO-1?true_at=2019-10-03", 422, "TIME_UNREADABLE"),
        ("/handovers/HO-1?as_of=2019-10-03T00:00:00Z", 422, "UNKNOWN_PARAMETER"),
        ("/links?known_at=2019-10-03T00:00:00Z", 422, "UNKNOWN_PARAMETER"),
        ("/changes", 422, "CHANGES_UNREADABLE"),
        ("/changes?from=2019-10-03T00:00:00Z", 422, "CHANGES_UNREADABLE"),
        ("/changes?from=2019-10-03T00:00:00Z&to=x", 422, "TIME_UNREADABLE"),
        (
            "/changes?from=2019-10-03T00:00:00Z&to=2019-10-04T00:00:00Z&known_at=x",
            422,
            "TIME_UNREADABLE",
        ),
        (
            "/changes?from=2019-10-03T00:00:00Z&to=2019-10-04T00:00:00Z&axis=both",
            422,
            "CHANGES_UNREADABLE",
        ),
    ],
)
async def test_a_time_or_an_axis_that_cannot_be_read_is_refused(
    city: Desk, asked: str, status: int, code: str
) -> None:
    response = await city.http.get(
        f"/api/v1{asked}", headers={"Authorization": f"Bearer {city.tokens['auditor']}"}
    )
    assert (response.status_code, response.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("raised", "status", "code"),
    [
        (asof.TooLong, 503, "PAST_TOO_LONG"),
        (asof.Busy, 503, "PAST_BUSY"),
        (asof.Untold, 409, "PAST_CONTRADICTS"),
    ],
)
async def test_what_cannot_be_built_is_refused_with_a_sentence(
    city: Desk, monkeypatch: pytest.MonkeyPatch, raised: type[Exception], status: int, code: str
) -> None:
    async def no(*_: Any, **__: Any) -> None:
        raise raised

    monkeypatch.setattr(asof, "_build", no)
    response = await city.http.get(
        "/api/v1/operations?known_at=2019-10-03T00:00:00Z",
        headers={"Authorization": f"Bearer {city.tokens['auditor']}"},
    )
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert await city.get("auditor", "/operations") == []


async def test_changes_come_in_pages_on_both_axes(
    city: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await story.issued(city, 3)
    monkeypatch.setattr(looking_back, "LINES", 4)
    for axis in ("recorded", "occurred"):
        positions: list[int] = []
        asked = {"from": "2000-01-01T00:00:00Z", "to": LONG_AFTER, "axis": axis}
        after: Any = 0
        while after is not None:
            found = await at(city, "/changes", **asked, after=str(after))
            lines = [line for day in found["days"] for line in day["lines"]]
            assert 0 < len(lines) <= 4
            positions += [line["position"] for line in lines]
            after = found["after"]
        assert sorted(positions) == list(range(1, await city.size() + 1))
    # Where the last page is full, it is still said to be the last.
    monkeypatch.setattr(looking_back, "LINES", await city.size())
    assert (await at(city, "/changes", **asked))["after"] is None


async def test_a_page_goes_on_from_a_line_that_was_corrected_meanwhile(
    city: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await story.open_operation(city)
    (person,) = await story.register(city, story.intake_row())
    release = {"person": person, "release": "PJR/1", "budget_code": "DPA/1"}
    await city.post(
        "treasurer",
        "/operations/OP-TEST/advances",
        {"rows": [release | {"amount_rupiah": 2_000_000}]},
    )
    path = f"/beneficiaries/{person}"
    fare = {"receipt": "KW/1", "amount_rupiah": 1_900_000}
    await city.post("treasurer", f"{path}/fares", fare)
    asked = {"from": "2000-01-01T00:00:00Z", "to": LONG_AFTER, "axis": "occurred"}
    size = await city.size()
    await city.post("issuer", "/handovers", story.DRAFT | {"handover": "HO-1"})
    monkeypatch.setattr(looking_back, "LINES", size)
    first = await at(city, "/changes", **asked)
    assert first["days"][-1]["lines"][-1]["words"].startswith("Tiket Rp1900000")
    await city.post(
        "treasurer", f"{path}/fare-corrections", fare | {"amount_rupiah": 1, "reason": "Keliru"}
    )
    rest = await at(city, "/changes", **asked, after=str(first["after"]))
    words = [line["words"] for day in rest["days"] for line in day["lines"]]
    assert any(one.startswith("Serah terima HO-1") for one in words)


async def test_what_others_wrote_styles_nothing_in_the_command_line(city: Desk) -> None:
    await story.open_operation(city)
    claim = {
        "subject": "persons",
        "figure": 68,
        "source": "Koran[/] [red]A[/red]",
        "stated_by": "Kepala",
        "stated_on": "2019-10-03",
    }
    await city.post("issuer", "/operations/OP-TEST/claims", claim)
    span = ("--from", "2000-01-01T00:00:00Z", "--to", LONG_AFTER)
    for words in (("history", "OP-TEST"), ("changes", "OP-TEST", *span)):
        code, out, err = await pulang(*words, **environment(city))
        assert code == 0, err
        assert "Koran[/]" in out
        assert "[red]A[/red]" in out
    assert (await pulang("history", "[/]", **environment(city)))[:2] == (
        1,
        "Tidak ada catatan tentang [/].\n",
    )
