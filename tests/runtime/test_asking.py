"""A partner is asked for its account: in pages, and only for what differs. Without a database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from shared.runtime.audit import account, asking
from shared.runtime.audit.account import Account, Line, NoAccount
from shared.runtime.audit.asking import Answer, Interview, Question, reply
from shared.runtime.audit.reconcile import compare
from tests.runtime.test_reconcile import WHEN, body, city, end, lines, province


def of_subjects(*subjects: str) -> list[Line]:
    return [account.line(n, body(n, one), "applied") for n, one in enumerate(subjects, 1)]


def partner(theirs: Account, asked: list[Question]) -> Callable[[Question], Awaitable[Answer]]:
    async def ask(question: Question) -> Answer:
        asked.append(question)
        told = reply(theirs, Question.model_validate_json(question.model_dump_json()))
        return Answer.model_validate_json(told.model_dump_json())

    return ask


async def told(ours: Account, theirs: Account) -> tuple[Account, list[Question]]:
    asked: list[Question] = []
    interview = Interview(partner(theirs, asked), theirs.office, ours.office)
    await interview.begin()
    return await interview.finish(ours), asked


async def test_where_all_is_alike_no_line_is_asked_for() -> None:
    ours, theirs = city(end(3), end(2)), province(end(3), end(2))
    found, asked = await told(ours, theirs)
    assert found == theirs
    assert [(one.of, one.groups) for one in asked] == [("sent", ()), ("received", ())]


@pytest.mark.parametrize(
    "theirs",
    [
        province(end(3, lines(1, 3))),
        province(end(2)),
        province(end(4)),
        province(end(3, [*lines(1), account.line(2, body(2, "HO-2"), "applied"), *lines(3)])),
        province(end(3, [*lines(1), *lines(2, state="parked"), *lines(3, state="discarded")])),
        province(end(3), end(5)),
        province(end(3), end(2, lines(2))),
    ],
)
async def test_the_partner_s_account_is_what_a_file_of_it_would_be(
    theirs: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PAGE", 1)
    ours = city(end(3), end(2))
    found, _ = await told(ours, theirs)
    assert compare(ours, found) == compare(ours, theirs)
    assert compare(ours, theirs).differences


async def test_only_the_lines_of_groups_that_differ_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "PAGE", 2)
    monkeypatch.setattr(asking, "GROUPS_ASKED", 2)
    subjects = [f"HO-{n}" for n in (1, 2, 3, 4, 5)] * 3
    sent = of_subjects(*subjects)
    kept = [one for one in sent if one.number not in (3, 8, 4)]
    ours, theirs = city(end(15, sent)), province(end(15, kept))
    found, asked = await told(ours, theirs)
    assert found.received.messages == theirs.received.messages
    groups = {key[1] for one in asked for key in one.groups}
    assert groups == {"HO-3", "HO-4"}
    assert [one.number for one in compare(ours, found).differences] == [3, 4, 8]


async def test_what_comes_after_the_first_answer_is_not_told() -> None:
    """The numbers of the first answer bound all others, however the partner goes on."""
    asked: list[Question] = []
    made = iter([province(end(3)), province(end(9))])
    ours = city(end(9))

    async def ask(question: Question) -> Answer:
        asked.append(question)
        return reply(next(made), question)

    interview = Interview(ask, "35", "53.71")
    await interview.begin()
    found = await interview.finish(ours)
    assert (found.received, asked[1].through) == (end(3), 3)
    assert {one.kind for one in compare(ours, found).differences} == {"not_yet"}


@pytest.mark.parametrize(
    "lie",
    [
        {"lines": tuple(lines(1))},
        {"lines": tuple(lines(2, 2))},
        {"lines": tuple(lines(1, 2, 3, 4))},
        {"lines": (), "more": True},
        {"lines": ()},
    ],
    ids=["other lines", "one twice", "beyond its end", "no end", "none"],
)
async def test_a_partner_that_contradicts_itself_is_not_compared(lie: dict[str, object]) -> None:
    ours, theirs = city(end(3)), province(end(3, lines(1, 3)))

    async def ask(question: Question) -> Answer:
        found = reply(theirs, question)
        return found.model_copy(update=lie) if question.groups else found

    interview = Interview(ask, "35", "53.71")
    await interview.begin()
    with pytest.raises(NoAccount, match=r"contradicts itself|no end"):
        await interview.finish(ours)


async def test_a_refusal_is_said_in_the_partner_s_words() -> None:
    async def ask(question: Question) -> Answer:
        return Answer(id=question.id, made_at=WHEN, refused="the link is too long")

    with pytest.raises(NoAccount, match="office 35 can't answer: the link is too long"):
        await Interview(ask, "35", "53.71").begin()
