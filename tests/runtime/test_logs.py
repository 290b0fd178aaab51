"""Logs name what failed and where, and never the values: they may be somebody's secret."""

from __future__ import annotations

import json
import logging

import pytest
from pydantic import ValidationError

from shared.contracts.messages import CaseStatusChanged
from shared.runtime.logs import configure

SECRET = "nilai-rahasia-contoh"


def test_an_exception_is_logged_without_the_values_it_stumbled_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = logging.getLogger().handlers
    try:
        configure()
        try:
            CaseStatusChanged.model_validate({"person": SECRET, "status": SECRET})
        except ValidationError:
            logging.getLogger("test").exception("could not read")
    finally:
        logging.getLogger().handlers = before
    line = capsys.readouterr().err
    assert SECRET not in line
    logged = json.loads(line)
    assert logged["event"] == "could not read"
    assert logged["exception"][0].endswith("ValidationError")
    assert any("test_logs.py" in frame for frame in logged["exception"])
