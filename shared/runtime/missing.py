"""What a restored office lacks: named, got back where others hold it, or given up on the record.

A log that is held (`shared.kernel.hold`) goes on in one of two ways. *Compared*: the worker has
heard every partner since the restore, and none has witnessed or applied more than is here.
*Accepted*: an operator goes on with a reason; links then go on behind every number that a partner
is known to have.

Events come back as the exact bytes that they were, at the index where they stood, from evidence
that others keep (`offered`); their messages follow from them under the numbers that they had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection
from pydantic import ValidationError

from shared.custody.restored import Basis, SettleRestore
from shared.kernel import merkle
from shared.kernel.event import NewEvent, UnknownType
from shared.kernel.handling import Unit
from shared.kernel.hold import Hold, Past, read_hold
from shared.kernel.store import Commit, Head, read_head
from shared.runtime import offered
from shared.runtime.audit.account import Account
from shared.runtime.audit.links import as_new
from shared.runtime.audit.reconcile import is_signed
from shared.runtime.audit.verify import Keys
from shared.runtime.offered import Offered
from shared.runtime.office import Office

WORKER = "worker"
BATCH = 500
BELIEVED = 200_000
"""So many messages more than are here a partner is believed to have: links go on behind the number,
and no number can be taken back. Who says more is as one who was not heard."""


class NotMissing(Exception):
    """It can't be done, or there is nothing to do. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Partner:
    """What a partner says of this office's log. `last` is the last number recorded for it here."""

    partner: str
    heard: bool
    witnessed: int
    applied: int
    last: int
    forked: bool


@dataclass(frozen=True, slots=True)
class Missing:
    """All that is known of what is missing.

    `end` is how many events the log is known to have had. `events` are the missing ones that
    evidence has, by index; `back` says how many of them can be appended; of `unknown` indexes, from
    first to last, nothing is known. `messages` were told to partners and are not in the outbox.
    """

    hold: Hold
    partners: Sequence[Partner]
    end: int
    events: Sequence[Mapping[str, Any]]
    back: int
    unknown: Sequence[tuple[int, int]]
    messages: Sequence[Mapping[str, Any]]

    @property
    def complete(self) -> bool:
        return self.hold.why is None and not self.unknown and not self.events and not self.messages

    def document(self) -> dict[str, Any]:
        return {
            "held": self.hold.why,
            "events": self.hold.size,
            "restored": self.hold.restored_size,
            "known_to_have_had": self.end,
            "partners": [asdict(one) for one in self.partners],
            "recoverable": self.back,
            "missing": list(self.events),
            "unknown": [list(one) for one in self.unknown],
            "messages": list(self.messages),
        }


async def go_on_compared(office: Office) -> int:
    """Ends the hold of a log that was restored and lacks nothing; gives 1 where it did."""
    async with office.pool.connection() as connection:
        hold = await read_hold(connection)
        if hold.restored_at is None or hold.behind:
            return 0
        partners = await _partners(connection, office, hold)
    reach = max(hold.size, hold.given_up)
    if not all(
        one.heard and not one.forked and one.witnessed <= reach and one.applied <= one.last
        for one in partners
    ):
        return 0
    grounds = "Setiap kantor telah terdengar; tidak ada yang memiliki lebih banyak"
    await _settle(office, hold, partners, "compared", grounds, WORKER)
    return 1


async def _partners(connection: AsyncConnection[Any], office: Office, hold: Hold) -> list[Partner]:
    """Who said what since the restore, by the partner's own clock: what was on its way is older.

    And after it took in what this office has said since: what it had in its hands is applied then.
    """
    since = int(hold.restored_at.timestamp() * 1_000_000) if hold.restored_at else 0
    cursor = await connection.execute(
        "select p.partner, least(o.said_at, o.answered) > %s is true, coalesce(o.witnessed, 0),"
        " coalesce(o.applied_there, 0), coalesce((h.outgoing ->> p.partner)::bigint, 0),"
        " coalesce(o.forked, false) from unnest(%s::text[]) as p(partner) cross join log_head h"
        " left join link_out o on o.receiver = p.partner order by 1",
        (since, list(office.settings.partners)),
    )
    found = [Partner(*row) for row in await cursor.fetchall()]
    return [
        one if one.applied <= one.last + BELIEVED else replace(one, heard=False, applied=one.last)
        for one in found
    ]


