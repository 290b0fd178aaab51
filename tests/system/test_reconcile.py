"""Two offices hold their accounts of one link against one another, by file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shared.kernel import note
from tests.servers import Servers
from tests.system import story
from tests.system.offices import Desk, eventually
from tests.system.test_audit import whole_story
from tests.system.test_command import environment, pulang
from tests.system.test_parked import STRANGER, told_of_nobody
from tests.system.test_tampering import owners


def partner_of(desk: Desk) -> str:
    return "35" if desk.office.settings.office == "53.71" else "53.71"


async def exported(desk: Desk, path: Path) -> dict[str, Any]:
    words = ("audit", "reconcile", partner_of(desk), "--export", str(path))
    code, _, err = await pulang(*words, **environment(desk))
    assert code == 0, err
    found: dict[str, Any] = json.loads(path.read_text())
    return found


async def compared(desk: Desk, path: Path) -> tuple[int, dict[str, Any]]:
    words = ("audit", "reconcile", partner_of(desk), "--with", str(path), "--json")
    code, out, err = await pulang(*words, **environment(desk))
    assert out, err
    return code, json.loads(out)


def named(found: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(one["kind"], one["sender"], one["number"]) for one in found["differences"]]


async def test_two_offices_in_sync_differ_in_nothing_both_ways(
    city: Desk, province: Desk, tmp_path: Path
) -> None:
    await whole_story(city, province)
    ours = await exported(city, tmp_path / "53.71.json")
    theirs = await exported(province, tmp_path / "35.json")
    assert ours["sent"]["groups"] == theirs["received"]["groups"] != []
    assert ours["received"]["groups"] == theirs["sent"]["groups"] != []
    assert note.parse(ours["checkpoint"]).office == "53.71"
    for desk, file in ((city, "35.json"), (province, "53.71.json")):
        code, found = await compared(desk, tmp_path / file)
        assert (code, found["differences"], found["history"]) == (0, [], [])
        assert found["sent"] > 0
        assert found["received"] > 0
    text = (tmp_path / "53.71.json").read_text()
    # Codes and digests: nothing that is sealed, no field of a message, no account of staff.
    assert "s1." not in text
    assert "data" not in text
    assert "issuer" not in text


LOST_AND_CHANGED = [("different", "53.71", 1), ("extra", "53.71", 2), ("missing", "53.71", 3)]


async def lost_and_changed(city: Desk, province: Desk, servers: Servers) -> None:
    """Of what the city has told, one message is lost at each office, and one is another there."""
    await whole_story(city, province)
    async with owners(city, servers) as db:
        await db.execute("delete from outbox where receiver = '35' and sequence = 2")
    async with owners(province, servers) as db:
        await db.execute(
            "update inbox set body = replace(convert_from(body, 'UTF8'), '2019', '2018')::bytea"
            " where sender = '53.71' and sequence = 1"
        )
        await db.execute("delete from inbox where sender = '53.71' and sequence = 3")


async def test_a_deleted_and_a_changed_message_are_named_both_ways(
    city: Desk, province: Desk, servers: Servers, tmp_path: Path
) -> None:
    await lost_and_changed(city, province, servers)
    await exported(city, tmp_path / "53.71.json")
    await exported(province, tmp_path / "35.json")
    for desk, file in ((city, "35.json"), (province, "53.71.json")):
        code, found = await compared(desk, tmp_path / file)
        assert (code, named(found)) == (1, LOST_AND_CHANGED)
        assert all(one["type"] and one["subject"] for one in found["differences"])
    words = ("audit", "reconcile", "35", "--with", str(tmp_path / "35.json"))
    code, out, _ = await pulang(*words, **environment(city))
    assert code == 1
    assert "different: 53.71 to 35, number 1, pulang.handover.issued.v1 HO-1: 35 has other" in out
    assert out.endswith("3 difference(s).\n")


async def test_what_is_parked_and_then_discarded_is_named_both_ways(
    city: Desk, province: Desk, tmp_path: Path
) -> None:
    await story.issued(city, 1)
    await story.expected(province)
    await told_of_nobody(province, "ready")

    (one,) = await story.parked(city)
    for kind in ("parked", "discarded"):
        await exported(city, tmp_path / f"{kind}-53.71.json")
        await exported(province, tmp_path / f"{kind}-35.json")
        for desk, file in ((city, f"{kind}-35.json"), (province, f"{kind}-53.71.json")):
            code, found = await compared(desk, tmp_path / file)
            # With its reason on the record it is explained, and named all the same.
            assert (code, [line["kind"] for line in found["differences"]]) == (
                1 if kind == "parked" else 0,
                [kind],
            )
            assert found["differences"][0]["subject"] == STRANGER
        discard = ("parked", "discard", str(one["id"]), "--reason", "Kiriman uji")
        await pulang(*discard, **environment(city))


async def test_an_earlier_account_is_no_fault_and_what_it_lacks_is_named(
    city: Desk, province: Desk, tmp_path: Path
) -> None:
    await exported(city, tmp_path / "53.71.json")
    await exported(province, tmp_path / "35.json")
    await whole_story(city, province)
    for desk, file in ((city, "35.json"), (province, "53.71.json")):
        code, found = await compared(desk, tmp_path / file)
        assert (code, found["faults"]) == (0, 0)
        assert {one["kind"] for one in found["differences"]} == {"not_yet"}
        assert {one["sender"] for one in found["differences"]} == {"53.71", "35"}


async def test_a_history_that_is_not_the_witnessed_one_is_named(
    city: Desk, province: Desk, servers: Servers, tmp_path: Path
) -> None:
    await whole_story(city, province)
    path = tmp_path / "35.json"
    found = await exported(province, path)
    text = found["checkpoint"].splitlines(keepends=True)
    text[2] = "A" * 43 + "=\n"
    path.write_text(json.dumps(found | {"checkpoint": "".join(text)}))
    code, said = await compared(city, path)
    assert (code, said["differences"]) == (1, [])
    assert "signed by no key" in said["history"][0]
    assert "another history" in said["history"][1]


async def test_a_discard_without_its_record_explains_nothing(
    city: Desk, province: Desk, servers: Servers, tmp_path: Path
) -> None:
    await story.issued(city, 1)
    await story.expected(province)
    await told_of_nobody(province, "ready")

    async def parked() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await city.get("operator", "/parked")
        return found

    await eventually(parked)
    async with owners(city, servers) as db:
        await db.execute("update parked set settled_as = 'discarded', settled_at = now()")
    await exported(province, tmp_path / "35.json")
    code, found = await compared(city, tmp_path / "35.json")
    assert (code, [line["kind"] for line in found["differences"]]) == (1, ["parked"])


async def test_a_file_that_was_changed_or_not_signed_is_said_to_be(
    city: Desk, province: Desk, tmp_path: Path
) -> None:
    await whole_story(city, province)
    path = tmp_path / "35.json"
    found = await exported(province, path)
    changed = json.loads(path.read_text())
    changed["sent"]["messages"][0]["state"] = "sent"
    for other in (changed, found | {"signature": None}):
        path.write_text(json.dumps(other))
        code, said = await compared(city, path)
        assert (code, said["differences"]) == (1, [])
        assert "the file is signed by no key of 35" in said["history"][0]


async def test_bad_input_is_refused_and_nothing_is_written(
    city: Desk, province: Desk, tmp_path: Path
) -> None:
    ours = tmp_path / "53.71.json"
    await exported(city, ours)
    whole = ours.read_text()
    cut = tmp_path / "cut.json"
    cut.write_text(whole[: len(whole) // 2])
    before = {one.name for one in tmp_path.iterdir()}
    for words, said in (
        (("35", "--with", str(ours)), "the account of office 53.71"),
        (("35", "--with", str(cut)), "not all of it"),
        (("35", "--with", str(tmp_path / "none")), "can't be read"),
        (("36", "--with", str(ours)), "no link with 36"),
        (("36", "--export", str(tmp_path / "36.json")), "no link with 36"),
        (("35", "--export", str(ours)), "exists already"),
        (("35", "--export", str(ours), "--with", str(ours)), "one of"),
        (("--with", str(ours)), "with which partner"),
    ):
        code, out, err = await pulang("audit", "reconcile", *words, **environment(city))
        assert (code, out) == (2, ""), words
        assert said in err
    assert ours.read_text() == whole
    assert {one.name for one in tmp_path.iterdir()} == before
