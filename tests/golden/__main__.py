"""Writes the golden documents that are missing; appends, and changes nothing that stands.

python -m tests.golden
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from shared.contracts.values import Value
from shared.kernel.decider import Event
from shared.kernel.event import NewEvent
from tests.golden.documents import (
    DECIDERS,
    DIGESTS,
    FOLDER,
    KINDS,
    Golden,
    missing,
    standing,
    traits,
)
from tests.golden.samples import OFFICES, PUBLISHERS, samples
from tests.specs.letters import WHISPERED
from tests.specs.spec import NOW

IDS = uuid.uuid5(uuid.NAMESPACE_URL, "pulang/golden")
RECORDED = NOW + timedelta(minutes=5)


class Shown:
    """What the documents of each type show so far."""

    def __init__(self, goldens: list[Golden]) -> None:
        self._traits: dict[str, set[str]] = defaultdict(set)
        for golden in goldens:
            self.adds(golden.type, golden.load())

    def adds(self, type_: str, value: Value) -> bool:
        """Whether this one shows anything more; if so, it is among them from now on."""
        more = {f"type {type_}", *traits(value)} - self._traits[type_]
        self._traits[type_] |= more
        return bool(more)


def new_event(kind: str, stream: str, version: int, event: Event) -> NewEvent:
    number = uuid.uuid5(IDS, f"{kind} {stream} {version}")
    return NewEvent(
        id=str(number),
        stream=stream,
        version=version,
        event=event,
        occurred_at=NOW,
        recorded_at=RECORDED,
        actor="penyusun",
        # Small numbers: what looks drawn at random is taken for a secret.
        traceparent=f"00-{version:032x}-{version:016x}-00",
        causation=f"{version:032x}",
        messages=tuple(PUBLISHERS[kind](stream, event)),
    )


def missing_events(kind: str, folder: Path) -> Iterator[bytes]:
    goldens = standing(kind, folder)
    shown = Shown(goldens)
    versions = Counter(golden.document["subject"] for golden in goldens)
    for stream, event in samples(kind):
        if shown.adds(event.type, event):
            versions[stream] += 1
            yield new_event(kind, stream, versions[stream], event).body(OFFICES[kind])


def missing_messages(folder: Path) -> Iterator[bytes]:
    goldens = standing("messages", folder)
    shown = Shown(goldens)
    sequence = len(goldens)
    for kind in DECIDERS:
        for version, (stream, event) in enumerate(samples(kind), 1):
            new = new_event(kind, stream, version, event)
            for index, outgoing in enumerate(new.messages):
                if shown.adds(outgoing.message.type, outgoing.message):
                    sequence += 1
                    yield new.message_body(OFFICES[kind], index, sequence)


def write(folder: Path = FOLDER) -> int:
    """Appends what is missing; gives how many documents that were."""
    written = 0
    for kind in KINDS:
        bodies = missing_messages(folder) if kind == "messages" else missing_events(kind, folder)
        # The specs whisper where staff write freely; here it is an example like any other.
        new = [Golden(kind, body.replace(WHISPERED.encode(), b"Contoh")) for body in bodies]
        with (folder / f"{kind}.jsonl").open("ab") as file:
            file.writelines(golden.body + b"\n" for golden in new)
        with (folder / DIGESTS).open("a") as file:
            file.writelines(golden.digest + "\n" for golden in new)
        written += len(new)
    return written


if __name__ == "__main__":
    print(f"{write()} documents written")
    print(*(line for kind in KINDS for line in missing(kind)), sep="\n")
