"""A sheet that was filled in without a line, copied row by row in one form."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack

from tests.screens.browser import form_of, signed_in
from tests.screens.test_province import HERE, entries, handed_over
from tests.system import story
from tests.system.offices import Desk

SHEET = f"{HERE}/lembar"
WHEN = {"date": "2019-10-05", "time": "14:30", "house": "RS-1"}


async def test_a_sheet_is_copied_with_its_times_and_what_is_refused_is_said_by_the_row(
    city: Desk, province: Desk, stack: AsyncExitStack
) -> None:
    reception = await stack.enter_async_context(signed_in(province, "penerima", "reception"))
    persons = await handed_over(city, province, 6)
    await story.open_house(province, 1)
    page = await reception.open(SHEET)
    order = re.findall(r"<th scope=\"row\">\d+\. <span class=\"whole\">(PM-\w+)", page.text)
    printed = await province.get("reception", "/arrivals/HO-1/sheet")
    assert order == [one["person"] for one in printed["entries"]]
    assert set(order) == set(persons)
    one, two, three, four, five, six = order

    # Nothing is recorded of what is wrong as a whole.
    size = await province.size()
    empty = await reception.submit(page, "copy", **WHEN)
    assert empty.status_code == 422
    assert "Baris:" in empty.text
    late = WHEN | {"date": "2999-01-01"}
    came_back = await reception.submit(page, "copy", **late, **{one: ["b"], two: ["3"]})
    assert "2 baris belum dicatat" in came_back.text
    assert "Tidak ada yang disimpan." in came_back.text
    assert "masa depan" in came_back.text
    assert await province.size() == size

    # A program that does not ask for the good rows alone gets all or nothing.
    both = [{"person": one, **story.ARRIVED}, {"person": two, "outcome": "arrived"}]
    path = "/arrivals/HO-1/sheet"
    code = await province.refused("reception", path, {"rows": both})
    assert code == "HOUSE_AND_WILLINGNESS"
    assert await province.size() == size

    page = await reception.open(SHEET)
    rows = {
        one: ["b", "15:05", "", ""],
        two: ["2", "", "", ""],
        three: ["b", "", "", ""],
        four: ["d", "", "", ""],
        five: ["d", "jam lima", "", "53"],
        six: ["", "", "", ""],
    }
    came_back = await reception.submit(page, "copy", **WHEN, **rows)
    assert came_back.status_code == 200
    assert "3 baris belum dicatat" in came_back.text
    assert "Baris lainnya sudah dicatat." in came_back.text
    assert "Rumah singgah penuh" in came_back.text
    assert "harus waktu" in came_back.text
    found = await entries(province)
    assert {person: found[person]["state"] for person in order} == {
        one: "arrived", two: "absent", three: "expected", four: "expected", five: "expected",
        six: "expected",
    }  # fmt: skip
    # By the office's own clock, which is that of the paper.
    assert found[one]["answered_at"].startswith("2019-10-05T07:05:00")
    assert found[two]["absence"] == "left_in_transit"
    size = await province.size()
    again = await reception.submit(page, "copy", **WHEN, **rows)
    assert "3 baris belum dicatat" in again.text
    assert await province.size() == size, "the same sheet again changes nothing"

    # Her reason is still there where the row comes back for something else.
    hasty = {three: ["b", "jam dua", "", ""], f"reason-{three}": 'Hanya "malam" ini'}
    once_more = await reception.submit(came_back, "copy", **hasty)
    assert "3 baris belum dicatat" in once_more.text
    assert form_of(once_more, "copy")[1][f"reason-{three}"] == ['Hanya "malam" ini']
    assert await province.size() == size

    # What was refused is still filled in; mended, it is sent as a form of its own.
    _, fields = form_of(came_back, "copy")
    assert fields[three][:1] == ["b"]
    assert fields[five] == ["d", "jam lima", "", "53"]
    assert one not in fields
    mended = {
        f"reason-{three}": "Hanya malam ini",
        four: ["d", "", "", "53"],
        five: ["d", "16:00", "", "53"],
    }
    done = await reception.submit(came_back, "copy", **mended)
    assert done.status_code == 303, done.text
    found = await entries(province)
    assert {found[person]["state"] for person in (three, four, five)} == {"arrived", "diverted"}
    assert "belum dicatat" not in (await reception.open(done.headers["location"])).text


async def test_a_long_sheet_stays_small_enough_for_a_thin_line(
    city: Desk, province: Desk, stack: AsyncExitStack
) -> None:
    reception = await stack.enter_async_context(signed_in(province, "penerima", "reception"))
    await handed_over(city, province, 70)
    for number in (1, 2, 3):
        house = {"house": f"RS-{number}", "name": f"Rumah contoh {number}", "capacity": 30}
        await province.post("admin", "/houses", house)
    for address in (SHEET, HERE, f"{HERE}?rumah=RS-1", f"{HERE}?keadaan=expected&halaman=2"):
        page = await reception.open(address)
        assert len(page.content) < 50_000, (address, len(page.content))
    assert "1 sampai 60 dari 70" in (await reception.open(SHEET)).text
    assert "61. <span" in (await reception.open(f"{SHEET}?halaman=2")).text
