"""What the province's staff open in a browser, in the order of the menu."""

from __future__ import annotations

from pathlib import Path

from services.province.web.screens import arriving, casework, houses, people, today
from shared.runtime.screens.screen import Screen

TEMPLATES = Path(__file__).parent.parent / "templates"

# An address with a fixed word stands before the one that takes any code in its place.
SCREENS: tuple[Screen, ...] = (
    today.TODAY,
    arriving.ARRIVALS,
    arriving.CHECKLIST,
    arriving.UNLISTED,
    arriving.SHEET,
    casework.CASES,
    casework.CASE,
    casework.ASSIGNING,
    casework.GRANTS,
    houses.HOUSES,
    people.PERSON,
)
