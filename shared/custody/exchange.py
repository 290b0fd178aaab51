"""What offices tell each other of erasures: the request, that it is done, until when it waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from shared.contracts import messages
from shared.contracts.messages import Message
from shared.custody import erasure
from shared.kernel.decider import Command, Event
from shared.kernel.event import Outgoing
from shared.kernel.handling import Publisher
from shared.kernel.inbox import Reactor


def publisher(own: Publisher) -> Publisher:
    """A service's own publisher, and beside it what custody has to say. Pure."""

    def publish(stream: str, event: Event) -> Iterator[Outgoing]:
        yield from own(stream, event)
        match event:
            case erasure.ErasureExecuted(person=person, erasure=id_):
                for office in event.offices:
                    yield Outgoing(
                        office,
                        person,
                        messages.ErasureRequested(person=person, erasure=id_, basis=event.basis),
                    )
            case erasure.ErasureAnswered(person=person, erasure=id_, office=office):
                yield Outgoing(
                    office, person, messages.ErasureConfirmed(person=person, erasure=id_)
                )
            case erasure.ErasureDeferred(person=person, erasure=id_, office=office):
                yield Outgoing(
                    office,
                    person,
                    messages.ErasureWithheld(person=person, erasure=id_, until=event.until),
                )

    return publish


def reactor(own: Reactor) -> Reactor:
    """A service's own reactor, which need not know of custody. Pure."""

    def react(
        sender: str,
        message: Message,
        actor: str,
        now: datetime,
        occurred_at: datetime,
        identities: Mapping[str, str],
    ) -> Sequence[Command]:
        said = {"by": actor, "now": now, "occurred_at": occurred_at, "office": sender}
        match message:
            case messages.ErasureRequested(person=person, erasure=id_, basis=basis):
                return [erasure.OrderErasure(**said, person=person, erasure=id_, basis=basis)]
            case messages.ErasureConfirmed(person=person, erasure=id_):
                return [erasure.ConfirmErasure(**said, person=person, erasure=id_)]
            case messages.ErasureWithheld(person=person, erasure=id_, until=until):
                return [erasure.NoteWithheld(**said, person=person, erasure=id_, until=until)]
        return own(sender, message, actor, now, occurred_at, identities)

    return react
