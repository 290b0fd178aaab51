"""What the province does when a city tells it something."""

import pytest

from services.province import domain
from services.province.domain.arrival import (
    AmendExpectation,
    ExpectHandover,
    NoteDeparture,
    WithdrawExpectation,
)
from services.province.domain.grant import NoteCredit, NoteFailure, NoteReturn
from services.province.reactor import react
from shared.contracts import messages
from shared.kernel.event import UnknownType

from ..letters import (
    AMENDED,
    CREDIT,
    DISBURSED,
    ISSUED,
    KNOWN,
    LETTERS,
    every_message_has_its_letter,
)
from ..spec import ANN, BEA, HOUR, NOW, SEALED, Office, aggregates

CITY, ANOTHER_CITY = "53.71", "53.01"
SAID = {"by": "office:53.71", "now": NOW + HOUR, "occurred_at": NOW, "city": CITY}
DECIDERS = aggregates(domain).values()

BECOMES = {
    messages.HandoverIssued: ExpectHandover(**SAID, **ISSUED | {"entries": KNOWN}),
    messages.HandoverAmended: AmendExpectation(**SAID, **AMENDED),
    messages.HandoverWithdrawn: WithdrawExpectation(**SAID, handover="HO-1"),
    messages.HandoverDeparted: NoteDeparture(
        **SAID, handover="HO-1", departed_at=NOW, did_not_occur=True
    ),
    messages.GrantDisbursed: NoteCredit(**SAID, **DISBURSED),
    messages.GrantFailed: NoteFailure(**SAID, **CREDIT),
    messages.GrantReturned: NoteReturn(**SAID, **CREDIT, amount_rupiah=1_000_000),
}
"""What is a province's business, and the one command that it becomes."""


def told(message, sender=CITY, identities=SEALED):
    return react(sender, message, f"office:{sender}", NOW + HOUR, NOW, identities)


def test_every_message_of_the_contract_is_looked_at():
    assert every_message_has_its_letter()


@pytest.mark.parametrize("letter", [one for one in LETTERS if type(one) in BECOMES])
def test_what_a_city_tells_becomes_this_offices_own_command(letter):
    """Rule 17. It says who told it, when that was recorded here, and when it occurred there."""
    assert told(letter) == [BECOMES[type(letter)]]


@pytest.mark.parametrize("letter", [one for one in LETTERS if type(one) not in BECOMES])
def test_what_only_a_province_tells_is_none_of_this_offices_business(letter):
    with pytest.raises(UnknownType) as unknown:
        told(letter)
    assert str(unknown.value) == letter.type


def test_the_sender_of_a_message_is_whoever_brought_it():
    """Rule 6. No message says by itself which city it is from, so none can say it wrongly."""
    for letter in LETTERS:
        assert not {"sender", "city", "office"} & set(type(letter).model_fields)
        if type(letter) in BECOMES:
            assert [one.city for one in told(letter, ANOTHER_CITY)] == [ANOTHER_CITY]


def test_a_manifest_is_expected_with_the_identities_that_came_beside_it():
    """Each under her own code; who came without one is expected all the same."""
    (command,) = told(messages.HandoverIssued(**ISSUED), identities={BEA: SEALED[BEA]})
    assert [(entry.person, entry.identity) for entry in command.entries] == [
        (ANN, None),
        (BEA, SEALED[BEA]),
    ]


def test_an_amendment_brings_codes_alone_whatever_came_beside_it():
    """Who they are is known from the first announcement."""
    (command,) = told(messages.HandoverAmended(**AMENDED))
    assert not any(value in command.model_dump_json() for value in SEALED.values())


def anew(number):
    """The identities as another delivery gives them: sealed again, so other ciphertexts."""
    return {person: f"{sealed}-{number}" for person, sealed in SEALED.items()}


def test_a_handover_announced_again_under_other_ciphertexts_is_the_same():
    """Rule 6. Each delivery seals anew; that makes no other handover of it."""
    office = Office(DECIDERS)
    office.does(*told(messages.HandoverIssued(**ISSUED)))
    assert office.does(*told(messages.HandoverIssued(**ISSUED), identities=anew(2))) == []
    assert office.does(*told(messages.HandoverIssued(**ISSUED), identities={})) == []


def test_after_an_amendment_this_office_still_knows_who_is_coming():
    """Rule 9. What was sealed with the first announcement stays with her who remains."""
    office = Office(DECIDERS)
    office.does(*told(messages.HandoverIssued(**ISSUED), identities=anew(1)))
    (amended,) = office.does(*told(messages.HandoverAmended(**AMENDED), identities=anew(2)))
    assert [(one.person, one.identity) for one in amended.entries] == [(BEA, anew(1)[BEA])]
    state = office.states["arrival-HO-1"]
    assert {one: entry.identity for one, entry in state.entries.items()} == {BEA: anew(1)[BEA]}


USUAL = (
    messages.HandoverIssued(**ISSUED),
    messages.GrantDisbursed(**DISBURSED),
    messages.HandoverAmended(**AMENDED),
    messages.HandoverDeparted(handover="HO-1", departed_at=NOW),
    messages.GrantReturned(**CREDIT, amount_rupiah=1_000_000),
    messages.GrantFailed(**CREDIT),
    messages.HandoverWithdrawn(handover="HO-1"),
)


def test_what_is_told_twice_happens_once():
    """Rule 6, rule 15."""
    office = Office(DECIDERS)
    for letter in USUAL:
        assert office.does(*told(letter)), letter
        assert office.does(*told(letter)) == [], letter


@pytest.mark.parametrize("letter", USUAL[1:], ids=lambda one: one.type)
def test_no_other_city_speaks_for_the_one_that_issued_and_paid(letter):
    """Rule 6."""
    office = Office(DECIDERS)
    office.does(*told(USUAL[0]), *told(USUAL[1]))
    before = dict(office.states)
    assert office.hears(told(letter, ANOTHER_CITY)).code in (
        "NOT_THE_SENDER",
        "CREDIT_REFERENCE_DIFFERS",
    )
    assert office.states == before


def test_a_grant_may_be_heard_of_before_and_after_the_handover():
    """Rule 16. Whatever the order, this office knows the same in the end."""
    issued, credited = told(USUAL[0]), told(USUAL[1])
    first, second = Office(DECIDERS), Office(DECIDERS)
    first.does(*issued, *credited)
    second.does(*credited, *issued)
    assert first.states == second.states
