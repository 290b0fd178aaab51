"""What every office can say of itself: links, parked messages, read models, troubles."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from pydantic import TypeAdapter, ValidationError

from shared.contracts.values import FactTime
from shared.kernel import checkpoints, merkle
from shared.kernel.hold import read_hold
from shared.kernel.keyring import Keyring
from shared.kernel.projector import rows
from shared.kernel.store import read_head
from shared.runtime.manifest import Desk, Problem, ReadRoute
from shared.runtime.staff import ROLES
from shared.runtime.worker import WORKER_LOCK, Worker

POSITION_DIGITS = 18
_TIME: TypeAdapter[datetime] = TypeAdapter(FactTime)
MODEL_WAIT = timedelta(minutes=1)
LINK_WAIT = timedelta(minutes=10)
UNAPPLIED_TOLD = timedelta(days=30)
"""A receipt doesn't tell what its sender parked, and says itself until it is settled, from what it
discarded: that is not said for ever."""
SILENCE = timedelta(minutes=2)
"""A partner's worker says every 5 s how far it is, also when there is nothing to say."""

CONFIRMED = (
    "coalesce(least(o.confirmed_through, case when o.said_at > 0 then o.applied_there end), 0)"
)
"""Through which number a partner (`o` of link_out) has what was sent: as it has confirmed, or fewer
where it says so by now, since it was restored to an earlier time."""


async def links(connection: AsyncConnection[Any], partners: Sequence[str]) -> list[dict[str, Any]]:
    """Each link, both ways: recorded, sent and confirmed there; applied here; parked."""
    return await rows(
        connection,
        "select p.partner,"  # noqa: S608
        " coalesce((select max(sequence) from outbox where receiver = p.partner), 0) as recorded,"
        f" coalesce(o.sent_through, 0) as sent, {CONFIRMED} as confirmed,"
        " o.confirmed_at, coalesce(i.applied_through, 0) as applied, i.applied_at,"
        " coalesce((select sum(upper(r) - lower(r))::int from unnest(o.unapplied) as r), 0)"
        " as unapplied_there,"
        " coalesce(o.heard_at, (select min(t.trusted_at) from trusted_keys t"
        " where t.office = p.partner and t.revoked_at is null)) as heard_at,"
        " coalesce(o.witnessed, 0) as witnessed_there, coalesce(o.forked, false) as forked_there,"
        " exists (select from forks where office = p.partner and settled_at is null) as forked,"
        " (select count(*)::int from parked where sender = p.partner and settled_at is null)"
        " as parked,"
        " (select e.recorded_at from outbox b join events e on e.position = b.position"
        f" where b.receiver = p.partner and b.sequence = {CONFIRMED} + 1)"
        " as waiting_since,"
        # Of each range the oldest that is not too old to be told.
        " (select min(t.at) from unnest(o.unapplied) as r, lateral (select at from link_times"
        " where receiver = p.partner and state = 'received' and sequence >= lower(r)"
        " and sequence <= (select x.sequence from link_times x where x.receiver = p.partner"
        " and x.state = 'received' and x.sequence >= upper(r) - 1 order by x.sequence limit 1)"
        " and at > now() - %s order by sequence limit 1) as t) as unapplied_since"
        " from unnest(%s::text[]) as p(partner) left join link_out o on o.receiver = p.partner"
        " left join link_in i on i.sender = p.partner order by 1",
        UNAPPLIED_TOLD,
        list(partners),
    )


async def parked(connection: AsyncConnection[Any]) -> list[dict[str, Any]]:
    """What could not be applied, without its contents."""
    return await rows(
        connection,
        "select id, sender, sequence, reason, detail, times, parked_at, octet_length(raw) as bytes"
        " from parked where settled_at is null order by id limit 1000",
    )


async def keys(keyring: Keyring) -> dict[str, Any]:
    """This office's keys without their secrets, and whom it trusts."""
    async with keyring.pool.connection() as connection:
        return {
            "epoch": (await read_head(connection)).key_epoch,
            "living_epochs": list(keyring.provider.epochs()),
            "keys": await rows(
                connection,
                "select key_id, purpose, epoch, state, created_at as since from office_keys"
                " order by purpose, created_at",
            ),
            "person_keys": await rows(
                connection,
                "select epoch, count(*)::int as keys, count(wrapped)::int as living"
                " from person_keys group by epoch order by epoch",
            ),
            "trusted": await rows(
                connection,
                "select office, key_id, trusted_at, trusted_by, revoked_at, revoked_by"
                " from trusted_keys order by office, trusted_at",
            ),
        }


async def worker_active(connection: AsyncConnection[Any]) -> bool:
    """Whether any process holds the lock of this database's worker."""
    held = await rows(
        connection,
        "select exists (select from pg_locks l join pg_database d on d.oid = l.database"
        " where l.locktype = 'advisory' and l.objid = %s and l.granted"
        " and d.datname = current_database()) as held",
        WORKER_LOCK,
    )
    return bool(held[0]["held"])


async def status(connection: AsyncConnection[Any], partners: Sequence[str]) -> dict[str, Any]:
    """The log's head, the read models' positions, the links, and whether a worker is active."""
    async with connection.transaction():
        # All of one moment: a read model that went on between two reads would seem ahead of the
        # log, and a message recorded between them unconfirmed for no time at all.
        await connection.execute("set transaction isolation level repeatable read, read only")
        return await _status_of_one_moment(connection, partners)


