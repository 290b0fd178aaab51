"""The auditor: its own plain picture of what each office accepted, held against what is kept.

It believes nothing that the product computes. From each event it derives, by a table of its own,
what must be told to whom; from each message, what must follow where it is applied.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from shared.kernel.link import _UNSIGNED, RECEIPT
from tests.simulation.story import NAME as STORY

if TYPE_CHECKING:
    from tests.simulation.memory import Database, Event, ParkedRow
    from tests.simulation.office import Process
    from tests.simulation.world import World

Json = dict[str, Any]


def must_tell(type_: str, data: Json) -> Iterator[tuple[str, str]]:
    """(office, message type) for each message that this event owes."""
    match type_.removeprefix("pulang.").removesuffix(".v1"):
        case "city.handover.issued":
            yield data["receiving_office"], "pulang.handover.issued.v1"
        case "city.handover.entry-withdrawn":
            yield data["receiving_office"], "pulang.handover.amended.v1"
        case "city.handover.withdrawn" if data["was_issued"]:
            yield data["receiving_office"], "pulang.handover.withdrawn.v1"
        case "city.handover.departed" | "city.handover.departure-corrected":
            yield data["receiving_office"], "pulang.handover.departed.v1"
        case "city.grant.shared":
            for credit in data["credits"]:
                yield data["office"], "pulang.grant.disbursed.v1"
                if credit["failed"]:
                    yield data["office"], "pulang.grant.failed.v1"
                if credit["returned_rupiah"]:
                    yield data["office"], "pulang.grant.returned.v1"
        case "city.grant.disbursed" | "city.grant.redisbursed" if data["office"]:
            yield data["office"], "pulang.grant.disbursed.v1"
        case "city.grant.failed" if data["office"]:
            yield data["office"], "pulang.grant.failed.v1"
        case "city.grant.returned" if data["office"]:
            yield data["office"], "pulang.grant.returned.v1"
        case "province.arrival.acknowledged":
            yield data["city"], "pulang.arrival.acknowledged.v1"
        case "province.arrival.unlisted" | "province.arrival.unlisted-corrected":
            yield data["city"], "pulang.arrival.unlisted.v1"
        case "province.arrival.declined":
            yield data["city"], "pulang.handover.declined.v1"
        case "province.grant.confirmed":
            yield data["city"], "pulang.grant.confirmed.v1"
        case "province.grant.disputed":
            yield data["city"], "pulang.grant.disputed.v1"
        case "province.case.opened" | "province.case.assessed" | "province.case.ready":
            yield data["city"], "pulang.case.status-changed.v1"
        case "province.case.left-house":
            yield data["city"], "pulang.case.status-changed.v1"
        case "simulation.errand.said":
            version = 9 if data["kind"] == "of a newer version" else 1
            yield data["to"], f"pulang.simulation.step-said.v{version}"


FOLLOWS = {
    "pulang.handover.issued.v1": "pulang.province.arrival.expected.v1",
    "pulang.handover.withdrawn.v1": "pulang.province.arrival.withdrawn.v1",
    "pulang.handover.amended.v1": "pulang.province.arrival.amended.v1",
    "pulang.handover.departed.v1": "pulang.province.arrival.departure-noted.v1",
    "pulang.arrival.acknowledged.v1": "pulang.city.handover.arrival-recorded.v1",
    "pulang.grant.confirmed.v1": "pulang.city.grant.confirmation-recorded.v1",
    "pulang.grant.disbursed.v1": "pulang.province.grant.credit-noted.v1",
    "pulang.grant.failed.v1": "pulang.province.grant.failure-noted.v1",
    "pulang.simulation.step-said.v1": "pulang.simulation.errand.noted.v1",
}
"""What must follow from a message the first time that an office is told this."""

CODE = re.compile(rb'"(PM-[0-9A-Z]{10})"')


def affairs(body: bytes, document: Json) -> frozenset[str]:
    """Whose affairs a message is about, read anew from what ADR 0021 says."""
    if "person" in document["data"]:
        return frozenset({document["data"]["person"]})
    return frozenset({document["subject"], *(code.decode() for code in CODE.findall(body))})


@dataclass
class Held:
    """A message that is parked and not settled, as the auditor saw it come."""

    sender: str
    sequence: int
    document: Json
    affairs: frozenset[str]


@dataclass
class Picture:
    """What the auditor has seen of one office."""

    bodies: list[bytes] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    peaks: list[tuple[int, bytes]] = field(default_factory=list)
    tree_heads: list[bytes] = field(default_factory=list)
    told: dict[str, list[bytes]] = field(default_factory=dict)
    heard: dict[str, list[bytes]] = field(default_factory=dict)
    causes: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)
    parked: int = 0
    held: dict[int, Held] = field(default_factory=dict)
    settled: dict[int, str] = field(default_factory=dict)
    freed: dict[str, set[str]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    streams: list[str] = field(default_factory=list)
    model: dict[str, tuple[int, int]] = field(default_factory=dict)
    model_at: int = 0


class Auditor:
    def __init__(self, world: World) -> None:
        self.world = world
        self.pictures: dict[str, Picture] = {}
        self.accepted: list[tuple[str, str, str, list[str]]] = []
        self.entries: dict[tuple[str, str], dict[int, tuple[int, int, Process]]] = {}
        self.frames: dict[tuple[str, str], list[bytes]] = {}
        self.tally: Counter[str] = Counter()

    def fail(self, sentence: str) -> None:
        self.world.fail(sentence)

    def picture(self, office: str) -> Picture:
        return self.pictures.setdefault(office, Picture())

    def database(self, office: str) -> Database:
        return self.world.offices[office].database

    # What happens at every write

    def heard(self, office: str, what: str, about: Any) -> None:
        seen = self.picture(office)
        match what:
            case "confirmed":
                self._confirmed(office, about)
            case "transaction":
                self._model(office, seen)
            case "witnessed":
                self._witnessed(office, about)
            case "forked":
                self.fail(f"{office}: the history of {about} is called forked, and is not")
            case "commit":
                self._committed(office, seen, about)

    def _witnessed(self, office: str, partner: str) -> None:
        """What was kept is how the partner's log begins."""
        size, note = self.database(office).witnessed[partner][-1]
        _, said, head, *_ = note.split("\n")
        heads = self.picture(partner).tree_heads
        if int(said) != size or size > len(heads) or b64decode(head) != heads[size - 1]:
            self.fail(f"{office}: what it has witnessed of {partner} is not that one's log")

    def _committed(self, office: str, seen: Picture, p: Mapping[str, Any]) -> None:
        owed: dict[str, list[str]] = {}
        caused: dict[str, list[Json]] = {}
        steps = dict(seen.steps)
        for event in self.database(office).events[len(seen.bodies) :]:
            document = json.loads(event[4])
            self._event(office, seen, event, document)
            for receiver, type_ in must_tell(event[3], document["data"]):
                owed.setdefault(receiver, []).append(f"{type_} of {document['id']}")
            caused.setdefault(document["causationid"], []).append(document)
        self._head(office, seen)
        self._outbox(office, seen, owed)
        done = self._settled(office, seen, p)
        done |= self._inbox(office, seen, steps)
        for id_, document in done.items():
            self._follows(office, seen, document, caused.get(id_, []))
        for cause, events in caused.items():
            if cause in seen.causes:
                self.fail(f"{office}: {events[0]['type']} follows from {cause} once more")
            if cause not in done and events[0]["actor"].startswith("office:"):
                self.fail(f"{office}: {events[0]['type']} follows from no message")
        seen.causes.update(done)

    def _event(self, office: str, seen: Picture, event: Event, document: Json) -> None:
        position, stream, version, type_, body = event
        expected = len(seen.bodies) + 1
        if position != expected:
            self.fail(f"{office}: position {position} where {expected} was due")
        due = seen.versions.get(stream, 0) + 1
        if version != due or document["streamversion"] != due:
            self.fail(f"{office}: {stream} has version {version}, not {due}")
        if document["id"] in seen.ids:
            self.fail(f"{office}: event {document['id']} stands twice")
        if type_ == "pulang.simulation.errand.noted.v1":
            said = document["data"]
            if said["step"] != seen.steps.get(said["errand"], 0) + 1:
                self.fail(f"{office}: step {said['step']} of {said['errand']} is out of turn")
            seen.steps[said["errand"]] = said["step"]
        seen.versions[stream] = version
        seen.ids[document["id"]] = position
        seen.bodies.append(body)
        seen.streams.append(stream)
        size, node = 1, sha256(b"\x00" + body).digest()
        while seen.peaks and seen.peaks[-1][0] == size:
            node = sha256(b"\x01" + seen.peaks.pop()[1] + node).digest()
            size *= 2
        seen.peaks.append((size, node))
        tree_head = node
        for _, peak in reversed(seen.peaks[:-1]):
            tree_head = sha256(b"\x01" + peak + tree_head).digest()
        seen.tree_heads.append(tree_head)

    def _head(self, office: str, seen: Picture) -> None:
        database = self.database(office)
        if database.size != len(seen.bodies):
            self.fail(f"{office}: the head says {database.size} of {len(seen.bodies)} events")
        if database.frontier != b"".join(node for _, node in seen.peaks):
            self.fail(f"{office}: the head's tree is not that of the events")

    def _outbox(self, office: str, seen: Picture, owed: dict[str, list[str]]) -> None:
        database = self.database(office)
        for receiver in dict.fromkeys((*database.outbox, *owed)):
            told = seen.told.setdefault(receiver, [])
            rows = database.outbox.get(receiver, [])[len(told) :]
            due = owed.get(receiver, [])
            said = []
            for number, position, body, _ in rows:
                document = json.loads(body)
                if number != len(told) + 1 or document["sequence"] != str(number):
                    self.fail(f"{office}: number {number} to {receiver} is not {len(told) + 1}")
                event, _, _ = document["id"].rpartition("-")
                if seen.ids.get(event) != position:
                    self.fail(f"{office}: message {number} to {receiver} is of no event")
                said.append(f"{document['type']} of {event}")
                told.append(body)
            if said != due:
                self.fail(f"{office}: told {receiver} {said}, owed {due}")
            if database.outgoing.get(receiver, 0) != len(told):
                self.fail(f"{office}: the head counts other messages to {receiver}")

    # What came, what is held back, and what is settled

    def _settled(self, office: str, seen: Picture, p: Mapping[str, Any]) -> dict[str, Json]:
        """What a commit settles: once each, and nothing that an earlier one holds back."""
        done: dict[str, Json] = {}
        for id_, how, by in zip(p["s_id"], p["s_how"], p["s_by"], strict=True):
            if id_ in seen.settled:
                self.fail(f"{office}: parked {id_} is {how} and was {seen.settled[id_]} before")
            seen.settled[id_] = how
            self.tally[f"{how} by {by}"] += 1
            if (one := seen.held.pop(id_, None)) is None:
                continue
            seen.freed.setdefault(one.sender, set()).update(one.affairs)
            if how == "applied":
                before = [
                    other.sequence
                    for other in seen.held.values()
                    if other.sender == one.sender
                    and other.sequence < one.sequence
                    and other.affairs & one.affairs
                ]
                if before:
                    self.fail(f"{office}: {one.sequence} of {one.sender} overtook {before}")
                done[one.document["id"]] = one.document
        return done

    def _inbox(self, office: str, seen: Picture, steps: dict[str, int]) -> dict[str, Json]:
        """What came: each next number once, as it was sent; what is not parked is to be done."""
        database = self.database(office)
        new = database.parked[seen.parked :]
        seen.parked = len(database.parked)
        parked = {
            (row.sender, row.sequence): row
            for row in new
            if row.sequence is not None and row.reason != "UNREADABLE_SEAL"
        }
        done: dict[str, Json] = {}
        for sender, rows in database.inbox.items():
            heard = seen.heard.setdefault(sender, [])
            told = self.picture(sender).told.get(office, [])
            for number in list(rows)[len(heard) :]:
                body = rows[number][0]
                if number != len(heard) + 1:
                    self.fail(f"{office}: took {number} of {sender} when {len(heard) + 1} was due")
                if len(told) < number or told[number - 1] != body:
                    self.fail(f"{office}: message {number} of {sender} was never sent so")
                heard.append(body)
                document = json.loads(body)
                whose = affairs(body, document)
                held = any(
                    one.affairs & whose for one in seen.held.values() if one.sender == sender
                )
                row = parked.pop((sender, number), None)
                if row is None:
                    if held:
                        self.fail(f"{office}: {number} of {sender} was not held back")
                    done[document["id"]] = document
                    continue
                self._parked(office, seen, row, document, whose, held, steps)
                seen.held[row.id] = Held(sender, number, document, whose)
            if len(rows) != len(heard):
                self.fail(f"{office}: an inbox row of {sender} is gone")
            if database.applied[sender][0] != len(heard):
                self.fail(f"{office}: counts other messages of {sender} as applied")
        if parked:
            self.fail(f"{office}: parked {list(parked)}, which never came")
        return done

    def _parked(
        self, office: str, seen: Picture, row: ParkedRow, document: Json, whose: frozenset[str],
        held: bool, steps: dict[str, int],
    ) -> None:  # fmt: skip
        """Whether a message may be parked for this reason."""
        self.tally[f"parked {row.reason}"] += 1
        data = document["data"]
        match row.reason:
            case "UNKNOWN_TYPE":
                right = document["type"].endswith(".v9")
            case "UNREADABLE_MESSAGE":
                right = document["type"].endswith("step-said.v1") and "status" in data
            case "STEP_MISSING":
                right = not held and data["step"] > steps.get(data["errand"], 0) + 1
            case "WAITS_BEHIND_PARKED":
                right = held or bool(whose & seen.freed.get(row.sender, set()))
            case _:
                right = False
        if not right:
            self.fail(
                f"{office}: parked {row.sequence} of {row.sender}, {document['type']}, for"
                f" {row.reason}: {row.detail}"
            )

    def _follows(self, office: str, seen: Picture, document: Json, events: list[Json]) -> None:
        due = FOLLOWS.get(document["type"])
        told = json.dumps([document["type"], document["data"]])
        if due is None or told in seen.known:
            return
        seen.known.add(told)
        if due not in [event["type"] for event in events]:
            self.fail(f"{office}: nothing followed from {document['type']} {document['id']}")

    # The read model

    def _model(self, office: str, seen: Picture) -> None:
        """Rows and checkpoint stand together: the rows are the fold of the log up to it."""
        database = self.database(office)
        position, _ = database.projections[STORY]
        for at in range(seen.model_at, min(position, len(seen.streams))):
            events, _ = seen.model.get(seen.streams[at], (0, 0))
            seen.model[seen.streams[at]] = events + 1, at + 1
        if not seen.model_at <= position <= len(seen.bodies):
            self.fail(f"{office}: the read model goes from {seen.model_at} to {position}")
        seen.model_at = position
        if database.story != seen.model:
            self.fail(f"{office}: the read model is not the fold of the log up to {position}")

    # What happens on the wire

    def sent(self, link: tuple[str, str], number: int, raw: bytes, by: Process) -> None:
        unsigned = _UNSIGNED.match(raw)
        if unsigned is None:
            self.fail(f"{link}: sent what is no frame")
            return
        head, _, body = raw[unsigned.end() :].partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.frames.setdefault(link, []).append(raw)
        if "last" in headers:
            self.entries.setdefault(link, {})[number] = (
                int(headers["first"]),
                int(headers["last"]),
                by,
            )
        elif headers["content-type"] == RECEIPT:
            through = json.loads(body)["applied_through"]
            done = len(self.picture(link[0]).heard.get(link[1], []))
            if through > done:
                self.fail(f"{link[0]}: a receipt says {through}, applied are {done}")

    def trimmed(self, link: tuple[str, str], through: int, by: Process) -> None:
        """A worker takes away nothing of its own that the receiver hasn't applied.

        Of two workers of one office, one may trim what the other sent: both send again.
        """
        done = len(self.picture(link[1]).heard.get(link[0], []))
        sent = self.entries.get(link, {}).items()
        gone = [last for n, (_, last, sender) in sent if n <= through and sender is by]
        if gone and max(gone) > done:
            self.fail(f"{link}: trimmed {max(gone)}, applied are {done}")

    def due(self, link: tuple[str, str]) -> int:
        """The number that the receiver is to apply next."""
        return len(self.picture(link[1]).heard.get(link[0], [])) + 1

    def acknowledged(self, link: tuple[str, str], numbers: Sequence[int], due: int) -> None:
        """What was next in turn when it was read must be applied when it is given up."""
        done = self.due(link) - 1
        for number in numbers:
            first, last = self.entries.get(link, {}).get(number, (0, 0, None))[:2]
            if first <= due <= last and done < last:
                self.fail(f"{link}: acknowledged {first} to {last}, applied are {done}")

    def _confirmed(self, office: str, receiver: str) -> None:
        through = self.database(office).link(receiver).confirmed
        done = len(self.picture(receiver).heard.get(office, []))
        if through > done:
            self.fail(f"{office}: believes {receiver} at {through}, applied are {done}")

    # What was once written stays

    def unchanged(self) -> None:
        """Every row that was ever seen, compared again."""
        for office, seen in self.pictures.items():
            database = self.database(office)
            if [event[4] for event in database.events] != seen.bodies:
                self.fail(f"{office}: the log was changed")
            for receiver, told in seen.told.items():
                if [row[2] for row in database.outbox.get(receiver, [])] != told:
                    self.fail(f"{office}: the outbox to {receiver} was changed")
            for sender, heard in seen.heard.items():
                if [row[0] for row in database.inbox[sender].values()] != heard:
                    self.fail(f"{office}: the inbox of {sender} was changed")
        for office, actor, key, ids in self.accepted:
            if (actor, key) not in self.database(office).requests:
                self.fail(f"{office}: what was answered under {key} is not kept")
            if any(id_ not in self.pictures[office].ids for id_ in ids):
                self.fail(f"{office}: events that were answered under {key} are gone")

    def parked_is_poison(self) -> None:
        """At the end every message is settled; what is left is none of a partner's messages."""
        for office in self.world.offices:
            for row in self.database(office).parked:
                if row.sequence is not None and row.settled_as:
                    continue
                poison = row.sequence is None and sha256(row.raw).digest() in self.world.planted
                twice = row.reason == "REPLAYED_FRAME" and row.raw in self.world.duplicated
                if not (poison or twice):
                    self.fail(
                        f"{office}: parked from {row.sender} {row.sequence} {row.reason}:"
                        f" {row.detail}; {row.raw[:400]!r}"
                    )
                self.tally[f"parked {row.reason}"] += 1

    def models_are_whole(self) -> bool:
        return all(
            office.database.projections[STORY][0] == office.database.size
            for office in self.world.offices.values()
        )
