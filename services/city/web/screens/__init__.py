"""What the city's staff open in a browser, in the order of the menu."""

from __future__ import annotations

from pathlib import Path

from services.city.web.screens import handing_over, intake, operations, today
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
    handing_over.HANDOVERS,
    handing_over.NEW,
    handing_over.CHOOSE,
    handing_over.HANDOVER,
    handing_over.AUTHORITIES,
)
