"""The relay: sends what the outbox holds, in order, in signed frames, until it is confirmed.

Who the persons of a message are is sealed to the receiver anew at each sending, from what this
office still can open: nothing that was erased is ever sent, and a sealing key that the receiver
replaced costs a resend and no more.

It goes back to the first unconfirmed message (go-back-N) when it starts, when the receiver
reports a gap, and when nothing was confirmed for a while. Sending twice does no harm: the inbox
applies each number once. How long "a while" is, the running process measures by a clock that
nobody can set.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from shared.contracts.messages import SEALED_PART
from shared.contracts.values import Identity
from shared.kernel import checkpoints, note, witness
from shared.kernel.checkpoints import Checkpoints, HistoryBroken
from shared.kernel.hold import read_hold
from shared.kernel.keyring import SealingKey, seal_to
from shared.kernel.link import (
    FRAME_BYTES,
    FRAME_MESSAGES,
    Claimed,
    Frame,
    Receipt,
    Transport,
    Witnessed,
    encode,
    frames,
)
from shared.kernel.link_tables import LinkTables
from shared.kernel.vault import Vault

WINDOW_MESSAGES = 8 * FRAME_MESSAGES
WINDOW_BYTES = 8 * FRAME_BYTES
"""So much is on its way and not confirmed at most: the transport is shared, and an absent partner's
messages wait in the outbox, not there."""
HEARD_SECONDS = 5.0
"""That a partner is heard is noted so often at most."""
RESEND_AFTER_SECONDS = 5.0
RESEND_AT_MOST_SECONDS = 120.0
COSIGNED_SECONDS = 30.0
"""What a partner says to have kept is noted again so often: who took it away has it back here."""
CLAIM_SECONDS = 5.0
"""So often an office says how its log stands where it has nothing else to say."""
GO_BACK_SECONDS = 1.0
"""So often at most a receipt makes it go back: each costs a whole window again."""
CLAIMS_AT_MOST = 50
"""So many claims, heard or not, stay in the stream of an idle link; then they are taken away."""
CLAIM_AGAIN_SECONDS = 30.0
"""A claim that its receiver has not kept by then was lost."""
SILENCE_SECONDS = 30.0
"""Who was heard so long ago was away, or its clock was set back: an older receipt counts again."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the transport took: messages through a number, or, behind those, a claim."""

    through: int
    id: bytes
    size: int = 0
    is_claim: bool = False


