"""Who looked at whose data: looks, look-ups by identity, break-glass and its review."""

from datetime import timedelta

import pytest
from hypothesis import given as for_any
from pydantic import ValidationError

from shared.custody import access
from shared.custody.access import (
    BreakGlassOpened,
    BreakGlassReviewed,
    IdentityLookedUp,
    LookUpIdentity,
    OpenBreakGlass,
    PersonalDataSeen,
    RecordLook,
    ReviewBreakGlass,
    UnusualLookingNoticed,
)

from ..spec import ANN, BEA, HOUR, NOW, events_of, given, histories, quick, run, say

MINUTE = timedelta(minutes=1)
SEEN = {"look": "LK-1", "subjects": (ANN, BEA), "fields": ("identity.name",), "purpose": "arrival"}
HOW = {"staff_day": "penyusun-20191004", "usual_persons": 3}
REASON = "sealed-reason"


# Looks


@pytest.mark.parametrize("break_glass", [None, "BG-1"])
def test_a_look_says_who_looked_at_whom_at_what_and_why(break_glass):
    """Each look is another one: looked twice is two looks."""
    given(access.looks).when(say(RecordLook, **SEEN, **HOW, break_glass=break_glass)).then(
        PersonalDataSeen(**SEEN, by="penyusun", break_glass=break_glass, at=NOW),
        a_new_fact_each_time=True,
    )


@pytest.mark.parametrize("missing", sorted(SEEN))
def test_a_look_that_does_not_say_all_of_it_is_none(missing):
    with pytest.raises(ValidationError):
        said = {name: value for name, value in SEEN.items() if name != missing}
        say(RecordLook, **said, **HOW)


@pytest.mark.parametrize(
    ("command", "fields"),
    [(RecordLook, SEEN | HOW), (LookUpIdentity, {"staff": "loket-20191004", "person": None})],
)
def test_a_purpose_is_one_of_the_known_ones(command, fields):
    """In words of her own somebody could write a name where none may stand."""
    with pytest.raises(ValidationError):
        say(command, **fields | {"purpose": "mencari seorang kenalan"})


def test_a_look_holds_nothing_of_what_was_seen():
    """The record of looks would else be the best place to look."""
    assert set(PersonalDataSeen.model_fields) == {*SEEN, "by", "break_glass", "at"}


def people(number):
    return tuple(f"PM-{n:010}" for n in range(number))


def look(*subjects, at=NOW):
    return say(RecordLook, **SEEN | {"subjects": subjects}, **HOW, now=at)


def seen(*subjects, at=NOW):
    return PersonalDataSeen(**SEEN | {"subjects": subjects}, by="penyusun", break_glass=None, at=at)


def noticed(persons, at=NOW):
    return UnusualLookingNoticed(at=at, by="penyusun", persons=persons, minutes=10)


def test_looking_at_many_at_once_is_recorded_and_noticed():
    assert given(access.looks).when(look(*people(3))).decision == [seen(*people(3))]
    assert given(access.looks).when(look(*people(4))).decision == [seen(*people(4)), noticed(4)]


def test_looking_at_many_one_after_the_other_is_noticed_once_in_ten_minutes():
    steps = [NOW + n * MINUTE for n in range(6)]
    history = [seen(person, at=at) for person, at in zip(people(3), steps, strict=False)]
    after = given(access.looks, *history).when(look(people(4)[3], at=steps[3]))
    assert after.decision == [seen(people(4)[3], at=steps[3]), noticed(4, at=steps[3])]
    again = given(access.looks, *history, *after.decision)
    assert again.when(look(people(5)[4], at=steps[4])).decision == [seen(people(5)[4], at=steps[4])]


def test_looking_at_the_same_few_again_and_again_is_nothing_unusual():
    history = [seen(*people(3), at=NOW + n * MINUTE) for n in range(5)]
    after = given(access.looks, *history).when(look(*people(3), at=NOW + 6 * MINUTE))
    assert after.decision == [seen(*people(3), at=NOW + 6 * MINUTE)]


def test_what_was_seen_ten_minutes_ago_counts_no_more_and_papers_never_did():
    later = NOW + 10 * MINUTE
    after = given(access.looks, seen(*people(3))).when(look("PM-0000000009", at=later))
    assert after.decision == [seen("PM-0000000009", at=later)]
    papers = tuple(f"handover-HO-{n}" for n in range(9))
    assert given(access.looks).when(look(*papers)).decision == [seen(*papers)]


# Look-ups by identity


def look_up(at=NOW, person=None):
    return say(
        LookUpIdentity,
        staff="penyusun-20191004",
        purpose="identity_check",
        person=person,
        now=at,
    )


def looked_up(at=NOW, person=None):
    return IdentityLookedUp(by="penyusun", purpose="identity_check", person=person, at=at)


def looked_up_often(number, every):
    return [looked_up(NOW + n * every) for n in range(number)]


@pytest.mark.parametrize("person", [ANN, None])
def test_a_look_up_is_recorded_whether_she_was_found_or_not(person):
    given(access.lookups).when(look_up(person=person)).then(
        looked_up(person=person), a_new_fact_each_time=True
    )


def test_a_look_up_holds_nothing_of_what_was_asked_for():
    """Who is not here has a name and a NIK too."""
    assert set(IdentityLookedUp.model_fields) == {"by", "purpose", "person", "at"}


