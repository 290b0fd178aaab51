"""What events say in plain words: no code in them is left as it is stored."""

from __future__ import annotations

from typing import Literal, get_args, get_origin

import pytest

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.runtime.history import CODED, PLAIN
from shared.runtime.office import DECIDERS

EVENTS = [
    event for decider in (*CITY.deciders, *PROVINCE.deciders, *DECIDERS) for event in decider.events
]


def codes(annotation):
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    return {code for part in get_args(annotation) for code in codes(part)}


@pytest.mark.parametrize("event", EVENTS, ids=lambda one: one.type)
def test_every_code_of_an_event_has_plain_words(event):
    for name, field in event.model_fields.items():
        if name in CODED or f"{{{name}}}" in event.words:
            assert codes(field.annotation) <= PLAIN.keys(), name
            assert not codes(field.annotation) or name in CODED, name
