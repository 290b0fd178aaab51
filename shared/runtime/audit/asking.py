"""Two offices compare their accounts of a link over the link itself.

The questions and answers travel beside receipts (`Receipt.asks`, `Receipt.tells`), and are no
messages: the partner's worker answers by itself, from its tables, and its log does not grow. First
it tells the digests per month and subject of both directions, up to numbers that hold for all that
follows; then the lines of those groups alone that differ. With these this office has the partner's
whole account, and compares as by file.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from shared.contracts.values import draw_id
from shared.custody.reconciliation import AskReconciliation, EndReconciliation, Outcome
from shared.kernel.handling import Unit
from shared.kernel.store import CHANNEL
from shared.runtime.audit.account import (
    FORMAT,
    MESSAGES,
    Account,
    Direction,
    Fixed,
    Group,
    Line,
    Name,
    NoAccount,
    Number,
    Period,
    direction,
    groups_of,
)
from shared.runtime.audit.reconcile import Comparison, export, reconcile
from shared.runtime.audit.reconcile import counted as counted_before
from shared.runtime.office import Office

PAGE = 2_000
"""So many groups or lines an answer holds; there may be more."""
GROUPS_ASKED = 100
WAIT_SECONDS = 30.0
LOOK_SECONDS = 0.2
ASKING_LOCK = 53710009
REST = 4.0
"""So many times as long as an answer took, its partner waits for the next."""
KEPT_SECONDS = 10.0
"""So long after an answer the account that it was told from is kept for the next question."""

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Key = tuple[Period, Name]
"""A month and a subject."""


class Question(Fixed):
    """To the office that answers: of what it has `sent`, or `received`, through a number.

    With `groups`, their lines with numbers above `after_number`; else the groups after `after`.
    """

    id: Id
    of: Literal["sent", "received"]
    through: Number | None = None
    after: Key | None = None
    groups: tuple[Key, ...] = Field(default=(), max_length=GROUPS_ASKED)
    after_number: Number = 0


class Counted(Group):
    """`held`: so many of them are parked or discarded."""

    held: Number


class Answer(Fixed):
    """`sent` and `received` are the last numbers of both directions; `more`: it goes on."""

    id: Id
    refused: str = Field(default="", max_length=200)
    made_at: AwareDatetime
    events: Number = 0
    checkpoint: str | None = Field(default=None, max_length=64 * 1024)
    sent: Number = 0
    received: Number = 0
    groups: tuple[Counted, ...] = Field(default=(), max_length=PAGE)
    lines: tuple[Line, ...] = Field(default=(), max_length=PAGE)
    more: bool = False


Ask = Callable[[Question], Awaitable[Answer]]


class Silent(NoAccount):
    """No answer came in time."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What was answered last, from which account, and from when on the next may be."""

    question: str
    answer: str
    account: Account | None
    until: float
    free: float


class Answers:
    """What this office tells partners' auditors. None of them keeps it busy by asking.

    After each answer that office waits REST times as long as the answer took. An account is made
    for the first question of an interview; those that follow are answered from the same one.
    """

    def __init__(self, office: Office) -> None:
        self._office = office
        self._told: dict[str, _Told] = {}

    async def to(self, partner: str, text: str) -> str | None:
        """The answer; None where it is too early for one. Raises ValidationError where it is no
        question."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        told = self._told.get(partner)
        if told is not None and began < told.free:
            return None
        question = Question.model_validate_json(text)
        if told is not None and told.until < began:
            told = None
        account = told.account if told is not None and question.through is not None else None
        if told is not None and told.question == text:
            answer, account = told.answer, told.account
        else:
            try:
                account = account or await self._made(partner)
                # Beside the loop: of a long link it takes a while.
                made = await asyncio.to_thread(reply, account, question)
            except NoAccount as error:
                now, refused = self._office.clock(), str(error)[:200]
                made = Answer(id=question.id, made_at=now, refused=refused)
            answer = made.model_dump_json()
        ended = loop.time()
        self._told[partner] = _Told(
            text, answer, account, ended + KEPT_SECONDS, ended + REST * (ended - began)
        )
        loop.call_later(KEPT_SECONDS, self._forget, partner, self._told[partner])
        return answer

    async def _made(self, partner: str) -> Account:
        async with self._office.pool.connection() as connection:
            return await export(connection, self._office, partner)

    def _forget(self, partner: str, told: _Told) -> None:
        """A long link's account is large."""
        if self._told.get(partner) is told:
            self._told[partner] = replace(told, answer="", question="", account=None, until=0.0)


