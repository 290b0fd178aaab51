"""An office's account of one link: each message by number, as it is kept at this end.

What two offices share is what they have told each other. The account names it by number, type,
subject and the digest of its exact bytes, of both directions, as of one moment: codes and digests
alone, so that it can be handed to the other office, or to an auditor who has no database.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final, Literal

from psycopg import AsyncConnection
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from shared.kernel import checkpoints
from shared.kernel.link import Sign
from shared.kernel.store import read_head
from shared.runtime.office import Office

FORMAT: Final = "pulang-account/1"
MESSAGES = 200_000
"""So many messages of a direction are compared in memory; a longer link is refused, not cut."""
FILE_BYTES = 128 * 1024 * 1024
NUMBER_AT_MOST = 2**62

Number = Annotated[int, Field(strict=True, ge=0, le=NUMBER_AT_MOST)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,199})?$")]
"""A type or a subject; empty where the message can't be read, or has a name that is none."""
Period = Annotated[str, StringConstraints(pattern=r"^([0-9]{4}-[0-9]{2})?$")]
State = Literal["recorded", "sent", "received", "applied", "parked", "discarded"]
"""Of what was sent: the first four, as far as this office knows. Of what came: the last three."""


class NoAccount(Exception):
    """It can't be made, or what was given is none. Nothing was written."""


class Fixed(BaseModel):
    """What is the same once it is made, and has no field that is not named."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Signature(Fixed):
    """By the office's own key, over `signed_bytes`."""

    key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}$")]
    value: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{86}==$")]


class Line(Fixed):
    """One message. `period` is the month in which what it tells occurred."""

    number: Annotated[int, Field(strict=True, ge=1, le=NUMBER_AT_MOST)]
    type: Name
    subject: Name
    period: Period
    sha256: Digest
    state: State


class Group(Fixed):
    """All messages about one subject in one month, in the order of their numbers."""

    period: Period
    subject: Name
    messages: Number
    sha256: Digest


class Direction(Fixed):
    """`last` is the number up to which this end counts, whether or not all are there."""

    last: Number
    messages: tuple[Line, ...] = Field(max_length=MESSAGES)
    groups: tuple[Group, ...]


class Account(Fixed):
    """`checkpoint` is the signed note of the history that it was made from, if there is one yet."""

    format: Literal["pulang-account/1"]
    office: str
    partner: str
    made_at: AwareDatetime
    events: Number
    checkpoint: str | None = Field(max_length=64 * 1024)
    sent: Direction
    received: Direction
    signature: Signature | None = None


class _Readable(BaseModel):
    """Of a message's bytes, what an account names."""

    type: Name
    subject: Name
    time: AwareDatetime


_SENT = """
select b.sequence, b.body, case
  when b.sequence <= o.confirmed_through and b.sequence <@ o.unapplied then 'received'
  when b.sequence <= o.confirmed_through then 'applied'
  when b.sequence <= o.sent_through then 'sent' else 'recorded' end
from outbox b left join link_out o on o.receiver = b.receiver
where b.receiver = %s order by b.sequence limit %s
"""
_RECEIVED = """
select i.sequence, i.body, coalesce((
  select case when p.settled_as = 'applied' or (p.settled_as = 'discarded'
    and exists (select from events where stream = 'parked-' || p.id))
    then p.settled_as else 'parked' end from parked p
  where p.sender = i.sender and p.sequence = i.sequence and p.reason <> 'UNREADABLE_SEAL'
  order by p.settled_at is null desc, p.id desc limit 1), 'applied')
from inbox i where i.sender = %s order by i.sequence limit %s
"""


async def account(
    connection: AsyncConnection[Any], office: Office, partner: str, now: datetime
) -> Account:
    """This end of the link as of the transaction's moment. Raises NoAccount."""
    code = office.settings.office
    if partner not in office.settings.partners:
        raise NoAccount(f"office {code} has no link with {partner}")
    head = await read_head(connection)
    newest = await checkpoints.latest(connection)
    cursor = await connection.execute(
        "select applied_through from link_in where sender = %s", (partner,)
    )
    applied = (await cursor.fetchone() or (0,))[0]
    return Account(
        format=FORMAT,
        office=code,
        partner=partner,
        made_at=now,
        events=head.size,
        checkpoint=newest.note if newest else None,
        sent=await _direction(connection, _SENT, partner, head.outgoing.get(partner, 0)),
        received=await _direction(connection, _RECEIVED, partner, applied),
    )