def test_the_twentieth_look_up_in_ten_minutes_is_answered_and_the_next_is_not():
    nineteen = looked_up_often(19, timedelta(seconds=10))
    at = NOW + 4 * MINUTE
    after = given(access.lookups, *nineteen).when(look_up(at))
    assert after.decision == [looked_up(at)]
    full = given(access.lookups, *nineteen, looked_up(at))
    full.when(look_up(at + MINUTE)).refused("TOO_MANY_LOOKUPS")
    full.when(look_up(at, ANN)).refused("TOO_MANY_LOOKUPS")


def test_after_ten_minutes_one_place_after_the_other_is_free_again():
    """The bound slides: a pause does not give twenty at once, where the twenty were spread."""
    spread = looked_up_often(20, timedelta(seconds=30))
    full = given(access.lookups, *spread)
    at = NOW + 10 * MINUTE
    full.when(look_up(at - timedelta(seconds=1))).refused("TOO_MANY_LOOKUPS")
    assert full.when(look_up(at)).decision == [looked_up(at)]
    given(access.lookups, *spread, looked_up(at)).when(look_up(at)).refused("TOO_MANY_LOOKUPS")


def test_who_looks_up_at_an_ordinary_pace_is_never_stopped():
    """Forty in a row, one every thirty-one seconds."""
    slow = looked_up_often(40, timedelta(seconds=31))
    at = NOW + 40 * timedelta(seconds=31)
    assert given(access.lookups, *slow).when(look_up(at)).decision == [looked_up(at)]


def test_the_bound_is_counted_for_each_member_of_staff_and_each_day():
    """A stream a day keeps it short; and nobody is stopped by what another looked up."""
    theirs = {
        access.lookups.stream(look_up().model_copy(update={"staff": one}))
        for one in ("penyusun-20191004", "penyusun-20191005", "pengesah-20191004")
    }
    assert len(theirs) == 3


# Break-glass


OPEN = say(OpenBreakGlass, break_glass="BG-1", person=ANN, reason=REASON)
OPENED = BreakGlassOpened(
    break_glass="BG-1", by="penyusun", person=ANN, reason=REASON, ends_at=NOW + HOUR
)


def review(finding="justified", by="auditor"):
    return say(ReviewBreakGlass, break_glass="BG-1", finding=finding, by=by)


def reviewed(finding="justified"):
    return BreakGlassReviewed(break_glass="BG-1", by="auditor", finding=finding)


def test_broken_glass_opens_one_person_for_an_hour_with_a_reason():
    given(access.break_glass).when(OPEN).then(OPENED)
    with pytest.raises(ValidationError):
        say(OpenBreakGlass, break_glass="BG-1", person=ANN)


def test_glass_that_is_broken_already_is_not_open_for_longer():
    """The same again an hour later is still the first; another hour takes another reason."""
    later = OPEN.model_copy(update={"now": NOW + HOUR})
    given(access.break_glass, OPENED).when(later).nothing()


@pytest.mark.parametrize("finding", ["justified", "unjustified"])
def test_broken_glass_is_reviewed(finding):
    given(access.break_glass, OPENED).when(review(finding)).then(reviewed(finding))


def test_nobody_reviews_glass_that_she_broke_herself():
    own = given(access.break_glass, OPENED)
    own.when(review(by="penyusun")).refused("OWN_BREAK_GLASS")
    given(access.break_glass, OPENED, reviewed()).when(review(by="penyusun")).refused(
        "OWN_BREAK_GLASS"
    )


def test_glass_that_nobody_broke_is_not_reviewed():
    given(access.break_glass).when(review()).refused("BREAK_GLASS_UNKNOWN")


def test_a_review_stays_as_it_was_given():
    given(access.break_glass, OPENED, reviewed()).when(review("unjustified")).nothing()


# Whatever is asked


VALUES = {
    "break_glass": {"break_glass": ["BG-1"], "person": [ANN, BEA], "reason": [REASON]}
    | {"finding": ["justified", "unjustified"], "now": [NOW, NOW + HOUR]},
    "looks": {name: [value] for name, value in (SEEN | HOW).items()} | {"break_glass": [None]},
    "lookups": {
        "staff": ["penyusun-20191004"],
        "purpose": ["identity_check"],
        "person": [ANN, None],
        "now": [NOW + 10 * n * MINUTE / 4 for n in range(6)],
    },
}
TWENTY = [look_up()] * access.LOOKUPS_AT_MOST


@quick
@for_any(histories(access.lookups, VALUES["lookups"], TWENTY))
def test_whatever_is_asked_nobody_looks_up_more_than_twenty_in_ten_minutes(commands):
    """Counted here from the events alone, in whatever order their times come."""
    seen = sorted(event.at for event in events_of(access.lookups, commands))
    for first, last in zip(seen, seen[access.LOOKUPS_AT_MOST :], strict=False):
        assert last - first >= access.LOOKUP_WINDOW


@quick
@for_any(histories(access.break_glass, VALUES["break_glass"], [OPEN]))
def test_whatever_is_asked_glass_is_broken_once_and_reviewed_once_by_somebody_else(commands):
    opened, findings = [], []
    for command, decision in run(access.break_glass, commands):
        for event in decision:
            if isinstance(event, BreakGlassOpened):
                opened.append(event)
                assert event.ends_at == command.now + HOUR
            else:
                findings.append(event)
                assert event.by != opened[0].by
    assert len(opened) <= 1
    assert len(findings) <= len(opened)