def reply(made: Account, question: Question) -> Answer:
    """The answer to one question, out of the whole account. Pure."""
    of: Direction = made.sent if question.of == "sent" else made.received
    through = of.last if question.through is None else question.through
    lines = [one for one in of.messages if one.number <= through]
    groups: list[Counted] = []
    if question.groups:
        wanted = set(question.groups)
        lines = [
            one
            for one in lines
            if one.number > question.after_number and (one.period, one.subject) in wanted
        ]
    else:
        groups = [one for one in counted(lines) if not question.after or _key(one) > question.after]
        lines = []
    return Answer(
        id=question.id,
        made_at=made.made_at,
        events=made.events,
        checkpoint=made.checkpoint,
        sent=made.sent.last,
        received=made.received.last,
        groups=tuple(groups[:PAGE]),
        lines=tuple(lines[:PAGE]),
        more=max(len(groups), len(lines)) > PAGE,
    )


def counted(lines: Sequence[Line]) -> list[Counted]:
    held: dict[Key, int] = {}
    for one in lines:
        if one.state in ("parked", "discarded"):
            held[one.period, one.subject] = held.get((one.period, one.subject), 0) + 1
    return [Counted(**dict(one), held=held.get(_key(one), 0)) for one in groups_of(lines)]


def _key(one: Group | Line) -> Key:
    return one.period, one.subject


class Interview:
    """What the partner tells: its groups first, then what of them this office lacks."""

    def __init__(self, ask: Ask, partner: str, office: str) -> None:
        self._ask = ask
        self._partner, self._office = partner, office
        self._first: Answer | None = None
        self._groups: dict[str, list[Counted]] = {}

    async def begin(self) -> None:
        """Both directions' groups. Raises NoAccount."""
        for of in ("sent", "received"):
            groups = self._groups[of] = list[Counted]()
            more = True
            while more:
                after = _key(groups[-1]) if groups else None
                told = await self._told(of, after=after)
                groups += told.groups
                more = told.more
                self._check(len(groups), told.groups, more)

    async def finish(self, ours: Account) -> Account:
        """The partner's account; `ours` was made after `begin`. Raises NoAccount."""
        if (first := self._first) is None:
            raise RuntimeError("an interview begins before it is finished")
        return Account(
            format=FORMAT,
            office=self._partner,
            partner=self._office,
            made_at=first.made_at,
            events=first.events,
            checkpoint=first.checkpoint,
            sent=await self._direction("sent", first.sent, ours.received),
            received=await self._direction("received", first.received, ours.sent),
        )

    async def _direction(
        self, of: Literal["sent", "received"], last: int, ours: Direction
    ) -> Direction:
        kept = [one for one in ours.messages if one.number <= last]
        mine = {_key(one): one.sha256 for one in groups_of(kept)}
        groups = self._groups[of]
        alike = {_key(one) for one in groups if mine.get(_key(one)) == one.sha256 and not one.held}
        lines = [one.model_copy(update={"state": "applied"}) for one in kept if _key(one) in alike]
        others = [_key(one) for one in groups if _key(one) not in alike]
        for at in range(0, len(others), GROUPS_ASKED):
            after, more = 0, True
            while more:
                asked = tuple(others[at : at + GROUPS_ASKED])
                told = await self._told(of, groups=asked, after_number=after)
                lines += told.lines
                after, more = told.lines[-1].number if told.lines else after, told.more
                self._check(len(lines), told.lines, more)
        lines.sort(key=lambda one: one.number)
        whole = [(one.period, one.subject, one.messages, one.sha256) for one in groups]
        if (
            any(one.number == other.number for one, other in pairwise(lines))
            or (lines and lines[-1].number > last)
            or [tuple(dict(one).values()) for one in groups_of(lines)] != whole
        ):
            raise NoAccount(f"what office {self._partner} tells contradicts itself")
        return direction(last, lines)

    async def _told(self, of: str, **asked: object) -> Answer:
        first = self._first
        through = None if first is None else first.sent if of == "sent" else first.received
        question = Question.model_validate(
            {"id": secrets.token_hex(8), "of": of, "through": through} | asked
        )
        told = await self._ask(question)
        if told.refused:
            raise NoAccount(f"office {self._partner} can't answer: {told.refused}")
        self._first = first or told
        return told

    def _check(self, number: int, page: Iterable[object], more: bool) -> None:
        if number > MESSAGES or (more and not list(page)):
            raise NoAccount(f"what office {self._partner} tells has no end")