async def _settle(
    office: Office, hold: Hold, partners: Sequence[Partner], basis: Basis, grounds: str, by: str
) -> None:
    now = office.clock()
    numbers = {one.partner: max(one.last, one.applied) for one in partners}
    try:
        command = SettleRestore(
            by=by,
            now=now,
            occurred_at=now,
            log=str(hold.size),
            restored=hold.restored_size,
            witnessed=hold.witnessed,
            numbers=numbers,
            unheard=tuple(one.partner for one in partners if not one.heard),
            basis=basis,
            grounds=grounds,
        )
    except ValidationError:
        raise NotMissing(
            "the reason must be one line of at most 200 characters, without a long number:"
            " nothing was decided"
        ) from None
    await office.handling.handle(
        [Unit([command])],
        at=now,
        actor=by,
        cause=f"restore-{hold.size}",
        past=Past(hold.size, settles=True, given_up=hold.witnessed, numbers=numbers),
    )


async def accept(
    office: Office, reason: str, by: str, accounts: Sequence[Account]
) -> Sequence[Partner]:
    """Goes on without what is missing, on the record; gives what was known of each partner.

    Raises NotMissing, also where the reason can't be kept.
    """
    async with office.pool.connection() as connection:
        hold = await read_hold(connection)
        if hold.why is None:
            raise NotMissing("the log is not held: there is nothing to decide")
        keys = await _keys(connection, office)
        partners = await _partners(connection, office, hold)
    told = _of_partners(office, keys, accounts)
    partners = [_with_accounts(one, hold, told) for one in partners]
    await _settle(office, hold, partners, "accepted", reason, by)
    return partners


def _with_accounts(one: Partner, hold: Hold, told: Sequence[Account]) -> Partner:
    """An account from before the restore says what its partner has at least, and no more."""
    for account in told:
        if account.office == one.partner:
            if account.received.last > one.last + BELIEVED:
                raise NotMissing(
                    f"the account of office {one.partner} counts {account.received.last} messages,"
                    f" and {one.last} are here: that can't be; nothing was decided"
                )
            fresh = hold.restored_at is None or account.made_at > hold.restored_at
            applied = max(one.applied, account.received.last)
            one = replace(one, heard=one.heard or fresh, applied=applied)
    return one


async def _keys(connection: AsyncConnection[Any], office: Office) -> Keys:
    keys = Keys(office.settings.office)
    await keys.read(connection)
    return keys


def _of_partners(office: Office, keys: Keys, accounts: Sequence[Account]) -> Sequence[Account]:
    """The accounts, where partners made them: the numbers in them can't be taken back."""
    for one in accounts:
        if one.partner != office.settings.office or one.office not in office.settings.partners:
            raise NotMissing(
                f"an account of office {one.office} of its link with {one.partner} is none of a"
                " partner's of its link with this office"
            )
        if not is_signed(keys, one):
            raise NotMissing(
                f"the account of office {one.office} is signed by no key of it that this office"
                " has ever trusted, or was changed after it was signed"
            )
    return accounts


async def find(office: Office, evidence: Sequence[Path], accounts: Sequence[Account]) -> Missing:
    """Names what is missing. Changes nothing. Raises NotMissing, offered.NotOffered."""
    async with office.pool.connection() as connection:
        keys = await _keys(connection, office)
        _of_partners(office, keys, accounts)
        hold, head = await read_hold(connection), await read_head(connection)
        partners = await _partners(connection, office, hold)
    folders = [offered.read(path, keys) for path in evidence]
    have = {one.index: one for kept in folders for one in kept.events}
    sizes = [one.size for kept in folders for _, one in kept.notes]
    given_up = hold.given_up if hold.given_up > head.size else 0
    end = max([head.size, *sizes, *(() if given_up else (hold.witnessed,))])
    lacking = range(head.size, end)
    return Missing(
        hold,
        partners,
        end,
        [_named(have[index]) for index in lacking if index in have],
        len(_continuing(office, head, have)),
        _runs([index for index in lacking if index not in have]),
        [*_messages(head, accounts), *_unnamed(partners, accounts)],
    )


