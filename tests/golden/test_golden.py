"""What was stored once is read for ever: every golden document loads, folds and projects."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from services.city.domain.handover import HandoverClosed
from shared.contracts import messages
from shared.contracts.messages import Message
from shared.contracts.values import Line, Value
from shared.custody import exchange
from shared.kernel.decider import Command, Decider, Event
from shared.kernel.event import EventTypes, UnknownType, dump
from shared.kernel.inbox import read_message
from shared.kernel.projector import Projector, Recorded
from shared.kernel.unread import unread_types
from shared.runtime.manifest import Service
from tests.golden import documents
from tests.golden.__main__ import write
from tests.golden.documents import (
    COMMAND,
    DECIDERS,
    DIGESTS,
    KINDS,
    OLD,
    TYPES,
    Golden,
    changed,
    missing,
    models,
    standing,
)
from tests.golden.log import SERVICES, log_of, projections_of, restore, types_of
from tests.specs.spec import NOW, SEALED

EVENTS = [golden for kind in DECIDERS for golden in standing(kind)]
MESSAGES = standing("messages")

every_kind = pytest.mark.parametrize("kind", KINDS)
every_document = pytest.mark.parametrize("golden", [*EVENTS, *MESSAGES], ids=str)
each_office = pytest.mark.parametrize("kind", SERVICES)


def with_more(golden: Golden, **more: Any) -> Golden:
    """The same document with other attributes in its envelope, or others' values."""
    return Golden(golden.kind, dump(golden.document | more))


# Which documents there are


@every_kind
def test_every_type_has_its_golden_document_and_each_field_stands_in_one(kind: str) -> None:
    """And one in which what may be empty is empty."""
    assert missing(kind) == []


@every_kind
def test_no_golden_document_is_without_a_type_that_reads_it(kind: str) -> None:
    readers = {*models(kind), *OLD[kind]}
    assert {golden.type for golden in standing(kind)} - readers == set()


def test_no_golden_file_is_without_a_kind_that_reads_it() -> None:
    assert {path.stem for path in documents.FOLDER.glob("*.jsonl")} == set(KINDS)


def test_a_golden_document_stands_as_it_was_written() -> None:
    """It is history. Where a type must change, write a new version and an upcaster."""
    assert changed() == [], "restore these lines from the history: what was written stays"


@every_kind
def test_a_type_without_a_golden_document_is_told_what_to_run(kind: str, tmp_path: Path) -> None:
    lines = missing(kind, tmp_path)
    assert len(lines) == len(models(kind))
    assert all(COMMAND in line for line in lines)


class Closed(HandoverClosed):
    """The stored type as a later version may have it: grown by a field with a default."""

    vehicle: Line | None = None


def test_a_field_that_was_added_wants_a_document_of_its_own_and_the_old_one_still_loads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(TYPES["city"].classes, HandoverClosed.type, Closed)
    assert missing("city") == [
        f"no golden document of {Closed.type} has vehicle filled: add such a one to"
        f" tests/golden/samples.py and run `{COMMAND}`."
    ]
    (golden,) = (one for one in EVENTS if one.type == Closed.type)
    assert golden.load() == Closed(handover="HO-1", vehicle=None)
    assert golden.load().model_dump(mode="json", exclude_unset=True) == golden.data()


@every_kind
def test_a_changed_golden_document_is_found(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "golden"
    shutil.copytree(documents.FOLDER, folder)
    assert changed(folder) == []
    path = folder / f"{kind}.jsonl"
    path.write_bytes(path.read_bytes().replace(b"14:30", b"14:31", 1))
    first = standing(kind)[0]
    assert changed(folder) == [f"{kind} {first.type}"] * 2
    # And writing what is missing does not cover it up.
    write(folder)
    assert f"{kind} {first.type}" in changed(folder)


def test_the_writer_writes_what_is_missing_and_changes_nothing_that_stands(tmp_path: Path) -> None:
    assert write(tmp_path) > 0
    assert [line for kind in KINDS for line in missing(kind, tmp_path)] == []
    assert {path.name for path in tmp_path.iterdir()} == {DIGESTS, *(f"{k}.jsonl" for k in KINDS)}
    assert changed(tmp_path) == []
    assert write(tmp_path) == 0
    path = tmp_path / "city.jsonl"
    first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(rest))
    assert write(tmp_path) == 1
    lines = path.read_bytes().splitlines(keepends=True)
    assert lines[:-1] == rest
    assert json.loads(lines[-1])["type"] == json.loads(first)["type"]


