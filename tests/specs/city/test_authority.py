"""The authority to sign: valid for dates, acting or not."""

from datetime import date

import pytest

from services.city.domain.authority import (
    AuthorityConferred,
    AuthorityEnded,
    ConferAuthority,
    EndAuthority,
    ExerciseAuthority,
    decider,
)

from ..spec import given, say

FACTS = {
    "signatory": "kepala-dinas",
    "position": "Plt kepala dinas",
    "acting": True,
    "decree": "SK/01/2019",
    "valid_from": date(2019, 9, 1),
    "valid_until": date(2019, 10, 31),
}
CONFERRED = AuthorityConferred(**FACTS)
PERMANENT = AuthorityConferred(**FACTS | {"acting": False, "valid_until": None})
END = {"signatory": "kepala-dinas", "decree": "SK/01/2019", "valid_until": date(2019, 10, 4)}
ENDED = AuthorityEnded(**END)
CONFER = say(ConferAuthority, **FACTS)


def sign(on):
    return say(ExerciseAuthority, signatory="kepala-dinas", on=on)


def test_an_authority_is_conferred_by_a_decree():
    given(decider).when(CONFER).then(CONFERRED)


def test_an_authority_does_not_end_before_it_begins():
    inverted = FACTS | {"valid_until": date(2019, 8, 31)}
    given(decider).when(say(ConferAuthority, **inverted)).refused("AUTHORITY_DATES_INVERTED")


@pytest.mark.parametrize("on", [date(2019, 9, 1), date(2019, 10, 4), date(2019, 10, 31)])
def test_an_acting_head_signs_on_every_day_of_the_decree(on):
    """Rule 7."""
    given(decider, CONFERRED).when(sign(on)).nothing()


@pytest.mark.parametrize("on", [date(2019, 8, 31), date(2019, 11, 1)])
def test_an_acting_head_does_not_sign_a_day_before_or_after_it(on):
    """Rule 7."""
    given(decider, CONFERRED).when(sign(on)).refused("AUTHORITY_NOT_VALID")


def test_nobody_signs_without_an_authority():
    """Rule 7."""
    given(decider).when(sign(date(2019, 10, 4))).refused("AUTHORITY_NOT_VALID")


def test_an_authority_without_an_end_goes_on():
    """Rule 7."""
    given(decider, PERMANENT).when(sign(date(2029, 1, 1))).nothing()


def test_a_second_decree_prolongs_the_first():
    """Rule 7. What was valid at the date of an old deed stays valid for that deed."""
    second = FACTS | {"decree": "SK/02/2019", "valid_from": date(2019, 12, 1), "valid_until": None}
    after = (
        given(decider, CONFERRED)
        .when(say(ConferAuthority, **second))
        .then(AuthorityConferred(**second))
    )
    after.when(sign(date(2019, 10, 4))).nothing()
    after.when(sign(date(2019, 11, 15))).refused("AUTHORITY_NOT_VALID")
    after.when(sign(date(2019, 12, 1))).nothing()


@pytest.mark.parametrize("conferred", [CONFERRED, PERMANENT])
def test_an_authority_ends_on_its_last_day(conferred):
    """Rule 7. What was signed until that day stays signed."""
    after = given(decider, conferred).when(say(EndAuthority, **END)).then(ENDED)
    after.when(sign(date(2019, 10, 4))).nothing()
    after.when(sign(date(2019, 10, 5))).refused("AUTHORITY_NOT_VALID")


def test_the_end_of_one_decree_is_not_the_end_of_another():
    """Rule 7. He was acting head until the day on which he became head."""
    head = FACTS | {"decree": "SK/02/2019", "valid_from": date(2019, 10, 5), "valid_until": None}
    given(decider, CONFERRED, AuthorityConferred(**head), ENDED).when(
        sign(date(2019, 10, 5))
    ).nothing()


def test_an_end_that_was_recorded_wrongly_is_recorded_anew():
    """Rule 18."""
    later = END | {"valid_until": date(2019, 10, 15)}
    after = given(decider, CONFERRED, ENDED).when(say(EndAuthority, **later))
    after.then(AuthorityEnded(**later)).when(sign(date(2019, 10, 15))).nothing()


def test_an_authority_that_ends_on_the_day_of_its_decree_needs_no_ending():
    same = END | {"valid_until": date(2019, 10, 31)}
    given(decider, CONFERRED).when(say(EndAuthority, **same)).nothing()


def test_an_authority_is_not_ended_before_it_began():
    """Rule 7. One that never was in force is one that nobody could have signed by."""
    first, before = date(2019, 9, 1), date(2019, 8, 31)
    for conferred in (CONFERRED, PERMANENT):
        given(decider, conferred).when(say(EndAuthority, **END | {"valid_until": before})).refused(
            "AUTHORITY_DATES_INVERTED"
        )
    given(decider, CONFERRED).when(say(EndAuthority, **END | {"valid_until": first})).then(
        AuthorityEnded(**END | {"valid_until": first})
    )


def test_there_is_no_authority_to_end_without_its_decree():
    given(decider).when(say(EndAuthority, **END)).refused("AUTHORITY_UNKNOWN")
    other = END | {"decree": "SK/09/2019"}
    given(decider, CONFERRED).when(say(EndAuthority, **other)).refused("AUTHORITY_UNKNOWN")


def test_an_authority_that_has_ended_does_not_come_back_with_its_old_decree():
    """Rule 7. A form sent twice, or an import run again, must not undo the end."""
    given(decider, CONFERRED, ENDED).when(CONFER).nothing().when(sign(date(2019, 10, 5))).refused(
        "AUTHORITY_NOT_VALID"
    )


def test_to_end_an_authority_never_prolongs_it():
    """Rule 7. More days than the decree gave need another decree."""
    later = END | {"valid_until": date(2019, 12, 31)}
    given(decider, CONFERRED).when(say(EndAuthority, **later)).refused("AUTHORITY_ENDS_EARLIER")
