"""Redis streams through FastStream: the one place that knows them.

One stream a link and way, `pulang:<sender>:<receiver>`, read by one consumer group. An entry has
one field, `__data__`, with the frame's text. Entries are read raw and in batches, and acknowledged
only after the receiver has committed; what was delivered before a crash is read again at the
start. Each link is read by itself: one that stands still keeps no other. A subscriber that stopped,
for a lost group or a flushed server, is started anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from faststream import AckPolicy
from faststream.redis import RedisBroker, StreamSub
from faststream.redis.annotations import RedisBatchStreamMessage as Injected
from faststream.redis.message import RedisBatchStreamMessage
from faststream.redis.parser import MessageFormat
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
)

from shared.kernel.event import dump
from shared.runtime.tasks import end

log = logging.getLogger(__name__)

# It logs every failed read with a traceback, each five seconds; `trouble` says it in a sentence.
FASTSTREAM_LOG = logging.getLogger("faststream.redis")
FASTSTREAM_LOG.setLevel(logging.CRITICAL)

FIELD = b"__data__"
CONSUMER = "worker"
BATCH_ENTRIES = 16
POLL_MILLISECONDS = 500
PENDING_TURNS = 100
REPLY_SECONDS = 60.0
SUPERVISE_SECONDS = 1.0
STOP_SECONDS = 15.0
BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)

Receive = Callable[[str, Sequence[bytes], bool], Awaitable[None]]
"""(sender, raw entries, whether they were given before): returns after all is committed."""


class PlainText(MessageFormat):
    """Entries hold the frame's own text, which any client can read."""

    @classmethod
    async def encode(cls, *, message: Any, **_: Any) -> bytes:
        return bytes(message)

    @classmethod
    def parse(cls, data: bytes) -> tuple[bytes, dict[str, Any]]:
        return data, {}


def stream_name(sender: str, receiver: str) -> str:
    return f"pulang:{sender}:{receiver}"


