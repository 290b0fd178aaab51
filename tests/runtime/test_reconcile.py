"""Two accounts of one link, held against one another: plain cases, without a database."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.runtime.audit import account
from shared.runtime.audit.account import Account, Direction, Line, NoAccount, State
from shared.runtime.audit.reconcile import Counted, compare

WHEN = datetime(2019, 10, 5, tzinfo=UTC)


def body(number: int, subject: str = "HO-1", month: str = "2019-10") -> bytes:
    return json.dumps(
        {
            "type": "pulang.handover.issued.v1",
            "subject": subject,
            "time": f"{month}-02T08:00:00+08:00",
            "sequence": str(number),
        }
    ).encode()


def lines(*numbers: int, state: State = "applied") -> list[Line]:
    return [account.line(number, body(number), state) for number in numbers]


def end(counted: int, found: list[Line] | None = None) -> Direction:
    if found is None:
        found = lines(*range(1, counted + 1))
    return account.direction(counted, found)


def city(sent: Direction, received: Direction | None = None) -> Account:
    return Account(
        format=account.FORMAT,
        office="53.71", partner="35", made_at=WHEN, events=9, checkpoint=None,
        sent=sent, received=received or end(0),
    )  # fmt: skip


def province(received: Direction, sent: Direction | None = None) -> Account:
    return Account(
        format=account.FORMAT,
        office="35", partner="53.71", made_at=WHEN, events=9, checkpoint=None,
        sent=sent or end(0), received=received,
    )  # fmt: skip


def kinds(ours: Account, theirs: Account) -> list[tuple[str, int]]:
    return [(one.kind, one.number) for one in compare(ours, theirs).differences]


def test_two_accounts_that_agree_have_no_difference_both_ways() -> None:
    one, other = city(end(3), end(2)), province(end(3), end(2))
    for ours, theirs in ((one, other), (other, one)):
        found = compare(ours, theirs)
        assert (found.faults, found.differences) == (0, [])


def test_what_was_sent_and_is_not_there_is_missing_whoever_asks() -> None:
    one, other = city(end(3)), province(end(3, lines(1, 3)))
    assert kinds(one, other) == [("missing", 2)]
    assert kinds(other, one) == [("missing", 2)]


def test_what_came_and_was_never_sent_is_extra_whoever_asks() -> None:
    one, other = city(end(3, lines(1, 3))), province(end(3))
    assert kinds(one, other) == [("extra", 2)]
    assert kinds(other, one) == [("extra", 2)]


def test_other_bytes_under_one_number_are_different() -> None:
    other = [*lines(1), account.line(2, body(2, subject="HO-2"), "applied")]
    found = compare(city(end(2)), province(end(2, other)))
    assert [(one.kind, one.number, one.subject) for one in found.differences] == [
        ("different", 2, "HO-1")
    ]
    assert found.groups == [
        {"sender": "53.71", "period": "2019-10", "subject": "HO-1", "differences": 1}
    ]


def test_the_same_bytes_under_other_names_are_different() -> None:
    renamed = lines(1)[0].model_copy(update={"subject": "HO-9"})
    assert kinds(city(end(1)), province(end(1, [renamed]))) == [("different", 1)]


def test_a_message_that_cannot_be_read_is_named_by_the_end_that_can() -> None:
    broken = account.line(1, b"\xff{", "applied")
    assert (broken.type, broken.subject, broken.period) == ("", "", "")
    (one,) = compare(city(end(1)), province(end(1, [broken]))).differences
    assert (one.kind, one.type, one.subject) == ("different", "pulang.handover.issued.v1", "HO-1")


def test_what_is_parked_or_discarded_is_named() -> None:
    held = [*lines(1, state="parked"), *lines(2, state="discarded"), *lines(3)]
    one, other = city(end(3)), province(end(3, held))
    assert kinds(one, other) == kinds(other, one) == [("parked", 1), ("discarded", 2)]


def test_what_the_partner_had_not_yet_when_it_exported_is_no_fault() -> None:
    found = compare(city(end(3)), province(end(2)))
    assert [(one.kind, one.number) for one in found.differences] == [("not_yet", 3)]
    assert found.faults == 0
    assert "not there yet" in found.differences[0].words


def test_what_the_partner_had_not_yet_sent_when_it_exported_is_no_fault() -> None:
    found = compare(province(end(3)), city(end(2)))
    assert [(one.kind, one.number) for one in found.differences] == [("not_yet", 3)]
    assert found.faults == 0


def test_what_the_partner_says_was_confirmed_here_and_is_not_here_was_lost() -> None:
    sent = [*lines(1, 2), *lines(3, state="received"), *lines(4, state="sent")]
    assert kinds(province(end(2)), city(end(4, sent))) == [("missing", 3), ("not_yet", 4)]


def test_what_the_partner_has_and_this_office_no_longer_counts_is_extra() -> None:
    assert kinds(city(end(2)), province(end(3))) == [("extra", 3)]


def test_who_is_asked_can_t_have_less_than_it_had_counted_before() -> None:
    """A partner that tells of nothing, or less, is not one that is asked a little early."""
    found = compare(city(end(3)), province(end(1)), Counted(confirmed=2))
    assert [(one.kind, one.number) for one in found.differences] == [("missing", 2), ("not_yet", 3)]
    found = compare(province(end(3)), city(end(1)), Counted(received=2))
    assert [(one.kind, one.number) for one in found.differences] == [("extra", 2), ("not_yet", 3)]
    assert found.faults == 1


def test_a_hole_at_both_ends_is_named_once_however_wide() -> None:
    wide = [*lines(1), *lines(10**12)]
    found = compare(city(end(10**12, wide)), province(end(10**12, wide))).differences
    assert [(one.kind, one.number) for one in found] == [("missing", 2)]
    assert f"numbers 2 to {10**12 - 1}" in found[0].words


def test_a_newest_message_that_is_gone_from_the_outbox_is_missed_by_its_count() -> None:
    assert kinds(city(end(2, lines(1))), province(end(1))) == [("missing", 2)]


def test_an_account_of_another_link_is_not_compared() -> None:
    with pytest.raises(NoAccount, match=r"not of 35 with 53\.71"):
        compare(city(end(1)), city(end(1)))


def test_a_file_is_written_whole_once_and_read_as_it_was(tmp_path: Path) -> None:
    made = city(end(3), end(2))
    path = tmp_path / "account.json"
    account.write(made, path)
    assert account.read(path) == made
    with pytest.raises(NoAccount, match="exists already"):
        account.write(made, path)
    with pytest.raises(NoAccount, match="can't be written"):
        account.write(made, tmp_path / "nowhere" / "account.json")
    assert [one.name for one in tmp_path.iterdir()] == ["account.json"]


def test_a_file_that_is_no_account_is_refused(tmp_path: Path) -> None:
    made = city(end(3)).model_dump_json()
    path = tmp_path / "account.json"
    short = json.loads(made)
    del short["sent"]["messages"][1]
    twice = json.loads(made)
    twice["sent"]["messages"][1]["number"] = 1
    for text, words in (
        ("", "not all of it"),
        (made[: len(made) // 2], "not all of it"),
        ("[" * 100_000, "not all of it"),
        (made.replace('"format":"pulang-account/1",', ""), "wrong is format"),
        (made.replace("pulang-account/1", "pulang-account/2"), "format"),
        (made.replace('"HO-1"', '"\\u001b[2J"'), "subject"),
        (json.dumps(short), "contradicts itself"),
        (json.dumps(twice), "contradicts itself"),
    ):
        path.write_text(text)
        with pytest.raises(NoAccount, match=words):
            account.read(path)
    with pytest.raises(NoAccount, match="can't be read"):
        account.read(tmp_path / "nothing")


def test_a_file_that_is_too_long_is_refused_before_it_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "account.json"
    monkeypatch.setattr(account, "FILE_BYTES", 100)
    path.write_text(" " * 101)
    with pytest.raises(NoAccount, match="longer"):
        account.read(path)
    with pytest.raises(NoAccount, match="longer"):
        account.write(city(end(3)), tmp_path / "other.json")
