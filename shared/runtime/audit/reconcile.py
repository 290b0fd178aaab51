"""`pulang audit reconcile`: what two offices have told each other, held against one another.

The partner's account comes as a file and is older than this office's own tables. So what this
office has sent and the file does not reach yet is no fault; what the file has of this office and
its own tables have not, is one.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

from psycopg import AsyncConnection

from shared.kernel import note
from shared.kernel.note import Checkpoint, NotANote
from shared.runtime.audit.account import Account, Direction, Line, NoAccount, account, signed_bytes
from shared.runtime.audit.verify import Keys
from shared.runtime.office import Office

Kind = Literal["missing", "extra", "different", "parked", "discarded", "not_yet"]
NO_FAULT = ("discarded", "not_yet")


@dataclass(frozen=True, slots=True)
class Difference:
    """One message on which two accounts differ. `not_yet` and `discarded`, which its receiver has
    put on the record with a reason, are named, and are no fault."""

    kind: Kind
    sender: str
    receiver: str
    number: int
    type: str
    subject: str
    period: str
    words: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`history` says what is wrong with the signed history that the partner's account names."""

    office: str
    partner: str
    exported_at: datetime
    sent: int
    received: int
    differences: Sequence[Difference]
    history: Sequence[str] = ()

    @property
    def faults(self) -> int:
        return len(self.history) + sum(one.kind not in NO_FAULT for one in self.differences)

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The months and subjects in which something differs, of each direction."""
        found: dict[tuple[str, str, str], int] = {}
        for one in self.differences:
            if one.kind not in NO_FAULT:
                key = (one.sender, one.period, one.subject)
                found[key] = found.get(key, 0) + 1
        return [
            {"sender": sender, "period": period, "subject": subject, "differences": number}
            for (sender, period, subject), number in sorted(found.items())
        ]

    def document(self) -> dict[str, Any]:
        return {
            "office": self.office,
            "partner": self.partner,
            "exported_at": self.exported_at.isoformat(),
            "sent": self.sent,
            "received": self.received,
            "faults": self.faults,
            "history": list(self.history),
            "groups": self.groups,
            "differences": [asdict(one) for one in self.differences],
        }


@dataclass(frozen=True, slots=True)
class Counted:
    """What the partner is known to have counted to, whatever it tells: of what this office sent
    and it confirmed, and of what it sent and is here."""

    confirmed: int = 0
    received: int = 0


def compare(ours: Account, theirs: Account, before: Counted = Counted()) -> Comparison:
    """Both directions. `theirs` was made before `ours`, and after what it had counted `before`.

    Raises NoAccount where they don't meet.
    """
    if (theirs.office, theirs.partner) != (ours.partner, ours.office):
        raise NoAccount(
            f"the file is the account of office {theirs.office} of its link with {theirs.partner},"
            f" not of {ours.partner} with {ours.office}"
        )
    when = theirs.made_at.isoformat(timespec="seconds")
    found = [
        *_differ(
            _Link(
                ours.office, theirs.office, ours.sent, theirs.received, True, when, before.confirmed
            )
        ),
        *_differ(
            _Link(
                theirs.office, ours.office, theirs.sent, ours.received, False, when, before.received
            )
        ),
    ]
    return Comparison(
        ours.office,
        ours.partner,
        theirs.made_at,
        len(ours.sent.messages),
        len(ours.received.messages),
        found,
    )


@dataclass(frozen=True, slots=True)
class _Link:
    """One direction; `sent_here` says whether this office is its sender, and so reads it live.

    Through `counted` the partner had it before it told its account.
    """

    sender: str
    receiver: str
    sent: Direction
    received: Direction
    sent_here: bool
    exported: str
    counted: int = 0

    def difference(self, kind: Kind, line: Line, words: str) -> Difference:
        return Difference(
            kind,
            self.sender,
            self.receiver,
            line.number,
            line.type,
            line.subject,
            line.period,
            words,
        )


def _differ(link: _Link) -> Iterator[Difference]:
    sent = {line.number: line for line in link.sent.messages}
    received = {line.number: line for line in link.received.messages}
    before = 0
    for number in sorted(sent.keys() | received.keys()):
        yield from _neither(link, before + 1, number - 1)
        before = number
        ours, theirs = sent.get(number), received.get(number)
        if ours and theirs:
            yield from _both(link, ours, theirs)
        elif ours:
            yield _not_received(link, ours)
        elif theirs:
            yield _not_sent(link, theirs)
    yield from _neither(link, before + 1, max(link.sent.last, link.received.last))


def _neither(link: _Link, first: int, last: int) -> Iterator[Difference]:
    if first > last:
        return
    numbers = f"number {first}" if first == last else f"numbers {first} to {last}"
    who = link.sender if first <= link.sent.last else link.receiver
    words = f"neither office has {numbers}, and {who} counts on from there: lost at both ends"
    yield Difference("missing", link.sender, link.receiver, first, "", "", "", words)


def _both(link: _Link, sent: Line, received: Line) -> Iterator[Difference]:
    named = sent if sent.type else received
    if sent.sha256 != received.sha256:
        words = (
            f"{link.receiver} has other bytes than {link.sender} has sent"
            f" (there {received.sha256[:12]}…, sent {sent.sha256[:12]}…)"
        )
        yield link.difference("different", named, words)
    elif (sent.type, sent.subject, sent.period) != (
        received.type,
        received.subject,
        received.period,
    ):
        words = "the bytes are the same, and the two accounts give them other names"
        yield link.difference("different", named, words)
    if received.state == "parked":
        words = f"parked at {link.receiver}: it has come, and people have not decided on it"
        yield link.difference("parked", named, words)
    elif received.state == "discarded":
        words = (
            f"discarded at {link.receiver}, with its reason on the record there; {link.sender} says"
            " it all the same"
        )
        yield link.difference("discarded", named, words)


def _not_received(link: _Link, line: Line) -> Difference:
    if line.number <= link.received.last:
        words = f"{link.sender} has sent it; {link.receiver} counts it as come and does not have it"
        return link.difference("missing", line, words)
    if link.sent_here and line.number > link.counted:
        words = (
            f"not there yet: the account of {link.receiver} ends at {link.received.last}"
            f" (it was made at {link.exported})"
        )
        return link.difference("not_yet", line, words)
    if link.sent_here or line.state in ("received", "applied"):
        words = (
            f"{link.receiver} has confirmed it to {link.sender}, and has only"
            f" {link.received.last} messages now: it was lost"
        )
        return link.difference("missing", line, words)
    words = f"not here yet: {link.sender} has recorded it, {link.receiver} has not confirmed it"
    return link.difference("not_yet", line, words)


def _not_sent(link: _Link, line: Line) -> Difference:
    if line.number > max(link.sent.last, link.counted) and not link.sent_here:
        words = (
            f"not in the file yet: the account of {link.sender} ends at {link.sent.last}"
            f" (it was made at {link.exported})"
        )
        return link.difference("not_yet", line, words)
    words = f"{link.receiver} has received it, and {link.sender} does not have it as sent"
    return link.difference("extra", line, words)


async def reconcile(
    connection: AsyncConnection[Any],
    office: Office,
    partner: str,
    theirs: Account,
    *,
    asked_after: Counted | None = None,
) -> Comparison:
    """The partner's account against this office's tables, as of one moment. Raises NoAccount.

    A file must be signed by the partner, and nobody knows when it was made; what came over the
    link was signed, and asked for after the partner had counted so far. `connection` is in no
    transaction yet.
    """
    async with connection.transaction():
        await connection.execute("set transaction isolation level repeatable read, read only")
        ours = await account(connection, office, partner, office.clock())
        found = compare(ours, theirs, asked_after or Counted())
        keys = Keys(ours.office)
        await keys.read(connection)
        history = await _history(connection, keys, theirs)
        if asked_after is None and not is_signed(keys, theirs):
            history.append(
                f"the file is signed by no key of {theirs.office} that this office has ever"
                " trusted, or was changed after it was signed"
            )
        return replace(found, history=history)


async def counted(connection: AsyncConnection[Any], partner: str) -> Counted:
    """What a partner asked from now on can't have less of."""
    cursor = await connection.execute(
        "select coalesce((select confirmed_through from link_out where receiver = %(partner)s), 0),"
        " coalesce((select applied_through from link_in where sender = %(partner)s), 0)",
        {"partner": partner},
    )
    return Counted(*(await cursor.fetchone() or (0, 0)))