class RedisLinks:
    """All links of one office. `run` serves them until it is cancelled."""

    def __init__(self, url: str, office: str, partners: Sequence[str], receive: Receive) -> None:
        self._url = url
        self._office = office
        self._partners = partners
        self._receive = receive
        self._broker: RedisBroker | None = None
        self._last_receipt: dict[tuple[str, bool], bytes] = {}
        self._stuck: dict[str, str] = {}
        self._unanswered: set[str] = set()
        self.trouble: str | None = "not started"

    async def run(self) -> None:
        """Connects, reads, and starts again whenever the server or a group went away."""
        failures = 0
        while True:
            broker = self._make_broker()
            subscribers = {p: self._subscribe(broker, p) for p in self._partners}
            try:
                await broker.connect()
                self._watch(broker)
                # Before anything is written: who may take its own entries away frees a full server.
                self._broker = broker
                for partner in self._partners:
                    await self._make_group(broker, partner)
                self.trouble, failures = None, 0
                await self._read(broker, subscribers)
                self.trouble = "a subscriber stopped; starting again"
            except (AuthenticationError, NoPermissionError) as error:
                self.trouble = f"Redis refuses this office: {type(error).__name__}"
            except OutOfMemoryError:
                self.trouble = "Redis is full"
            except (RedisError, OSError, TimeoutError) as error:
                self.trouble = f"Redis is away: {type(error).__name__}"
            finally:
                self._broker = None
                await _stop(broker)
            log.warning("links: %s", self.trouble)
            await asyncio.sleep(BACK_OFF_SECONDS[min(failures, len(BACK_OFF_SECONDS) - 1)])
            failures += 1

    async def send(self, receiver: str, frame: bytes) -> bytes:
        """Adds a frame to the link's stream; gives its entry id. Raises ConnectionError."""
        if self._broker is None:
            raise ConnectionError(self.trouble)
        try:
            entry: Any = await self._broker.publish(
                frame, stream=stream_name(self._office, receiver)
            )
        except RedisError as error:
            raise ConnectionError(f"Redis: {type(error).__name__}") from error
        return bytes(entry)

    async def send_receipt(self, receiver: str, receipt: bytes, *, aside: bool = False) -> None:
        """A newer receipt says all that an older one did, which is therefore taken away.

        But not what an auditor asks or is told by it (`aside`): only the next such one says more.
        """
        entry = await self.send(receiver, receipt)
        older = self._last_receipt.pop((receiver, aside), None)
        self._last_receipt[receiver, aside] = entry
        if older is not None and self._broker is not None:
            try:
                await _client(self._broker).xdel(stream_name(self._office, receiver), older)
            except RedisError as error:
                raise ConnectionError(f"Redis: {type(error).__name__}") from error

    async def clear(self, receiver: str) -> None:
        """Drops all of this office's entries for `receiver`. Raises ConnectionError."""
        if self._broker is None:
            raise ConnectionError(self.trouble)
        try:
            await _client(self._broker).xtrim(
                stream_name(self._office, receiver), maxlen=0, approximate=False
            )
        except RedisError as error:
            raise ConnectionError(f"Redis: {type(error).__name__}") from error

    async def trim(self, receiver: str, through: bytes) -> None:
        """Drops the entries up to and with this one: the receiver has confirmed them."""
        if self._broker is None:
            return
        milliseconds, _, number = through.decode().partition("-")
        try:
            await _client(self._broker).xtrim(
                stream_name(self._office, receiver),
                minid=f"{milliseconds}-{int(number) + 1}",
                approximate=False,
            )
        except RedisError as error:
            log.warning("links: trimming %s failed: %s", receiver, type(error).__name__)

    def _make_broker(self) -> RedisBroker:
        return RedisBroker(
            self._url,
            message_format=PlainText,
            graceful_timeout=10.0,
            logger=FASTSTREAM_LOG,
            socket_connect_timeout=5.0,
            # For a whole answer: on a thin line a large frame takes longer than the 5 s of default.
            socket_timeout=REPLY_SECONDS,
            health_check_interval=15,
        )

    def _watch(self, broker: RedisBroker) -> None:
        """Says of whom nothing can be read, until it can: on a thin line a ping still succeeds.

        The framework tries again for ever, and only its log, which is silenced, would say so. What
        was given in an answer that never came is asked for before anything newer.
        """
        client = _client(broker)
        read, make_group = client.xreadgroup, client.xgroup_create
        senders = {stream_name(partner, self._office): partner for partner in self._partners}

        async def made(name: str, groupname: str, *args: Any, **more: Any) -> Any:
            try:
                return await make_group(name, groupname, *args, **more)
            except OutOfMemoryError as error:
                # A full server refuses it also where the group is there.
                try:
                    await read(groupname, CONSUMER, {name: "0"}, count=1)
                except ResponseError as why:
                    raise why if "WRONGTYPE" in str(why) else error from None
                raise ResponseError("BUSYGROUP Consumer Group name already exists") from None

        async def watched(groupname: str, consumername: str, streams: Any, **more: Any) -> Any:
            (name,) = streams
            if name in self._unanswered:
                self._unanswered.discard(name)
                await self._read_pending(broker, senders[name])
            try:
                found = await read(groupname, consumername, streams, **more)
            except (RedisError, OSError) as error:
                why = f"what {senders[name]} sends can't be read: {type(error).__name__}"
                self._stuck[name] = why
                self._unanswered.add(name)
                raise
            self._stuck.pop(name, None)
            return found

        client.xreadgroup, client.xgroup_create = watched, made

    def _subscribe(self, broker: RedisBroker, partner: str) -> Any:
        """A subscriber to what that partner sends, not started."""
        name = stream_name(partner, self._office)
        subscription = StreamSub(
            name,
            group=self._office,
            consumer=CONSUMER,
            batch=True,
            max_records=BATCH_ENTRIES,
            polling_interval=POLL_MILLISECONDS,
        )

        async def parse(raw: Any) -> RedisBatchStreamMessage:
            # The default parser would stumble over one foreign entry and reject its whole batch.
            return RedisBatchStreamMessage(
                raw_message=raw, body=b"", consumer=_client(broker), group=self._office
            )

        async def decode(message: Any) -> None:
            return None

        async def on_batch(_: Any, message: Injected) -> None:
            raw: Any = message.raw_message
            await self._record(partner, [_text(entry) for entry in raw["data"]], again=False)
            await _client(broker).xack(name, self._office, *raw["message_ids"])

        subscriber = broker.subscriber(
            stream=subscription, ack_policy=AckPolicy.MANUAL, parser=parse, decoder=decode
        )
        subscriber(on_batch)
        return subscriber

    async def _record(self, partner: str, entries: Sequence[bytes], *, again: bool) -> None:
        """Returns when all is committed.

        Where the database is away, or worse, it waits, so that nothing is skipped. The entries
        stay pending, and a restart reads them again.
        """
        while True:
            try:
                await self._receive(partner, entries, again)
            except Exception as error:
                again = True
                self._stuck[partner] = (
                    f"entries from {partner} could not be recorded: {type(error).__name__}"
                )
                log.exception("links: %s", self._stuck[partner])
                await asyncio.sleep(BACK_OFF_SECONDS[0])
            else:
                self._stuck.pop(partner, None)
                return

    async def _read(self, broker: RedisBroker, subscribers: Mapping[str, Any]) -> None:
        """Reads all links until the server or a group went away."""
        reading = [asyncio.create_task(self._look_after(broker))] + [
            asyncio.create_task(self._read_link(broker, partner, subscriber))
            for partner, subscriber in subscribers.items()
        ]
        try:
            ended, _ = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(reading)
        for task in ended:
            task.result()

    async def _read_link(self, broker: RedisBroker, partner: str, subscriber: Any) -> None:
        """Returns when the subscriber has stopped: a ping would succeed on a server without it."""
        name = stream_name(partner, self._office)
        # Nobody tells when it can be made. (`_stuck` names it: all were tried a moment ago.)
        while name in self._stuck and not await self._make_group(broker, partner):  # noqa: ASYNC110
            await asyncio.sleep(SUPERVISE_SECONDS)
        await self._read_pending(broker, partner)
        await subscriber.start()
        while _alive(subscriber):  # noqa: ASYNC110 - its tasks come and go
            await asyncio.sleep(SUPERVISE_SECONDS)

    async def _make_group(self, broker: RedisBroker, partner: str) -> bool:
        """From 0, so that what was sent before this office's first start is read too.

        False where something else than a stream has its name, or a full server refuses a new one:
        the other links go on, and free it.
        """
        name = stream_name(partner, self._office)
        try:
            await _client(broker).xgroup_create(name, self._office, id="0", mkstream=True)
        except OutOfMemoryError:
            self._stuck[name] = f"what {partner} sends can't be read: Redis is full"
            return False
        except ResponseError as error:
            if "WRONGTYPE" in str(error):
                self._stuck[name] = f"what {partner} sends can't be read: {name} is no stream"
                return False
            if "BUSYGROUP" not in str(error):
                raise
        return True

    async def _read_pending(self, broker: RedisBroker, partner: str) -> None:
        """Receives what was delivered before a crash and never acknowledged."""
        name = stream_name(partner, self._office)
        for _ in range(PENDING_TURNS):
            response = await _client(broker).xreadgroup(
                self._office, CONSUMER, {name: "0"}, count=BATCH_ENTRIES
            )
            entries = response[0][1] if response else []
            if not entries:
                return
            present = [_text(fields) for _, fields in entries if fields]
            if present:
                await self._record(partner, present, again=True)
            await _client(broker).xack(name, self._office, *(entry for entry, _ in entries))

    async def _look_after(self, broker: RedisBroker) -> None:
        while True:
            try:
                await _client(broker).ping()
            except (RedisError, OSError) as error:
                self.trouble = f"Redis is away: {type(error).__name__}"
            else:
                self.trouble = "; ".join(self._stuck.values()) or None
            await asyncio.sleep(SUPERVISE_SECONDS)


def _alive(subscriber: Any) -> bool:
    return bool(subscriber.running) and any(not task.done() for task in subscriber.tasks)


def _client(broker: RedisBroker) -> Any:
    return broker.config.broker_config.connection.client


def _text(fields: dict[bytes, bytes]) -> bytes:
    """A frame's text; of a foreign entry all its fields, so that it can be parked as it is."""
    if set(fields) == {FIELD}:
        return fields[FIELD]
    return dump({repr(name): repr(value) for name, value in fields.items()})


async def _stop(broker: RedisBroker) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await broker.stop()
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("links: stopping: %s", type(error).__name__)
