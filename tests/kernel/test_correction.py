"""From when an event counts as true, where another one says that it was not so."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.kernel.correction import Citation, Pair, counted, pairs


def day(number: int) -> datetime:
    return datetime(2019, 10, number, tzinfo=UTC)


DEPARTED = Citation("departure")
TAKEN_BACK = Citation(corrects="departure")


def test_a_correction_cites_the_last_fact_of_that_name_and_no_earlier_one() -> None:
    stream = [(1, DEPARTED), (2, TAKEN_BACK), (3, None), (4, DEPARTED), (9, TAKEN_BACK)]
    assert pairs(stream) == [Pair(2, (1,), "undoes"), Pair(9, (4,), "undoes")]


def test_what_went_on_with_a_fact_is_corrected_with_it_and_what_began_anew_is_not() -> None:
    more, over = Citation("case", begins=False), Citation(corrects="case")
    stream = [(1, Citation("case")), (2, more), (3, Citation("case")), (4, more), (5, over)]
    assert pairs(stream) == [Pair(5, (3, 4), "undoes")]
    assert pairs([(1, more), (2, over)]) == []


def test_what_was_undone_had_not_occurred_on_any_day_before_that_was_known() -> None:
    truth = counted([Pair(2, (1,), "undoes")], {1: day(4), 2: day(9)}, {})
    assert truth.counts_from == {1: day(9)}
    assert truth.corrected == {1}


def test_a_fact_and_what_undid_it_never_count_apart() -> None:
    """However early somebody says that it was undone."""
    truth = counted([Pair(2, (1,), "undoes")], {1: day(4), 2: day(1)}, {})
    assert truth.counts_from == {2: day(4)}


def test_what_was_replaced_was_never_so_and_what_replaced_it_was_from_its_own_time() -> None:
    missed, came = 1, 2
    truth = counted([Pair(came, (missed,), "replaces")], {missed: day(6), came: day(7)}, {})
    assert truth.counts_from == {missed: day(7)}
    earlier = counted([Pair(came, (missed,), "replaces")], {missed: day(6), came: day(5)}, {})
    assert earlier.counts_from == {}
    assert earlier.corrected == {missed}


def test_an_answer_that_was_replaced_twice_waits_for_the_last_one() -> None:
    chain = [Pair(2, (1,), "replaces"), Pair(3, (2,), "replaces")]
    truth = counted(chain, {1: day(1), 2: day(2), 3: day(3)}, {})
    assert truth.counts_from == {1: day(3), 2: day(3)}


def test_what_is_restated_was_so_from_the_first() -> None:
    chain = [Pair(2, (1,), "restates"), Pair(3, (2,), "restates")]
    truth = counted(chain, {1: day(1), 2: day(8), 3: day(9)}, {})
    assert truth.counts_from == {2: day(1), 3: day(1)}
    assert truth.corrected == {1, 2}


def test_what_was_decided_in_one_step_with_it_falls_with_it() -> None:
    answered, opened, admitted, corrected, cancelled = 1, 2, 3, 7, 8
    found = [Pair(corrected, (answered,), "replaces"), Pair(cancelled, (opened, 5), "undoes")]
    own = {1: day(6), 2: day(6), 3: day(6), 5: day(7), 7: day(9), 8: day(9)}
    truth = counted(found, own, {answered: [opened, admitted]})
    assert truth.counts_from == dict.fromkeys((answered, opened, admitted, 5), day(9))
    assert truth.corrected == {answered, opened, admitted, 5}
