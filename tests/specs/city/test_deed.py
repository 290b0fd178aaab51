"""The numbers of deeds: one number, one handover."""

from services.city.domain.deed import DeedNumberUsed, UseDeedNumber, decider

from ..spec import given, say

NUMBER = "BAST/2019/35"
USED = DeedNumberUsed(deed_number=NUMBER, handover="HO-1")


def test_a_number_is_used_for_one_handover():
    given(decider).when(say(UseDeedNumber, deed_number=NUMBER, handover="HO-1")).then(USED)


def test_the_same_handover_may_say_its_number_again():
    given(decider, USED).when(say(UseDeedNumber, deed_number=NUMBER, handover="HO-1")).then()


def test_the_number_of_another_handover_is_refused_and_that_one_is_named():
    given(decider, USED).when(say(UseDeedNumber, deed_number=NUMBER, handover="HO-2")).refused(
        "DEED_NUMBER_OF_ANOTHER"
    )
