"""A city and the province it hands over to, for tests that open the screens."""

from __future__ import annotations

from tests.system.conftest import broker, city, province

__all__ = ["broker", "city", "province"]