async def _direction(
    connection: AsyncConnection[Any], query: str, partner: str, counted: int
) -> Direction:
    lines: list[Line] = []
    async with connection.cursor("messages_of_a_link") as cursor:
        await cursor.execute(query.encode(), (partner, MESSAGES + 1))
        async for number, body, state in cursor:
            lines.append(line(number, bytes(body), state))
    if len(lines) > MESSAGES:
        raise NoAccount(f"the link with {partner} has more than {MESSAGES} messages a direction")
    return direction(counted, lines)


def line(number: int, body: bytes, state: State) -> Line:
    """A message that can't be read has no names; its digest tells it from others all the same."""
    try:
        read = _Readable.model_validate_json(body)
        names = {"type": read.type, "subject": read.subject, "period": read.time.isoformat()[:7]}
    except ValidationError:
        names = {"type": "", "subject": "", "period": ""}
    return Line(number=number, sha256=sha256(body).hexdigest(), state=state, **names)


def direction(counted: int, lines: Sequence[Line]) -> Direction:
    last = max([counted, *(one.number for one in lines[-1:])])
    return Direction(last=last, messages=tuple(lines), groups=groups_of(lines))


def groups_of(lines: Iterable[Line]) -> tuple[Group, ...]:
    found: dict[tuple[str, str], list[Line]] = {}
    for one in lines:
        found.setdefault((one.period, one.subject), []).append(one)
    return tuple(
        Group(
            period=period,
            subject=subject,
            messages=len(members),
            sha256=sha256(
                "".join(f"{m.number} {m.sha256}\n" for m in members).encode()
            ).hexdigest(),
        )
        for (period, subject), members in sorted(found.items())
    )


def signed(made: Account, sign: Sign) -> Account:
    """The account, signed for a file. What comes over a link is signed with the link's frames."""
    key, value = sign(signed_bytes(made))
    signature = Signature(key=key, value=b64encode(value).decode())
    return made.model_copy(update={"signature": signature})


def signed_bytes(made: Account) -> bytes:
    """What the signature is over; its first line is that of nothing else that is signed."""
    digest = sha256(made.model_dump_json(exclude={"signature"}).encode()).hexdigest()
    return f"{FORMAT}\n{made.office}\n{digest}\n".encode()


def read(path: Path) -> Account:
    """The account in a file. Raises NoAccount: of what contradicts itself nothing is compared."""
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise NoAccount(f"{path} can't be read: {error.strerror}") from None
    if len(text) > FILE_BYTES:
        raise NoAccount(f"{path} is longer than an account may be ({FILE_BYTES} bytes)")
    try:
        found = Account.model_validate_json(text)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "the document as a whole"
        raise NoAccount(
            f"{path} is no account of this format ({FORMAT}), or not all of it: wrong is {where}"
        ) from None
    for one in (found.sent, found.received):
        numbers = [item.number for item in one.messages]
        if (
            any(first >= second for first, second in pairwise(numbers))
            or (numbers and numbers[-1] > one.last)
            or one.groups != groups_of(one.messages)
        ):
            raise NoAccount(
                f"{path} contradicts itself: it was changed or damaged after it was made"
            )
    return found


def write(made: Account, path: Path) -> None:
    """The whole file or none; never over another. Raises NoAccount."""
    text = made.model_dump_json(indent=1) + "\n"
    if len(text) > FILE_BYTES:
        raise NoAccount(f"the account is longer than {FILE_BYTES} bytes")
    if path.exists():
        raise NoAccount(f"{path} exists already; nothing was written over it")
    try:
        # On the same disk, and gone with this block; a stick for an auditor may know no links.
        with TemporaryDirectory(dir=path.parent, prefix=".account-") as folder:
            part = Path(folder) / path.name
            part.write_text(text)
            part.replace(path)
    except OSError as error:
        raise NoAccount(f"{path} can't be written: {error.strerror}") from None