async def _status_of_one_moment(
    connection: AsyncConnection[Any], partners: Sequence[str]
) -> dict[str, Any]:
    head = await read_head(connection)
    positions = await rows(
        connection,
        "select p.name, p.version, p.position, p.updated_at, e.recorded_at as waiting_since"
        " from projections p left join events e on e.position = p.position + 1 order by p.name",
    )
    signed = await checkpoints.latest(connection)
    return {
        "log": {"size": head.size, "root": merkle.root(head.frontier).hex()},
        "checkpoint": {"size": signed.size, "head": signed.head.hex()} if signed else None,
        "held": (await read_hold(connection)).why,
        "worker": "active" if await worker_active(connection) else "absent",
        "troubles": await rows(
            connection, "select name, says, since from worker_troubles order by name"
        ),
        "projections": [row | {"lag": head.size - row["position"]} for row in positions],
        "links": await links(connection, partners),
        "parked": (
            await rows(
                connection,
                "select count(*)::int as n from parked where reason <> 'REPLAYED_FRAME'"
                " and settled_at is null",
            )
        )[0]["n"],
        "untrusted": [
            row["partner"]
            for row in await rows(
                connection,
                "select p.partner from unnest(%s::text[]) as p(partner) where not exists (select"
                " from trusted_keys t where t.office = p.partner and t.revoked_at is null)",
                list(partners),
            )
        ],
    }


def wrong(found: dict[str, Any]) -> list[str]:
    """What in a status is wrong, each in a sentence."""
    troubles = _broken(found)
    for partner in found["untrusted"]:
        troubles.append(f"no key of office {partner} is trusted: run `pulang keys trust {partner}`")
    if found["parked"]:
        troubles.append(f"{found['parked']} message(s) parked: see the runbook")
    for row in found["links"]:
        since = row["unapplied_since"]
        if since is not None and datetime.now(UTC) - since > LINK_WAIT:
            troubles.append(
                f"link to {row['partner']}: messages received and not applied there since"
                f" {since:%Y-%m-%d %H:%M} UTC: call that office's operator"
            )
    return troubles


def _broken(found: dict[str, Any]) -> list[str]:
    """What does not run. What is parked waits for a person, and whom to trust is for people."""
    if found["worker"] == "active":
        troubles = [f"worker: {row['says']}" for row in found["troubles"]]
    else:
        troubles = ["no worker is active: start `pulang worker`"]
    if found["held"]:
        troubles.append(f"nothing is recorded: {found['held']}")
    for row in found["projections"]:
        if row["lag"] < 0:
            troubles.append(
                f"read model {row['name']}"
                f" is ahead of the log: run `pulang replay {row['name']} --reason …`"
            )
        elif _waits_long(row, MODEL_WAIT):
            troubles.append(
                f"read model {row['name']} is {row['lag']} event(s) behind since"
                f" {row['waiting_since']:%Y-%m-%d %H:%M} UTC: see the worker's log"
            )
    for row in found["links"]:
        if _waits_long(row, LINK_WAIT):
            waiting = row["recorded"] - row["confirmed"]
            troubles.append(
                f"link to {row['partner']}: {waiting} message(s) unconfirmed since"
                f" {row['waiting_since']:%Y-%m-%d %H:%M} UTC: is Redis up, and the worker there?"
            )
        elif row["heard_at"] is not None and datetime.now(UTC) - row["heard_at"] > SILENCE:
            troubles.append(
                f"link to {row['partner']}: nothing was heard since"
                f" {row['heard_at']:%Y-%m-%d %H:%M} UTC: is Redis up, and the worker there?"
            )
    for row in found["links"]:
        if row["forked"]:
            troubles.append(
                f"the history of office {row['partner']} is forked: its messages are recorded and"
                " not applied; see `pulang witness list` and the runbook"
            )
        if row["forked_there"]:
            troubles.append(
                f"office {row['partner']} says that this office's history is forked: call it"
            )
        if row["witnessed_there"] > found["log"]["size"]:
            troubles.append(
                f"office {row['partner']} has witnessed {row['witnessed_there']} events of this"
                f" log, which has {found['log']['size']}: this office was restored and lacks some"
            )
    return troubles


def _waits_long(row: dict[str, Any], bound: timedelta) -> bool:
    since = row["waiting_since"]
    return since is not None and datetime.now(UTC) - since > bound


def troubles(found: dict[str, Any], worker: Worker | None) -> list[str]:
    """Why an office is not ready: what its status says, and the worker inside this process."""
    sentences = _broken(found)
    if worker is not None and "worker" in worker.troubles:
        sentences.append(worker.troubles["worker"])
    return sentences


async def _status(desk: Desk, _: dict[str, str]) -> Any:
    return await status(desk.reading, desk.settings.partners)


async def _links(desk: Desk, _: dict[str, str]) -> Any:
    return await links(desk.reading, desk.settings.partners)


def parse_position(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= POSITION_DIGITS):
        raise Problem(
            422, "POSITION_UNREADABLE", f"Isian '{name}' bukan nomor urut.", "Tulis angka saja."
        )
    return int(text)


async def _parked(desk: Desk, _: dict[str, str]) -> Any:
    return await parked(desk.reading)


def parse_time(text: str) -> datetime:
    """A time as a fact may have it: written out, with its offset. Raises Problem (422)."""
    try:
        return _TIME.validate_python(text)
    except ValidationError:
        raise Problem(
            422,
            "TIME_UNREADABLE",
            "Waktunya tidak terbaca atau tanpa zona waktu.",
            "Tulis misalnya 2019-10-04T08:00:00+08:00.",
        ) from None


READS = (
    ReadRoute("/status", "Keadaan kantor ini", ROLES, _status),
    ReadRoute("/links", "Hubungan dengan kantor lain", ROLES, _links),
    ReadRoute(
        "/parked", "Pesan yang tertahan", frozenset({"operator", "auditor", "admin"}), _parked
    ),
)
