"""Carries out a command that a member of staff sent, whether by the API or by a screen's form.

The same key with the same body gives the same answer and changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from fastapi import Request

from shared.kernel import trace
from shared.kernel.handling import Outcome, StalePlan, Undecided
from shared.kernel.keyring import Keyring
from shared.kernel.store import Conflict, StaleKeys
from shared.kernel.store import Request as AnsweredRequest
from shared.runtime import custody, problems, status
from shared.runtime.manifest import CommandRoute, Desk, Plan, Problem
from shared.runtime.office import Office
from shared.runtime.staff import Staff

PREFIX = "/api/v1"
PLAN_TRIES = 20
ADDRESS_BYTES = 8
QUIET_SECONDS = 0.5
"""What answers quietly takes a multiple of this."""
FUTURE_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent: to which address (method and path), its body's bytes, and under which key."""

    address: str
    body: bytes
    key: str


async def perform(
    request: Request,
    staff: Staff,
    route: CommandRoute,
    form: Any,
    path: dict[str, str],
    given: Sent,
) -> tuple[int, dict[str, Any]]:
    """Status and answer: 201, or 200 where the same was answered before. Raises Problem."""
    began = time.monotonic()
    office: Office = request.app.state.office
    # An HMAC, since a plain hash of a short body could be guessed back into a name or a NIK.
    sent = _digest_of(office.vault.keyring, given.address, given.body)
    if answered := await office.store.answered(staff.username, given.key):
        return _repeat(answered, sent)
    with trace.command(f"POST {PREFIX}{route.path}", _cause(staff, given.key)):
        for _ in range(PLAN_TRIES):
            desk = desk_of(request, staff, form.occurred_at)
            plan = await custody.sealed(desk, await route.plan(desk, form, path))
            try:
                outcome, answer = await _carry_out(desk, plan, given.key, sent)
                break
            except (StalePlan, StaleKeys):
                await asyncio.sleep(0.01)
        else:
            raise Undecided(f"{PLAN_TRIES} plans were stale")
    if outcome is None:
        again = await office.store.answered(staff.username, given.key)
        if again is None:
            raise Undecided(given.key)
        return _repeat(again, sent)
    if route.quiet:
        await asyncio.sleep(QUIET_SECONDS - (time.monotonic() - began) % QUIET_SECONDS)
    else:
        answer["visible"] = await _wait_visible(office, outcome.position)
    return 201, answer


def desk_of(request: Request, staff: Staff, occurred_at: datetime | None = None) -> Desk:
    """Where this request is worked on. Raises Problem where it happened in the future."""
    office: Office = request.app.state.office
    now = office.clock()
    if occurred_at is not None:
        refuse_future(occurred_at, now)
    return Desk(
        settings=office.settings,
        handling=office.handling,
        vault=office.vault,
        service=office.service,
        staff=staff,
        now=now,
        occurred_at=occurred_at or now,
    )


def refuse_future(at: datetime, now: datetime) -> None:
    """Refuses what lies in the future. Raises Problem (422)."""
    if at > now + FUTURE_TOLERANCE:
        raise Problem(
            422,
            "NOT_YET_OCCURRED",
            "Waktu kejadian berada di masa depan.",
            "Rencana bukan kejadian; catat setelah terjadi.",
        )


def _cause(staff: Staff, key: str) -> str:
    """What the request is known by: sent again, it has the same correlation id."""
    return f"{staff.username}\n{key}"


async def _carry_out(
    desk: Desk, plan: Plan, key: str, sent: tuple[int, bytes]
) -> tuple[Outcome | None, dict[str, Any]]:
    """Decides and appends. No outcome: the same key was answered meanwhile."""
    answer: dict[str, Any] = {}

    def request(outcome: Outcome) -> AnsweredRequest:
        refused = {one.index for one in outcome.refused}
        answer.update(plan.answer)
        if plan.per_unit:
            answer["rows"] = [one for n, one in enumerate(plan.per_unit) if n not in refused]
        answer["events"] = [
            {"id": event.id, "type": event.event.type, "subject": event.stream}
            for event in outcome.events[:1_000]
        ]
        answer["recorded"] = len(outcome.events)
        answer["refused"] = [
            *plan.row_errors,
            *problems.unit_errors(outcome.refused, plan.rows),
        ]
        return AnsweredRequest(desk.staff.username, key, sent[1], dict(answer), sent[0])

    try:
        outcome = await desk.handling.handle(
            plan.units,
            at=desk.now,
            actor=desk.staff.username,
            cause=_cause(desk.staff, key),
            all_or_nothing=plan.all_or_nothing,
            planned_on=desk.planned_on,
            request=request,
        )
    except StaleKeys:
        raise
    except Conflict:
        return None, {}
    if outcome.refused and (plan.all_or_nothing or not outcome.events):
        problem = problems.refusal(outcome.refused, plan.rows)
        # Rows that became no unit are not recorded either, and are named with the rest.
        problem.errors += plan.row_errors
        raise problem
    return outcome, answer


def _digest_of(keyring: Keyring, address: str, body: bytes) -> tuple[int, bytes]:
    """The key epoch, and a digest of the address beside an HMAC of the body."""
    epoch, digest = keyring.digest(address, body)
    return epoch, sha256(address.encode()).digest()[:ADDRESS_BYTES] + digest


def _repeat(answered: AnsweredRequest, sent: tuple[int, bytes]) -> tuple[int, dict[str, Any]]:
    """The same answer again. Bodies can be compared only until their key epoch ends."""
    same = answered.digest == sent[1]
    if answered.digest_epoch != sent[0]:
        same = answered.digest[:ADDRESS_BYTES] == sent[1][:ADDRESS_BYTES]
    if not same:
        raise Problem(
            422,
            "IDEMPOTENCY_KEY_REUSED",
            "Idempotency-Key ini sudah dipakai untuk kiriman lain.",
            "Pakai kunci baru untuk kiriman yang berbeda.",
        )
    return 200, answered.response | {"repeated": True}


async def _wait_visible(office: Office, position: int) -> bool:
    """Waits a little for the read models, so that people read what they wrote.

    Where no worker is active nothing would come of waiting, and people go on recording.
    """
    deadline = time.monotonic() + office.settings.read_your_writes_seconds
    names = [projector.projection.name for projector in office.projectors]
    while True:
        async with office.pool.connection() as connection:
            cursor = await connection.execute(
                "select min(position) from projections where name = any(%s)", (names,)
            )
            row = await cursor.fetchone()
            if row and (row[0] or 0) >= position:
                return True
            if time.monotonic() > deadline or not await status.worker_active(connection):
                return False
        await asyncio.sleep(0.02)
