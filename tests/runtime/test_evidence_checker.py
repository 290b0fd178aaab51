"""`verify.py` holds every edit against evidence that the independent checkers do.

The folder is that of tests/independent, which knows nothing of the product. It has no `contents`:
what is found here is found by signatures and proofs alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.runtime.audit import checker
from tests.independent.test_independent import EDITS, EVENTS, SEEN, write


def faults(folder: Path) -> list[str]:
    """But for `contents`, which is not there."""
    found = checker.Evidence(folder, lambda words: None).check()
    assert found[0].startswith("contents: tidak terbaca")
    return found[1:]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "evidence")
    return tmp_path / "evidence"


def test_it_holds_as_it_is(folder: Path) -> None:
    assert faults(folder) == []


def test_every_index_and_every_prefix_of_every_size_holds(tmp_path: Path) -> None:
    for size in range(1, len(EVENTS) + 1):
        seen = tuple(("prov-a", old) for old in range(1, size + 1))
        write(tmp_path / str(size), EVENTS[:size], seen)
        assert faults(tmp_path / str(size)) == []
    assert len(SEEN) > 1


@pytest.mark.parametrize("made", EDITS)
def test_an_edit_is_found(folder: Path, made: str) -> None:
    _, change = EDITS[made]
    change(folder)
    found = checker.Evidence(folder, lambda words: None).check()
    assert [fault for fault in found if not fault.startswith("contents: ")] != []


def test_no_name_in_a_folder_moves_the_reader_s_cursor(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever made the folder could else write "Semua yang diperiksa benar." over what is wrong."""
    keys = folder / "keys"
    name, _, key = keys.read_text().partition("\n")[0].split("+", 2)
    hidden = f"{name}\x1b[2J\x1b[8m"
    keys.write_text(checker.key_line(hidden, 1, checker.exact(key)[1:]) + "\n")
    (folder / "events" / "\x1b[8m").write_text("x")
    assert checker.main([str(folder)]) == 1
    said = capsys.readouterr().out
    assert "\\x1b[2J" in said
    assert "\x1b" not in said
