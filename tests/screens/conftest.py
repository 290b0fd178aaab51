"""A city and the province it hands over to, and a browser, for tests that open the screens."""

from __future__ import annotations

from tests.screens.chromium import chromium, stage
from tests.system.conftest import broker, city, province

__all__ = ["broker", "chromium", "city", "province", "stage"]