# Each of them is read


@every_document
def test_what_was_stored_is_read_and_loses_nothing(golden: Golden) -> None:
    event = golden.load()
    assert type(event) in models(golden.kind).values()
    assert event.model_dump(mode="json", exclude_unset=True) == golden.data()


@every_document
def test_an_attribute_that_a_later_version_puts_into_the_envelope_is_let_pass(
    golden: Golden,
) -> None:
    assert with_more(golden, later="kata baru", partitionkey="35").load() == golden.load()


@every_document
def test_what_a_field_is_without_where_it_has_a_default_is_the_default(golden: Golden) -> None:
    """So were documents written before the field was there."""
    model = models(golden.kind).get(golden.type)
    defaults = (
        {
            name: field.get_default()
            for name, field in model.model_fields.items()
            if not field.is_required()
        }
        if model
        else {}
    )
    data = golden.document["data"]
    kept = {name: value for name, value in data.items() if name not in defaults}
    loaded = with_more(golden, data=kept).load()
    assert {name: getattr(loaded, name) for name in defaults} == defaults


@pytest.mark.parametrize("golden", MESSAGES, ids=str)
def test_a_message_without_a_trace_is_a_message(golden: Golden) -> None:
    document = golden.document
    del document["traceparent"]
    envelope, message = read_message(dump(document))
    assert envelope.traceparent is None
    assert message == golden.load()


@pytest.mark.parametrize("golden", MESSAGES, ids=str)
def test_a_message_becomes_commands_at_one_kind_of_office_at_least(golden: Golden) -> None:
    message = golden.load()
    assert isinstance(message, Message)
    assert sum(understands(service, message) for service in SERVICES.values()) >= 1


def understands(service: Service, message: Message) -> bool:
    said = ("office:35", NOW, NOW, SEALED)
    try:
        commands = exchange.reactor(service.reactor)("35", message, *said)
    except UnknownType:
        return False
    return all(isinstance(one, Command) for one in commands)


# Together they are a log


def decider_of(golden: Golden) -> Decider[Any]:
    stream = golden.document["subject"]
    return next(d for d in DECIDERS[golden.kind] if stream.startswith(f"{d.category}-"))


@pytest.mark.parametrize("kind", DECIDERS)
def test_every_stream_folds_from_its_beginning(kind: str) -> None:
    states: dict[str, Any] = {}
    versions: dict[str, list[int]] = {}
    for golden in standing(kind):
        decider, stream = decider_of(golden), golden.document["subject"]
        before = states.get(stream, decider.initial)
        states[stream] = decider.evolve(before, golden.load())
        versions.setdefault(stream, []).append(golden.document["streamversion"])
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())
    assert {s.partition("-")[0] for s in states} == {
        d.category.partition("-")[0] for d in DECIDERS[kind]
    }
    for golden in standing(kind):
        assert states[golden.document["subject"]] != decider_of(golden).initial


@each_office
def test_every_projection_takes_every_event(kind: str) -> None:
    for projection in projections_of(kind):
        for position, golden in enumerate(log_of(kind), 1):
            document, event = golden.document, golden.load()
            assert isinstance(event, Event)
            told = Recorded(
                position=position,
                stream=document["subject"],
                id=document["id"],
                actor=document["actor"],
                occurred_at=document["time"],
                recorded_at=document["recordedtime"],
                event=event,
            )
            for statement, parameters in projection.apply(told):
                assert statement
                assert isinstance(parameters, Mapping)


