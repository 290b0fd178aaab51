"""What offices tell each other of erasures, and that they come to an end wherever they go."""

from datetime import date

import pytest

from services.city import publisher as city_publisher
from services.city import reactor as city_reactor
from services.province import publisher as province_publisher
from services.province import reactor as province_reactor
from shared.contracts import messages
from shared.custody import (
    DECIDERS,
    access,
    erasure,
    exchange,
    fork,
    parked,
    reconciliation,
    replay,
    restored,
)
from shared.kernel.decider import Refused
from shared.kernel.event import Outgoing, UnknownType

from ..city import test_publisher as city
from ..letters import ERASURE, LETTERS, WHISPERED, tells_too_much, unspoken
from ..province import test_publisher as province
from ..spec import ANN, BEA, HOUR, NOW, SEALED, Office
from .test_erasure import APPROVE, BEGIN, DAY, PROPOSE, SOON, TODAY, execute, hold, on
from .test_hold import LIFT
from .test_replay import REPLAYED
from .test_restored import FOUND

PUBLISHERS = {"city": city_publisher.publish, "province": province_publisher.publish}
REACTORS = {"city": city_reactor.react, "province": province_reactor.react}
REQUESTED = messages.ErasureRequested(**ERASURE, basis="court_order")
CONFIRMED = messages.ErasureConfirmed(**ERASURE)
WITHHELD = messages.ErasureWithheld(**ERASURE, until=date(2020, 10, 4))

TOLD = [
    (
        erasure.ErasureExecuted(**ERASURE, basis="court_order", epoch=7, offices=("35", "53")),
        [Outgoing("35", ANN, REQUESTED), Outgoing("53", ANN, REQUESTED)],
    ),
    (
        erasure.ErasureExecuted(**ERASURE, basis="court_order", epoch=7, offices=()),
        [],
    ),
    (
        erasure.ErasureAnswered(**ERASURE, office="35"),
        [Outgoing("35", ANN, CONFIRMED)],
    ),
    (
        erasure.ErasureDeferred(**ERASURE, office="35", until=date(2020, 10, 4)),
        [Outgoing("35", ANN, WITHHELD)],
    ),
]
"""Each event that another office hears of, and the messages that go with it."""

KEPT = [
    erasure.ErasureProposed(
        **ERASURE, basis="court_order", reference="PTSN/1", proposer="penyusun"
    ),
    erasure.ErasureApproved(**ERASURE, approver="pengesah"),
    erasure.ErasureRejected(**ERASURE),
    erasure.ErasureOrdered(**ERASURE, basis="court_order", office="35"),
    erasure.ErasureBegun(**ERASURE, basis="court_order"),
    erasure.ErasureConfirmed(**ERASURE, office="35"),
    erasure.ErasureWithheld(**ERASURE, office="35", until=date(2020, 10, 4)),
    erasure.ErasureCompleted(**ERASURE),
    erasure.HoldPlaced(person=ANN, until=date(2020, 10, 4), reason=WHISPERED),
    erasure.HoldLifted(person=ANN),
    access.PersonalDataSeen(
        look="LK-1",
        by="penyusun",
        subjects=(ANN, BEA),
        fields=("identity.name",),
        purpose="arrival",
        break_glass=None,
        at=NOW,
    ),
    fork.HistoryAccepted(fork="1", partner="35", size=7, grounds="Dipulihkan"),
    replay.ReplayRecorded(**REPLAYED),
    reconciliation.ReconciliationAsked(partner="35", run="RC-1"),
    reconciliation.ReconciliationEnded(partner="35", run="RC-1", outcome="differed", differences=3),
    restored.RestoreSettled(events=1204, **FOUND),
    parked.MessageDiscarded(parked="1", sender="35", sequence=2, grounds="Kiriman uji"),
    access.UnusualLookingNoticed(at=NOW, by="penyusun", persons=31, minutes=10),
    access.IdentityLookedUp(by="penyusun", purpose="identity_check", person=ANN, at=NOW),
    access.BreakGlassOpened(
        break_glass="BG-1", by="penyusun", person=ANN, reason=WHISPERED, ends_at=NOW
    ),
    access.BreakGlassReviewed(break_glass="BG-1", by="auditor", finding="justified"),
]
"""What stays in the office: who looked at whom, who decided what, and why data are held."""