def _named(one: Offered) -> dict[str, Any]:
    document = one.document
    return {
        "index": one.index,
        "type": document.get("type"),
        "subject": document.get("subject"),
        "time": document.get("time"),
        "place": one.place,
    }


def _runs(indexes: Sequence[int]) -> list[tuple[int, int]]:
    runs = groupby(enumerate(indexes), key=lambda pair: pair[1] - pair[0])
    return [(some[0][1], some[-1][1]) for some in (list(run) for _, run in runs)]


def _messages(head: Head, accounts: Sequence[Account]) -> list[dict[str, Any]]:
    """What a partner has from this office under numbers that this office does not know."""
    return [
        {
            "partner": account.office,
            "number": line.number,
            "type": line.type,
            "subject": line.subject,
            "period": line.period,
        }
        for account in accounts
        for line in account.received.messages
        if line.number > head.outgoing.get(account.office, 0)
    ]


def _unnamed(partners: Sequence[Partner], accounts: Sequence[Account]) -> list[dict[str, Any]]:
    """Numbers that a partner says to have, whose account is not at hand."""
    return [
        {"partner": one.partner, "number": number, "type": "", "subject": "", "period": ""}
        for one in partners
        if one.partner not in {account.office for account in accounts}
        for number in range(one.last + 1, one.applied + 1)
    ]


def _continuing(office: Office, head: Head, have: Mapping[int, Offered]) -> list[NewEvent]:
    """Those that continue the log from its end without a hole. Raises NotMissing."""
    found: list[NewEvent] = []
    size, frontier = head.size, head.frontier
    while (one := have.get(size)) is not None:
        if one.before != frontier:
            raise NotMissing(
                f"{one.place} is proven, but the {size} events before it are not those of this log:"
                " another backup may be the right one; run `pulang audit verify`"
            )
        found.append(_as_it_was(office, one))
        size, frontier = size + 1, merkle.extend(size, frontier, [one.body])
    return found


def _as_it_was(office: Office, one: Offered) -> NewEvent:
    """The event as it was before it was first appended, so that the one way to append takes it."""
    handling, document = office.handling, dict(one.document)
    try:
        event = handling.types.parse(document)
        new = as_new(document, event, handling.publisher(str(document["subject"]), event))
    except (UnknownType, ValidationError, KeyError, ValueError) as error:
        raise NotMissing(
            f"{one.place} can't be read by this version of the software"
            f" ({type(error).__name__}): nothing was appended"
        ) from None
    if new.body(office.settings.office) != one.body:
        raise NotMissing(
            f"{one.place} would not have the same bytes in this version of the software: restore"
            " with the version that wrote it; nothing was appended"
        )
    return new


async def recover(office: Office, evidence: Sequence[Path]) -> int:
    """Appends what continues the log; gives how many events. Raises NotMissing, NotOffered."""
    async with office.pool.connection() as connection:
        hold, head = await read_hold(connection), await read_head(connection)
        if hold.why is None:
            raise NotMissing("the log is not held: nothing is appended to it")
        keys = await _keys(connection, office)
    have = {one.index: one for path in evidence for one in offered.read(path, keys).events}
    events, now = _continuing(office, head, have), office.clock()
    for start in range(0, len(events), BATCH):
        await _append(office, events[start : start + BATCH], head.size + start, now)
    return len(events)


async def _append(office: Office, events: Sequence[NewEvent], size: int, now: datetime) -> None:
    await office.store.append(Commit(at=now, events=events, past=Past(size)))