@each_office
async def test_a_log_of_every_type_is_projected_rebuilt_and_has_no_type_without_a_reader(
    kind: str, pool: AsyncConnectionPool, owner: psycopg.Connection[Any]
) -> None:
    """In PostgreSQL, as the owner restored it: what the software reads is nothing but the log."""
    goldens = log_of(kind)
    restore(owner, goldens)
    for projection in projections_of(kind):
        projector = Projector(pool, types_of(kind), projection)
        await projector.prepare()
        assert await projector.step() == len(goldens)
        assert (await projector.rebuild()).differences == []
    async with pool.connection() as connection:
        assert await unread_types(connection, types_of(kind)) == []
        # Of another office's log it would be everything but what custody wrote.
        (other,) = set(SERVICES) - {kind}
        unread = await unread_types(connection, types_of(other))
    assert {one.type for one in unread} == {golden.type for golden in standing(kind)}
    assert sum(one.number for one in unread) == len(standing(kind))


# An old version goes through every upcaster after it


class PlaceNamed(Event):
    """Version 3: `house` was `name` in version 2, and version 1 knew no capacity."""

    type = "pulang.test.place.named.v3"
    words = "{house} takes {capacity}."
    house: str
    capacity: int


def place_v1_to_v2(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "pulang.test.place.named.v2", data | {"capacity": 0}


def place_v2_to_v3(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return PlaceNamed.type, {"house": data["name"], "capacity": data["capacity"]}


PLACES: Decider[tuple[PlaceNamed, ...]] = Decider(
    category="place",
    key="house",
    commands=(),
    events=(PlaceNamed,),
    initial=(),
    evolve=lambda state, event: (*state, event),
    decide=lambda command, state: [],
    upcasters={
        "pulang.test.place.named.v1": place_v1_to_v2,
        "pulang.test.place.named.v2": place_v2_to_v3,
    },
)
PLANTED = {
    1: b'{"name":"RS-1"}',
    2: b'{"name":"RS-1","capacity":20}',
    3: b'{"house":"RS-1","capacity":20}',
}


def place(version: int) -> Golden:
    type_ = b"pulang.test.place.named.v%d" % version
    body = b'{"specversion":"1.0","type":"%b","subject":"place-RS-1","data":%b}'
    return Golden("planted", body % (type_, PLANTED[version]))


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TYPES, "planted", EventTypes([PLACES]))
    monkeypatch.setitem(OLD, "planted", PLACES.upcasters)


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(("version", "capacity"), [(1, 0), (2, 20), (3, 20)])
def test_an_event_of_an_old_version_is_carried_up_a_version_at_a_time(
    version: int, capacity: int
) -> None:
    golden = place(version)
    event = golden.load()
    assert event == PlaceNamed(house="RS-1", capacity=capacity)
    assert event.model_dump(mode="json", exclude_unset=True) == golden.data()
    assert PLACES.evolve(PLACES.initial, event) == (event,)
    assert TYPES["planted"].reads(golden.type)


@pytest.mark.usefixtures("planted")
def test_a_version_that_no_upcaster_reads_any_more_is_unknown() -> None:
    later = with_more(place(3), type="pulang.test.place.named.v4")
    assert not TYPES["planted"].reads(later.type)
    with pytest.raises(UnknownType, match=r"named\.v4"):
        later.load()


class StatusChanged(Message):
    """Version 3 of a message that stands in the golden file as version 1."""

    type = "pulang.case.status-changed.v3"
    person: str
    word: str
    since: str


def test_a_message_of_an_old_version_is_carried_up_a_version_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = messages.CaseStatusChanged.type
    golden = next(one for one in MESSAGES if one.type == first)
    second = first.replace("v1", "v2")
    monkeypatch.delitem(messages.MESSAGES, first)
    with pytest.raises(UnknownType):
        golden.load()
    monkeypatch.setitem(messages.MESSAGES, StatusChanged.type, StatusChanged)
    monkeypatch.setitem(messages.UPCASTERS, first, lambda data: (second, data | {"since": "?"}))
    monkeypatch.setitem(messages.UPCASTERS, second, status_v2_to_v3)
    data = golden.document["data"]
    loaded: Value = golden.load()
    assert loaded == StatusChanged(person=data["person"], word=data["status"], since="?")
    assert loaded.model_dump(mode="json", exclude_unset=True) == golden.data()


def status_v2_to_v3(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return StatusChanged.type, {
        "person": data["person"],
        "word": data["status"],
        "since": data["since"],
    }
