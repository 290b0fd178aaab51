"""The stored event: the exact bytes of one CloudEvents 1.0 JSON document, and its look-up copies.

The bytes are what is hashed and kept; every column beside them is a copy. Old versions are upcast
when they are read, and never rewritten.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.contracts.messages import Message
from shared.kernel import trace
from shared.kernel.decider import Decider, Event, Upcaster


class UnknownType(Exception):
    """A type that this version of the software neither knows nor can upcast."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event as it stands in the log. `position` counts from 1, `version` within a stream."""

    position: int
    stream: str
    version: int
    type: str
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to one office, before its link gave it a sequence number.

    `personal` has who its persons are, by code, sealed under this office's own keys: the relay
    opens it when it sends, and seals it to the receiver. A key that is gone by then sends nothing.
    """

    receiver: str
    subject: str
    message: Message
    personal: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that was decided and is not yet appended, with the messages that go with it."""

    id: str
    stream: str
    version: int
    event: Event
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    traceparent: str
    """W3C trace context; its trace id is the event's correlation id."""
    causation: str
    messages: tuple[Outgoing, ...] = ()

    @property
    def correlation(self) -> str:
        return trace.correlation(self.traceparent)

    def body(self, office: str) -> bytes:
        return dump(
            {
                "specversion": "1.0",
                "id": self.id,
                "source": f"pulang/{office}",
                "type": self.event.type,
                "subject": self.stream,
                "time": self.occurred_at.isoformat(),
                "datacontenttype": "application/json",
                "recordedtime": self.recorded_at.isoformat(),
                "streamversion": self.version,
                "actor": self.actor,
                "correlationid": self.correlation,
                "traceparent": self.traceparent,
                "causationid": self.causation,
                "data": self.event.model_dump(mode="json"),
            }
        )

    def message_body(self, office: str, index: int, sequence: int) -> bytes:
        outgoing = self.messages[index]
        return dump(
            {
                "specversion": "1.0",
                "id": f"{self.id}-{index}",
                "source": f"pulang/{office}",
                "type": outgoing.message.type,
                "subject": outgoing.subject,
                "time": self.occurred_at.isoformat(),
                "datacontenttype": "application/json",
                "sequence": str(sequence),
                "correlationid": self.correlation,
                "traceparent": self.traceparent,
                "data": outgoing.message.model_dump(mode="json"),
            }
        )


def dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def upcast(
    type_: str, data: dict[str, Any], upcasters: Mapping[str, Upcaster]
) -> tuple[str, dict[str, Any]]:
    """Carries `data` of an old type up to the newest one, a version at a time."""
    while step := upcasters.get(type_):
        type_, data = step(data)
    return type_, data


class EventTypes:
    """Every event type of one office, from its deciders, and the way from stored to typed."""

    def __init__(self, deciders: Iterable[Decider[Any]]) -> None:
        self.classes: dict[str, type[Event]] = {}
        self._upcasters: dict[str, Upcaster] = {}
        for decider in deciders:
            for event in decider.events:
                if self.classes.setdefault(event.type, event) is not event:
                    raise ValueError(f"two events are named {event.type}")
            self._upcasters.update(decider.upcasters)

    def reads(self, type_: str) -> bool:
        """Whether a stored event of this type is read: by its class, or by way of an upcaster."""
        return type_ in self.classes or type_ in self._upcasters

    def parse(self, document: Mapping[str, Any]) -> Event:
        """The typed event of a stored document. Raises UnknownType."""
        type_, data = upcast(document["type"], document["data"], self._upcasters)
        if (event := self.classes.get(type_)) is None:
            raise UnknownType(type_)
        return event.model_validate(data)
