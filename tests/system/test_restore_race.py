"""A restored office waits for what a partner had in its hands when it spoke, and not applied."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from shared.custody.restored import RestoreSettled
from tests.system.offices import eventually
from tests.system.test_restore import Town, departed, town

__all__ = ["town"]


async def test_what_a_partner_had_read_and_not_applied_holds_the_log_until_it_has(
    town: Town,
) -> None:
    await departed(town)
    events = await town.back_up("events")
    behind = await town.desk.size()
    links = town.province.app.state.worker.links
    real, gate, in_hand = links._receive, asyncio.Event(), asyncio.Event()

    async def slow(sender: str, raws: Sequence[bytes], again: bool) -> None:
        if not gate.is_set():
            # The claim before it was lost: nothing but the message tells of a longer log.
            raws = [raw for raw in raws if b"pulang.claim" not in raw]
        if any(b"cloudevents-batch" in raw for raw in raws):
            in_hand.set()
            await gate.wait()
        await real(sender, raws, again)

    links._receive = slow
    await town.desk.post("issuer", "/handovers/HO-1/departure")
    await in_hand.wait()
    keys, size = await town.back_up("keys", "--keys"), await town.desk.size()
    assert size > behind
    await town.lose()
    await town.restore(events, keys)
    await town.start()

    async def said() -> bool:
        """The province has spoken since, and has no more than is here, as it says."""
        query = "select said_at, witnessed, applied_there from link_out where receiver = '35'"
        ((said_at, witnessed, applied),) = town.rows(query)
        before.append((witnessed, applied))
        return bool(said_at)

    before: list[tuple[int, int]] = []
    await eventually(said)
    ((last,),) = town.rows("select (outgoing ->> '35')::bigint from log_head")
    assert before[-1] == (behind, last)
    await asyncio.sleep(8)
    settled = f"select from events where type = '{RestoreSettled.type}'"
    assert town.rows(settled) == []
    code, out, _ = await town.run("missing", "list", "--json")
    assert (code, json.loads(out)["partners"][0]["heard"]) == (1, False)
    gate.set()

    async def known() -> bool:
        code, out, _ = await town.run("missing", "list", "--json")
        found = json.loads(out)
        return code == 1 and bool(found["messages"]) and found["partners"][0]["heard"]

    await eventually(known)
    assert town.rows(settled) == []