BECOMES = {
    messages.ErasureRequested: (REQUESTED, erasure.OrderErasure, {"basis": "court_order"}),
    messages.ErasureConfirmed: (CONFIRMED, erasure.ConfirmErasure, {}),
    messages.ErasureWithheld: (WITHHELD, erasure.NoteWithheld, {"until": date(2020, 10, 4)}),
}
"""What of the contract is custody's, and the one command that it becomes."""

each_office = pytest.mark.parametrize("kind", sorted(PUBLISHERS))


def out(kind, event):
    return list(exchange.publisher(PUBLISHERS[kind])("a-stream", event))


def said(sender, identities=SEALED):
    return f"office:{sender}", NOW + HOUR, NOW, identities


def told(kind, sender, message):
    return exchange.reactor(REACTORS[kind])(sender, message, *said(sender))


# What is said


def test_every_event_of_custody_is_either_told_or_kept():
    assert unspoken(DECIDERS, [event for event, _ in TOLD] + KEPT) == []


@each_office
@pytest.mark.parametrize(("event", "letters"), TOLD, ids=lambda one: type(one).__name__)
def test_of_an_erasure_the_office_concerned_hears_and_nobody_else(kind, event, letters):
    assert out(kind, event) == letters


@each_office
@pytest.mark.parametrize("event", KEPT, ids=lambda one: type(one).__name__)
def test_who_looked_and_why_data_are_held_is_no_other_offices_business(kind, event):
    assert out(kind, event) == []


def test_an_erasure_tells_nobody_again_who_she_was():
    sent = [one for event, _ in TOLD for one in out("city", event)]
    assert sent
    assert not [one for one in sent if tells_too_much(one) or one.personal]


