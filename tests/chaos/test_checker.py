"""The chaos run's final check finds what it is there to find: a planted violation of each kind."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.kernel import merkle
from tests.chaos.checker import CITY, Ledger, OfficeState, Sent, check

Offices = dict[str, OfficeState]
ISSUED = "pulang.handover.issued.v1"
DEPARTED = "pulang.handover.departed.v1"
ANSWERED = "pulang.arrival.acknowledged.v1"
UNLISTED = "pulang.arrival.unlisted.v1"


def document(id_: str, type_: str, data: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"id": id_, "type": type_, "data": data} | more).encode()


def seal(state: OfficeState) -> None:
    """The head as it follows from the events."""
    state.size = len(state.events)
    state.frontier = b"".join(merkle.extend(0, (), [body for _, body in state.events]))


def numbered(*bodies: bytes) -> list[tuple[int, bytes]]:
    return list(enumerate(bodies, 1))


def whole() -> tuple[Ledger, Offices]:
    """One handover of two persons to 35: one absent and then there after all, one unlisted."""
    ledger = Ledger(
        persons={"PM-A": "OP-1", "PM-B": "OP-1"},
        handovers={"HO-1": Sent("OP-1", "35", ["PM-A", "PM-B"], "departed")},
        answers={("HO-1", "PM-A"): ["absent", "arrived"], ("HO-1", "PM-B"): ["absent"]},
        unlisted={("HO-1", "PM-C")},
        credits={("PM-A", "KMS-A"): 6},
        confirmed={("PM-A", "KMS-A")},
        released={"PM-A": 5},
        spent={"PM-A": 4},
        events={CITY: ["e1"], "35": ["f1"]},
        requests={CITY: {("issuer", "k1")}},
    )
    told = [
        document("e1-0", ISSUED, {"handover": "HO-1"}),
        document("e2-0", DEPARTED, {"handover": "HO-1"}),
    ]
    first = {"handover": "HO-1", "person": "PM-A", "answer": 1}
    other = {"handover": "HO-1", "person": "PM-B", "answer": 1}
    unlisted = {"handover": "HO-1", "person": "PM-C"}
    said = [
        document("f1-0", ANSWERED, first),
        document("f2-0", ANSWERED, first | {"answer": 2}),
        document("f3-0", ANSWERED, other),
        document("f4-0", UNLISTED, unlisted),
    ]
    recorded = "pulang.city.handover.arrival-recorded.v1"
    noted = "pulang.city.handover.unlisted-recorded.v1"
    city = OfficeState(
        CITY,
        events=numbered(
            document("e1", "pulang.city.handover.issued.v1", {}),
            document("e2", "pulang.city.handover.departed.v1", {}),
            document("e3", recorded, first, causationid="f1-0"),
            document("e4", recorded, first | {"answer": 2}, causationid="f2-0"),
            document("e5", recorded, other, causationid="f3-0"),
            document("e6", noted, unlisted, causationid="f4-0"),
        ),
        outbox={"35": numbered(*told)},
        inbox={"35": numbered(*said)},
        confirmed={"35": 2},
        requests={("issuer", "k1")},
        entries={
            ("HO-1", "PM-A"): "arrived",
            ("HO-1", "PM-B"): "absent",
            ("HO-1", "PM-C"): "unlisted",
        },
        persons={"PM-A": "arrived", "PM-B": "absent", "PM-C": "unlisted"},
        counts={"OP-1": {"arrived": 1, "absent": 1, "unlisted": 1}},
        granted={"OP-1": 6},
        credits={("PM-A", "KMS-A"): (6, "confirmed")},
        advances={"PM-A": (5, 4)},
    )
    expected = "pulang.province.arrival.expected.v1"
    departure = "pulang.province.arrival.departure-noted.v1"
    province = OfficeState(
        "35",
        events=numbered(
            document("g1", expected, {"handover": "HO-1"}, causationid="e1-0"),
            document("g2", departure, {"handover": "HO-1"}, causationid="e2-0"),
            document("f1", "pulang.province.arrival.acknowledged.v1", first),
        ),
        outbox={CITY: numbered(*said)},
        inbox={CITY: numbered(*told)},
        confirmed={CITY: 4},
        parked=[(CITY, None, "UNTRUSTED_FRAME"), (CITY, None, "REPLAYED_FRAME")],
        entries=dict(city.entries),
        credits=dict(city.credits),
    )
    seal(city)
    seal(province)
    return ledger, {CITY: city, "35": province}


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert check(*whole()) == []


def drop_event(offices: Offices) -> None:
    del offices[CITY].events[2]


def edit_event(offices: Offices) -> None:
    position, body = offices[CITY].events[0]
    offices[CITY].events[0] = (position, body.replace(b'"data": {}', b'"data": {"x": 1}'))


def lose_accepted_event(offices: Offices) -> None:
    state = offices["35"]
    state.events = state.events[:2]
    seal(state)


def apply_twice(offices: Offices) -> None:
    state = offices[CITY]
    state.events = numbered(*(body for _, body in state.events), state.events[2][1])
    seal(state)


def apply_out_of_order(offices: Offices) -> None:
    state = offices[CITY]
    bodies = [body for _, body in state.events]
    bodies[2], bodies[4] = bodies[4], bodies[2]
    state.events = numbered(*bodies)
    seal(state)


def hole_in_the_inbox(offices: Offices) -> None:
    del offices[CITY].inbox["35"][1]


def lose_the_last_message(offices: Offices) -> None:
    del offices[CITY].inbox["35"][-1]


def another_body(offices: Offices) -> None:
    number, body = offices["35"].inbox[CITY][0]
    offices["35"].inbox[CITY][0] = (number, body + b" ")


def tell_twice(offices: Offices) -> None:
    """Sender and receiver agree, and yet the same was told under two numbers."""
    for rows in (offices["35"].outbox[CITY], offices[CITY].inbox["35"]):
        rows.append((5, rows[0][1]))
    offices["35"].confirmed[CITY] = 5


def tell_nothing(offices: Offices) -> None:
    """Both sides agree that nothing was told of an accepted departure."""
    for rows in (offices[CITY].outbox["35"], offices["35"].inbox[CITY]):
        del rows[1]
    offices[CITY].confirmed["35"] = 1


def unconfirmed(offices: Offices) -> None:
    offices[CITY].confirmed["35"] = 1


def park_a_message(offices: Offices) -> None:
    offices["35"].parked.append((CITY, 2, "UNREADABLE_MESSAGE"))


def park_a_refusal(offices: Offices) -> None:
    offices["35"].parked.append((CITY, None, "ARRIVAL_DIFFERS"))


def forget_a_request(offices: Offices) -> None:
    offices[CITY].requests.clear()


def lose_a_person(offices: Offices) -> None:
    del offices[CITY].persons["PM-B"]


def another_state(offices: Offices) -> None:
    offices[CITY].entries["HO-1", "PM-B"] = "arrived"


def count_wrongly(offices: Offices) -> None:
    offices[CITY].counts["OP-1"]["absent"] = 2


def lose_an_operation(offices: Offices) -> None:
    offices[CITY].counts.clear()


def another_state_there(offices: Offices) -> None:
    offices["35"].entries["HO-1", "PM-A"] = "absent"


def somebody_nobody_sent(offices: Offices) -> None:
    offices["35"].entries["HO-1", "PM-X"] = "arrived"


def lose_money(offices: Offices) -> None:
    offices[CITY].granted["OP-1"] = 0


def pay_twice(offices: Offices) -> None:
    offices[CITY].credits["PM-A", "KMS-2"] = (6, None)


def spend_more(offices: Offices) -> None:
    offices[CITY].advances["PM-A"] = (5, 5)


def lose_money_there(offices: Offices) -> None:
    offices["35"].credits.clear()


def forget_a_confirmation(offices: Offices) -> None:
    offices[CITY].credits["PM-A", "KMS-A"] = (6, None)


def rebuild_differently(offices: Offices) -> None:
    offices["35"].replay = "exit 1"


PLANTED: dict[Callable[[Offices], None], str] = {
    drop_event: "positions have holes",
    edit_event: "is not the head's",
    lose_accepted_event: "stands 0 times in the log",
    apply_twice: "53.71: log: ('arrival.acknowledged.v1', 'HO-1', 'PM-A', 1) 2 times",
    apply_out_of_order: "applied in another order",
    hole_in_the_inbox: "the inbox's numbers have holes",
    lose_the_last_message: "4 messages sent, 3 in the inbox",
    another_body: "another body in the inbox",
    tell_twice: "outbox: ('arrival.acknowledged.v1', 'HO-1', 'PM-A', 1) 2 times",
    tell_nothing: "outbox: ('handover.departed.v1', 'HO-1') 0 times",
    unconfirmed: "2 recorded, 1 confirmed",
    park_a_message: "UNREADABLE_MESSAGE",
    park_a_refusal: "ARRIVAL_DIFFERS",
    forget_a_request: "k1 of issuer is not remembered",
    lose_a_person: "board: PM-B is None",
    another_state: "handovers: ('HO-1', 'PM-B') is arrived, accepted absent",
    count_wrongly: "board of OP-1 counts",
    lose_an_operation: "no board for ['OP-1']",
    another_state_there: "35: arrivals: ('HO-1', 'PM-A') is absent",
    somebody_nobody_sent: "35: arrivals: ('HO-1', 'PM-X')",
    lose_money: "grants of OP-1 are 0, accepted 6",
    pay_twice: "53.71: credits: ('PM-A', 'KMS-2')",
    spend_more: "53.71: advances: PM-A",
    lose_money_there: "35: grants: ('PM-A', 'KMS-A') is None",
    forget_a_confirmation: "53.71: credits: ('PM-A', 'KMS-A')",
    rebuild_differently: "35: read models differ from a rebuild",
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_violation_is_found(plant: Callable[[Offices], None]) -> None:
    ledger, offices = copy.deepcopy(whole())
    plant(offices)
    found = check(ledger, offices)
    assert any(PLANTED[plant] in sentence for sentence in found), found