async def over_link(office: Office, partner: str, by: str) -> Comparison:
    """Asks the partner, compares, and puts both on the record. Raises NoAccount, Silent."""
    code, run = office.settings.office, draw_id("RC")
    if partner not in office.settings.partners:
        raise NoAccount(f"office {code} has no link with {partner}")
    async with office.pool.connection() as lock:
        cursor = await lock.execute(
            "select pg_try_advisory_lock(%s, hashtext(%s))", (ASKING_LOCK, partner)
        )
        if await cursor.fetchone() != (True,):
            raise NoAccount(f"somebody else is asking office {partner} just now; wait for that")
        try:
            asked = AskReconciliation(**_said(office, by), partner=partner, run=run)
            await _record(office, asked, by, run)
            outcome: Outcome = "not_compared"
            differences = 0
            try:
                found = await _compare(office, partner)
                outcome, differences = "differed" if found.faults else "agreed", found.faults
                return found
            except Silent:
                outcome = "unanswered"
                raise
            finally:
                end = EndReconciliation(
                    **_said(office, by),
                    partner=partner,
                    run=run,
                    outcome=outcome,
                    differences=differences,
                )
                await _record(office, end, by, run)
        finally:
            await lock.execute("delete from questions where partner = %s", (partner,))
            await lock.execute(
                "select pg_advisory_unlock(%s, hashtext(%s))", (ASKING_LOCK, partner)
            )


async def _compare(office: Office, partner: str) -> Comparison:
    async def ask(question: Question) -> Answer:
        return await _ask(office, partner, question)

    interview = Interview(ask, partner, office.settings.office)
    async with office.pool.connection() as connection:
        before = await counted_before(connection, partner)
    await interview.begin()
    async with office.pool.connection() as connection:
        ours = await export(connection, office, partner)
    theirs = await interview.finish(ours)
    async with office.pool.connection() as connection:
        return await reconcile(connection, office, partner, theirs, asked_after=before)


async def _ask(office: Office, partner: str, question: Question) -> Answer:
    """Leaves the question for the worker, and waits for what it brings. Raises Silent."""
    async with office.pool.connection() as connection:
        await connection.execute(
            "insert into questions (partner, id, question, asked_at) values (%s, %s, %s, %s)"
            " on conflict (partner) do update set id = excluded.id, answer = null,"
            " question = excluded.question, asked_at = excluded.asked_at",
            (partner, question.id, question.model_dump_json(), office.clock()),
        )
        await connection.execute("select pg_notify(%s, '')", (CHANNEL,))
    loop = asyncio.get_running_loop()
    until = loop.time() + WAIT_SECONDS
    while loop.time() < until:
        await asyncio.sleep(LOOK_SECONDS)
        async with office.pool.connection() as connection:
            cursor = await connection.execute(
                "select answer from questions where partner = %s and id = %s"
                " and answer is not null",
                (partner, question.id),
            )
            if row := await cursor.fetchone():
                return Answer.model_validate_json(row[0])
    raise Silent(
        f"office {partner} has not answered within {WAIT_SECONDS:.0f} seconds: a worker, here or"
        " there, is not at work, the link is cut, or its software does not know the question. Look"
        " at `pulang status` and ask again, or compare by file (--export, --with)"
    )


async def open_question(office: Office, partner: str) -> str:
    """What is to be asked now; empty where nothing is, or nobody waits for the answer any more."""
    async with office.pool.connection() as connection:
        cursor = await connection.execute(
            "select question from questions where partner = %s and answer is null"
            " and asked_at > %s - make_interval(secs => %s)",
            (partner, office.clock(), WAIT_SECONDS),
        )
        row = await cursor.fetchone()
    return str(row[0]) if row else ""


async def note_answer(office: Office, partner: str, text: str) -> None:
    """What a partner told, if anybody asked. Raises ValidationError where it is no answer."""
    told = Answer.model_validate_json(text)
    async with office.pool.connection() as connection:
        await connection.execute(
            "update questions set answer = %s where partner = %s and id = %s and answer is null",
            (told.model_dump_json(), partner, told.id),
        )


def _said(office: Office, by: str) -> dict[str, object]:
    now = office.clock()
    return {"by": by, "now": now, "occurred_at": now}


async def _record(
    office: Office, command: AskReconciliation | EndReconciliation, by: str, run: str
) -> None:
    await office.handling.handle([Unit([command])], at=command.now, actor=by, cause=run)