async def export(connection: AsyncConnection[Any], office: Office, partner: str) -> Account:
    """This office's own account, as of one moment. Raises NoAccount."""
    async with connection.transaction():
        await connection.execute("set transaction isolation level repeatable read, read only")
        return await account(connection, office, partner, office.clock())


def is_signed(keys: Keys, theirs: Account) -> bool:
    """Whether its office made the file, with a key that this office has ever trusted."""
    if (by := theirs.signature) is None:
        return False
    return keys.trusts(theirs.office, by.key, signed_bytes(theirs), b64decode(by.value))


async def _history(connection: AsyncConnection[Any], keys: Keys, theirs: Account) -> list[str]:
    """The history that the account names, against the partner's keys and what was witnessed."""
    if theirs.checkpoint is None:
        return []
    try:
        one = note.parse(theirs.checkpoint)
    except NotANote:
        raise NoAccount("the checkpoint in the file is no signed note") from None
    if one.office != theirs.office or one.size > theirs.events:
        raise NoAccount("the checkpoint in the file is not of this account")
    found: list[str] = []
    if not keys.signed(theirs.office, one):
        found.append(
            f"the account's checkpoint of {one.size} events is signed by no key of {theirs.office}"
            " that this office has ever trusted"
        )
    cursor = await connection.execute(
        "select note from witnessed where office = %s and size = %s", (theirs.office, one.size)
    )
    heads = {head for (text,) in await cursor.fetchall() if (head := _head(text)) is not None}
    if heads - {one.head}:
        found.append(
            f"the account is of another history: at {one.size} events this office has witnessed"
            " another tree"
        )
    return found


def _head(text: str) -> bytes | None:
    try:
        kept: Checkpoint = note.parse(text)
    except NotANote:
        return None
    return kept.head
