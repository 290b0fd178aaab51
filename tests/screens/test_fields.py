"""What a browser's form sends, as the body that a command takes."""

from __future__ import annotations

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.city.web.commands import COMMANDS
from shared.contracts.values import Count, FactTime, PositiveRupiah, Value
from shared.runtime.manifest import Problem
from shared.runtime.screens.fields import body_of, time_of

ZONE = ZoneInfo("Asia/Makassar")


class Inner(Value):
    figure: Count


class Form(Value):
    name: str
    on: date | None = None
    at: FactTime | None = None
    amount: Count | PositiveRupiah | None = None
    sure: bool = False
    persons: tuple[str, ...] = ()
    inner: Inner | None = None


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        ({"name": [" a "], "csrf": ["x"]}, {"name": "a"}),
        ({"name": [""], "amount": [""], "sure": [""]}, {}),
        ({"amount": ["1.500.000"]}, {"amount": 1_500_000}),
        ({"amount": ["68"]}, {"amount": 68}),
        ({"amount": ["1.50"]}, {"amount": "1.50"}),
        ({"amount": ["enam"]}, {"amount": "enam"}),
        ({"amount": ["9" * 5_000]}, {"amount": "9" * 5_000}),
        ({"amount": ["9" + ".999" * 2_000]}, {"amount": "9" + ".999" * 2_000}),
        ({"sure": ["ya"]}, {"sure": True}),
        ({"sure": ["tidak"]}, {"sure": False}),
        ({"sure": ["mungkin"]}, {"sure": "mungkin"}),
        ({"persons": ["a", "", "b"]}, {"persons": ["a", "b"]}),
        ({"at": ["2019-10-04T08:00"]}, {"at": "2019-10-04T08:00:00+08:00"}),
        ({"at": ["kemarin"]}, {"at": "kemarin"}),
        ({"on": ["2019-10-04"]}, {"on": "2019-10-04"}),
        ({"inner.figure": ["5"]}, {"inner": {"figure": 5}}),
    ],
)
def test_what_a_browser_sends_becomes_what_a_command_takes(
    sent: dict[str, list[str]], body: dict[str, Any]
) -> None:
    assert body_of(Form, sent, ZONE) == body


def test_the_time_of_every_commands_form_is_taken_with_the_offices_zone() -> None:
    sent = {"occurred_at": ["2019-10-04T08:00"]}
    for route in COMMANDS:
        body = body_of(route.form, sent, ZONE)
        assert body == {"occurred_at": "2019-10-04T08:00:00+08:00"}, route.path


@pytest.mark.parametrize("odd", ["0001-01-01T00:00", "9999-12-31T23:59", "2019-13-01T00:00"])
def test_a_time_that_is_none_of_ours_is_refused_however_it_is_typed(odd: str) -> None:
    for text in (odd, f"{odd}:00+08:00"):
        with pytest.raises(Problem) as refused:
            time_of(text, ZONE)
        assert refused.value.code == "TIME_UNREADABLE"
