"""The authority to sign: valid for dates, acting or not."""

from datetime import date

import pytest

from services.city.domain.authority import (
    AuthorityConferred,
    ConferAuthority,
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


def sign(on):
    return say(ExerciseAuthority, signatory="kepala-dinas", on=on)


def test_an_authority_is_conferred_by_a_decree():
    given(decider).when(say(ConferAuthority, **FACTS)).then(CONFERRED)


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
    permanent = AuthorityConferred(**FACTS | {"acting": False, "valid_until": None})
    given(decider, permanent).when(sign(date(2029, 1, 1))).nothing()


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
