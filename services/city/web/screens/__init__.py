"""What the city's staff open in a browser, in the order of the menu."""

from __future__ import annotations

from pathlib import Path

from services.city.web.screens import (
    grants,
    handing_over,
    intake,
    money,
    operations,
    today,
    travel,
    treasury,
)
from shared.runtime.screens.screen import Screen

TEMPLATES = Path(__file__).parent.parent / "templates"

# An address with a fixed word stands before the one that takes any code in its place.
SCREENS: tuple[Screen, ...] = (
    today.TODAY,
    operations.OPERATIONS,
    operations.BOARD,
    operations.PEOPLE,
    operations.PERSON_SCREEN,
    intake.ONE,
    intake.MANY,
    intake.TEMPLATE,
    money.MONEY_SCREEN,
    money.PERSON_MONEY,
    grants.GRANTS,
    grants.BANK_FILE,
    grants.BANK_TEMPLATE,
    travel.ADVANCES,
    travel.RELEASES,
    travel.RELEASE_TEMPLATE,
    travel.RECEIPTS,
    travel.RECEIPT_TEMPLATE,
    treasury.STS,
    handing_over.HANDOVERS,
    handing_over.NEW,
    handing_over.CHOOSE,
    handing_over.HANDOVER,
    handing_over.AUTHORITIES,
)