class Relay:
    """The sending end of one link. `step` does one bounded turn."""

    def __init__(
        self, links: LinkTables, vault: Vault, transport: Transport, receiver: str
    ) -> None:
        self._links = links
        self._vault = vault
        self._keyring = vault.keyring
        self._transport = transport
        self.office = vault.keyring.office
        self.receiver = receiver
        self.waits = True
        """Whether a receipt has made room to go on with, or left something to do: step at once."""
        self._sealing: SealingKey | None = None
        self._heard = 0
        self._heard_at = 0.0
        self._sent: int | None = None
        self._confirmed = 0
        self._resend_after = RESEND_AFTER_SECONDS
        self._quiet_since = 0.0
        self._noted = 0
        self._went_back = -GO_BACK_SECONDS
        self._turn = 0
        self._heard_noted: float | None = None
        self._entries: deque[_Entry] = deque()
        self._checkpoints = Checkpoints(vault.keyring)
        self._kept = 0
        self._claimed: int | None = None
        self._claimed_at = -CLAIM_SECONDS
        self._said_at = 0.0
        self._cosigned = 0
        self._cosigned_at = 0.0

    async def step(self, now: datetime) -> int:
        """Says how the log stands, and sends what was not yet sent and has room in the window.

        Gives the number of messages. Raises HistoryBroken: no message goes out of a history that
        nobody will believe.
        """
        if self._sent is None:
            self._confirmed, self._sealing = await self._links.confirmed(self.receiver)
            await self._go_back(self._confirmed)
            self._quiet_since = _elapsed()
            self._noted = self._confirmed
        await self._resend_when_quiet()
        if sum(entry.is_claim for entry in self._entries) >= CLAIMS_AT_MOST:
            await self._go_back(self._confirmed)
        turn, sent = self._turn, self._sent or 0
        if self._noted < sent:
            # Where that failed after sending.
            await self._note_sent(sent, now)
        room = WINDOW_MESSAGES - (sent - self._confirmed)
        size = WINDOW_BYTES - sum(entry.size for entry in self._entries)
        room = room if size > 0 else 0
        self.waits = room <= 0
        found = await self._links.unsent(self.receiver, sent, room, size) if room > 0 else []
        await self._keyring.refresh()
        if found or _elapsed() - self._claimed_at >= CLAIM_SECONDS:
            await self._claim(now)
        if not found or self._turn != turn:
            return 0
        personal = {one.sequence: one.personal for one in found}
        if any(personal.values()):
            # Read anew: a key that vouched for it may have been revoked meanwhile.
            _, self._sealing = await self._links.confirmed(self.receiver)
        rows = [(one.sequence, one.body, sum(map(len, one.personal.values()))) for one in found]
        for packed in frames(self.office, self.receiver, rows):
            if self._turn != turn:
                break
            frame = await self._sealed(replace(packed, sent=_microseconds(now)), personal)
            raw = encode(frame, self._keyring.sign)
            entry = await self._transport.send(self.receiver, raw)
            if frame.last > self._confirmed:
                self._entries.append(_Entry(frame.last, entry, len(raw)))
            if self._turn != turn:
                break
            self._sent = max(frame.last, self._confirmed)
        if self._turn != turn:
            # It went back meanwhile: what is next is no longer what follows here.
            return len(rows)
        await self._note_sent(rows[-1][0], now)
        return len(rows)

    async def _note_sent(self, through: int, now: datetime) -> None:
        await self._links.note_sent(self.receiver, through, now)
        self._noted = through

    async def _sealed(self, frame: Frame, personal: Mapping[int, Mapping[str, str]]) -> Frame:
        """The frame with who its persons are, sealed to the receiver."""
        items = [
            (number, person, text)
            for number in range(frame.first, frame.last + 1)
            for person, text in personal[number].items()
        ]
        if not items:
            return frame
        if self._sealing is None:
            raise ConnectionError(f"office {self.receiver} has not said yet what to seal to")
        part: dict[int, dict[str, Identity]] = {}
        opened = await self._vault.open([(person, text) for _, person, text in items])
        for (number, person, _), text in zip(items, opened, strict=True):
            if text is not None:
                part.setdefault(number, {})[person] = Identity.model_validate_json(text)
        sealed = seal_to(self._sealing.public, SEALED_PART.dump_json(part), frame.info)
        return replace(frame, sealed=sealed, sealed_to=self._sealing.epoch)

    async def _claim(self, now: datetime) -> None:
        """Says how the log stands, where that is news to the receiver. Before its messages, so that
        a history which is not believed is found out before they are applied.
        """
        async with self._keyring.pool.connection() as connection:
            hold = await read_hold(connection)
        if hold.why:
            raise HistoryBroken(hold.why)
        while await self._checkpoints.step(now):
            pass
        self._claimed_at = _elapsed()
        async with self._keyring.pool.connection() as connection:
            newest = await checkpoints.latest(connection)
            if self._claimed is None:
                self._claimed = await witness.cosigned_through(connection, self.receiver)
            size = newest.size if newest else 0
            if max(self._kept, self._claimed) > max(size, hold.given_up):
                raise HistoryBroken(
                    f"office {self.receiver} has witnessed {max(self._kept, self._claimed)} events"
                    f" of this office's log, which has {size}: see the runbook on restoring"
                )
            if self._claimed == size:
                lost = self._heard and self._kept < size
                if not lost or _elapsed() - self._said_at < CLAIM_AGAIN_SECONDS:
                    return
                self._claimed = self._kept
            # Of what was given up nothing follows: its receiver sees that, and asks its people.
            found = await checkpoints.claim(connection, min(self._claimed, size))
        if found is not None:
            claimed = Claimed(self.office, self.receiver, found, _microseconds(now))
            entry = await self._transport.send(self.receiver, encode(claimed, self._keyring.sign))
            self._entries.append(_Entry(self._sent or 0, entry, is_claim=True))
            self._claimed, self._said_at = size, _elapsed()

    async def _witnessed(self, said: Witnessed, now: datetime) -> None:
        """What the receiver has kept of this office's history."""
        self._kept = said.size
        if said.ask:
            self._claimed, self.waits = said.size, True
        async with self._keyring.pool.connection() as connection:
            await witness.note_said(connection, self.receiver, said.size, said.forked)
            fresh = _elapsed() - self._cosigned_at < COSIGNED_SECONDS
            if not said.note or (said.size <= self._cosigned and fresh):
                return
            cosigned = note.parse(said.note)
            # Its own signature beside it: no partner alone says how long this log was.
            if self._keyring.cosigned(cosigned, self.receiver) and await self._keyring.made_own(
                connection, cosigned
            ):
                await witness.note_cosigned(connection, self._keyring, self.receiver, cosigned, now)
                self._cosigned, self._cosigned_at = said.size, _elapsed()

    async def confirm(self, receipt: Receipt, now: datetime) -> None:
        """Takes a receipt in: remembers what is confirmed, goes back where there is a gap.

        One that is older than another that came just now says nothing any more.
        """
        elapsed = _elapsed()
        if receipt.sent < self._heard and elapsed - self._heard_at < SILENCE_SECONDS:
            return
        if receipt.sent != self._heard:
            if elapsed - self._heard_at > SILENCE_SECONDS:
                # It was away, and is back: what went for nothing meanwhile is not waited for.
                self._resend_after = RESEND_AFTER_SECONDS
            self._heard, self._heard_at = receipt.sent, elapsed
        if receipt.sealing is not None:
            await self._links.note_sealing(self.receiver, receipt.sealing, receipt.signed_by)
        if receipt.witnessed is not None:
            await self._witnessed(receipt.witnessed, now)
        if self._heard_noted is None or elapsed - self._heard_noted >= HEARD_SECONDS:
            # After what it witnessed: who was heard has said all that it has of this log.
            said_at = receipt.sent if receipt.witnessed is not None else 0
            through = receipt.applied_through
            await self._links.note_heard(self.receiver, now, said_at, through, receipt.heard)
            self._heard_noted = elapsed
        if receipt.applied_through > await self._links.last_recorded(self.receiver):
            # A receipt for what was never written is no receipt of ours: a restored database,
            # or somebody's invention. Believing it would leave messages unsent for ever.
            return
        if receipt.unapplied is not None:
            await self._links.note_unapplied(
                self.receiver, receipt.unapplied, receipt.applied_through, now
            )
        if receipt.applied_through > self._confirmed:
            # Written first: where that fails, the next receipt says it again.
            await self._links.note_confirmed(self.receiver, receipt.applied_through, now)
            self._confirmed = receipt.applied_through
            if self._sent is not None:
                # Also what it is just sending again.
                self._sent = max(self._sent, self._confirmed)
            self._resend_after = RESEND_AFTER_SECONDS
            self._quiet_since = elapsed
        await self._trim()
        lacks = receipt.gap or receipt.applied_through < self._confirmed
        if (
            lacks
            and self._sent is not None
            and receipt.applied_through < self._sent
            and elapsed - self._went_back >= GO_BACK_SECONDS
        ):
            # Below what was confirmed: it was restored to an earlier time.
            self._confirmed = min(self._confirmed, receipt.applied_through)
            self._went_back = elapsed
            await self._go_back(receipt.applied_through)

    async def _trim(self) -> None:
        """A claim goes with the messages behind it; those of an idle link when they are many."""
        heard = 0
        for number, entry in enumerate(self._entries, 1):
            if entry.through > self._confirmed:
                break
            if not entry.is_claim:
                heard = number
        confirmed = [self._entries.popleft() for _ in range(heard)]
        if confirmed:
            await self._transport.trim(self.receiver, confirmed[-1].id)

    async def _go_back(self, through: int) -> None:
        """All after `through` is sent again. Older copies go first, or they would pile up."""
        self._turn += 1
        self.waits = True
        await self._transport.clear(self.receiver)
        # Also for what began meanwhile.
        self._turn += 1
        self._entries.clear()
        self._sent = through
        # A claim may be among what is taken away.
        self._claimed = self._kept if self._claimed is not None else None

    async def _resend_when_quiet(self) -> None:
        elapsed = _elapsed()
        if self._sent is None or self._sent <= self._confirmed:
            self._quiet_since = elapsed
        elif elapsed - self._quiet_since >= self._resend_after:
            await self._go_back(self._confirmed)
            self._quiet_since = elapsed
            self._resend_after = min(self._resend_after * 2, RESEND_AT_MOST_SECONDS)


def _elapsed() -> float:
    """Seconds by the event loop's clock, which only goes forward."""
    return asyncio.get_running_loop().time()


def _microseconds(now: datetime) -> int:
    return int(now.timestamp() * 1_000_000)
