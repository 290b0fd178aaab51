"""The relay: sends what the outbox holds, in order, in frames, until it is confirmed.

It goes back to the first unconfirmed message (go-back-N) when it starts, when the receiver
reports a gap, and when nothing was confirmed for a while. Sending twice does no harm: the inbox
applies each number once.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from psycopg_pool import AsyncConnectionPool

from shared.kernel.link import FRAME_MESSAGES, Receipt, Transport, encode, frames

RELAY_FRAMES = 8
RESEND_AFTER = timedelta(seconds=5)
RESEND_AT_MOST = timedelta(minutes=2)


class Relay:
    """The sending end of one link. `step` does one bounded turn."""

    def __init__(
        self, pool: AsyncConnectionPool, transport: Transport, office: str, receiver: str
    ) -> None:
        self._pool = pool
        self._transport = transport
        self.office = office
        self.receiver = receiver
        self._sent: int | None = None
        self._confirmed = 0
        self._resend_after = RESEND_AFTER
        self._quiet_since: datetime | None = None
        self._entries: deque[tuple[int, bytes]] = deque(maxlen=10_000)

    async def step(self, now: datetime) -> int:
        """Sends up to a few frames of what was not yet sent; gives the number of messages."""
        if self._sent is None:
            self._confirmed = await self._read_confirmed()
            await self._go_back(self._confirmed)
            self._quiet_since = now
        await self._resend_when_quiet(now)
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "select sequence, body from outbox where receiver = %s and sequence > %s"
                " order by sequence limit %s",
                (self.receiver, self._sent, FRAME_MESSAGES * RELAY_FRAMES),
            )
            rows = await cursor.fetchall()
        if not rows:
            return 0
        for frame in frames(self.office, self.receiver, rows):
            entry = await self._transport.send(self.receiver, encode(frame))
            self._entries.append((frame.last, entry))
            self._sent = frame.last
        async with self._pool.connection() as connection:
            await connection.execute(
                "insert into link_out (receiver, sent_through) values (%s, %s)"
                " on conflict (receiver) do update"
                " set sent_through = greatest(link_out.sent_through, excluded.sent_through)",
                (self.receiver, self._sent),
            )
        return len(rows)

    async def confirm(self, receipt: Receipt, now: datetime) -> None:
        """Takes a receipt in: remembers what is confirmed, goes back where there is a gap."""
        if receipt.applied_through > await self._last_recorded():
            # A receipt for what was never written is no receipt of ours: a restored database,
            # or somebody's invention. Believing it would leave messages unsent for ever.
            return
        if receipt.applied_through > self._confirmed:
            self._confirmed = receipt.applied_through
            self._resend_after = RESEND_AFTER
            self._quiet_since = now
            async with self._pool.connection() as connection:
                await connection.execute(
                    "insert into link_out (receiver, confirmed_through, confirmed_at)"
                    " values (%(receiver)s, %(through)s, %(now)s)"
                    " on conflict (receiver) do update set"
                    " confirmed_at = excluded.confirmed_at, confirmed_through ="
                    " greatest(link_out.confirmed_through, excluded.confirmed_through)",
                    {"receiver": self.receiver, "through": self._confirmed, "now": now},
                )
            await self._trim()
        if receipt.gap and self._sent is not None and receipt.applied_through < self._sent:
            await self._go_back(receipt.applied_through)

    async def _trim(self) -> None:
        confirmed: bytes | None = None
        while self._entries and self._entries[0][0] <= self._confirmed:
            confirmed = self._entries.popleft()[1]
        if confirmed is not None:
            await self._transport.trim(self.receiver, confirmed)

    async def _go_back(self, through: int) -> None:
        """All after `through` is sent again. Older copies go first, or they would pile up."""
        await self._transport.clear(self.receiver)
        self._entries.clear()
        self._sent = through

    async def _resend_when_quiet(self, now: datetime) -> None:
        if self._sent is None or self._sent <= self._confirmed:
            self._quiet_since = now
        elif self._quiet_since is None or now - self._quiet_since >= self._resend_after:
            await self._go_back(self._confirmed)
            self._quiet_since = now
            self._resend_after = min(self._resend_after * 2, RESEND_AT_MOST)

    async def _read_confirmed(self) -> int:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "select confirmed_through from link_out where receiver = %s", (self.receiver,)
            )
            row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def _last_recorded(self) -> int:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "select coalesce(max(sequence), 0) from outbox where receiver = %s",
                (self.receiver,),
            )
            row = await cursor.fetchone()
        return int(row[0]) if row else 0