@pytest.mark.parametrize(
    ("kind", "event"),
    [("city", event) for event, _ in city.TOLD]
    + [("province", event) for event, _ in province.TOLD],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
def test_what_an_office_says_of_its_own_business_is_said_as_before(kind, event):
    assert out(kind, event) == list(PUBLISHERS[kind]("a-stream", event)) != []


# What is heard


@each_office
@pytest.mark.parametrize("letter", BECOMES, ids=lambda one: one.type)
def test_a_word_about_an_erasure_becomes_this_offices_own_command(kind, letter):
    """It says who told it: no message says by itself which office it is from."""
    message, command, more = BECOMES[letter]
    assert not {"sender", "office"} & set(letter.model_fields)
    about = {"by": "office:53.01", "now": NOW + HOUR, "occurred_at": NOW, "office": "53.01"}
    assert told(kind, "53.01", message) == [command(**about, **ERASURE, **more)]


@each_office
@pytest.mark.parametrize(
    "letter", [one for one in LETTERS if type(one) not in BECOMES], ids=lambda one: one.type
)
def test_every_other_word_is_heard_as_before(kind, letter):
    """With all that came beside it; and what is none of its business still is not."""
    own = REACTORS[kind]
    try:
        expected = own("35", letter, *said("35"))
    except UnknownType as unknown:
        with pytest.raises(UnknownType, match=unknown.args[0]):
            told(kind, "35", letter)
    else:
        assert told(kind, "35", letter) == expected != []


# Offices that told each other of her


class Offices:
    """Offices of both kinds with custody in memory, and the letters between them, in order."""

    def __init__(self, knows):
        self.knows = knows
        self.office = {code: Office(DECIDERS) for code in knows}
        self.happened = {code: [] for code in knows}
        self.post = []

    def does(self, code, *commands):
        decided = self.office[code].hears(commands)
        assert not isinstance(decided, Refused), decided
        self.happened[code] += decided
        for event in decided:
            for one in out("city" if "." in code else "province", event):
                self.post.append((code, one))
        return decided

    def decides(self, code, number="ER-1"):
        self.does(code, PROPOSE.model_copy(update={"erasure": number}), APPROVE)

    def erases(self, code, day=TODAY):
        """What the worker does: it begins, destroys, and records what it destroyed."""
        self.does(code, on(day, BEGIN))
        self.does(code, on(day, execute(*self.knows[code])))

    def deliver_one(self, twice=False):
        """The oldest letter. Whoever is ordered does it at once, if nothing stops it."""
        sender, one = self.post.pop(0)
        kind = "city" if "." in one.receiver else "province"
        self.does(one.receiver, *told(kind, sender, one.message))
        if twice:
            assert self.does(one.receiver, *told(kind, sender, one.message)) == []
        state = self.custody(one.receiver)
        if state.ordered and state.executed is None and state.held_until is None:
            self.erases(one.receiver)

    def deliver(self, twice=False):
        """Every letter until there is none. Gives who completed, one after the other."""
        turn = sorted(self.completed())
        for _ in range(100):
            if not self.post:
                return turn
            self.deliver_one(twice)
            turn += sorted(self.completed() - set(turn))
        raise AssertionError("they never stop asking each other")

    def custody(self, code):
        return self.office[code].states[f"custody-{ANN}"]

    def completed(self):
        return {
            code
            for code, events in self.happened.items()
            if erasure.ErasureCompleted in map(type, events)
        }


RING = {"53.71": ("35",), "35": ("53",), "53": ("53.71",)}
NETWORKS = {
    "two beside each other": {"53.71": ("35", "53"), "35": (), "53": ()},
    "a chain": {"53.71": ("35",), "35": ("53",), "53": ()},
    "a ring": RING,
    "each told each": {"53.71": ("35", "53"), "35": ("53.71", "53"), "53": ("53.71", "35")},
}


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("knows", NETWORKS.values(), ids=NETWORKS)
def test_an_erasure_reaches_every_office_and_comes_to_an_end(knows, twice):
    """Whoever told whom, and also where every letter comes twice."""
    offices = Offices(knows)
    offices.decides("53.71")
    offices.erases("53.71")
    offices.deliver(twice)
    assert offices.completed() == set(knows)
    for events in offices.happened.values():
        kinds = list(map(type, events))
        assert kinds.count(erasure.ErasureBegun) == 1
        assert kinds.count(erasure.ErasureExecuted) == 1


def test_along_a_chain_the_first_office_completes_last():
    """What it was told of the second holds for the third too."""
    offices = Offices(NETWORKS["a chain"])
    offices.decides("53.71")
    offices.erases("53.71")
    assert offices.deliver() == ["53", "35", "53.71"]


def test_an_erasure_that_meets_an_older_one_completes_after_it():
    """The second office still waits for the third when the first one asks it."""
    offices = Offices(NETWORKS["a chain"])
    for code, number in (("53.71", "ER-2"), ("35", "ER-1")):
        offices.decides(code, number)
        offices.erases(code)
    assert offices.deliver() == ["53", "35", "53.71"]


def test_two_offices_that_have_both_begun_when_the_first_order_arrives_both_complete():
    """What was begun goes on under its own number; who asked meanwhile is not asked back."""
    offices = Offices({"53.71": ("35",), "35": ("53.71",)})
    for code in ("53.71", "35"):
        offices.decides(code, f"ER-{code}")
        offices.does(code, BEGIN)
    offices.erases("53.71")
    offices.deliver()
    assert offices.custody("35").executed.erasure == "ER-35"
    assert offices.completed() == {"53.71", "35"}


def test_two_offices_that_decide_it_at_the_same_time_both_complete():
    """Each asks the other before it was asked, and answers all the same."""
    offices = Offices({"53.71": ("35",), "35": ("53.71",)})
    for code in ("53.71", "35"):
        offices.decides(code, f"ER-{code}")
        offices.erases(code)
    offices.deliver()
    assert offices.completed() == {"53.71", "35"}


def test_an_erasure_waits_for_an_office_that_holds_her_data_and_goes_on_when_it_does_not():
    """Who asked knows until when; the day after, it is done and answered."""
    offices = Offices(RING)
    offices.does("35", hold())
    offices.decides("53.71")
    offices.erases("53.71")
    offices.deliver()
    assert offices.completed() == set()
    assert offices.custody("53.71").withheld == {"35": SOON}
    offices.erases("35", SOON + DAY)
    offices.deliver()
    assert offices.completed() == set(RING)


def test_an_erasure_goes_on_when_a_hold_is_lifted():
    offices = Offices(NETWORKS["a chain"])
    offices.does("53", hold())
    offices.decides("53.71")
    offices.erases("53.71")
    offices.deliver()
    assert offices.completed() == set()
    assert offices.custody("35").withheld == {"53": SOON}
    offices.does("53", LIFT)
    offices.erases("53")
    offices.deliver()
    assert offices.completed() == {"53.71", "35", "53"}
