"""One contract for what holds the wrapping keys, kept by the sealed file and by a token alike.

The token is SoftHSM with a configuration of its own for each test. Where it is missing these tests
fail in CI and say so elsewhere: `apt-get install softhsm2`, and the package python-pkcs11.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.kernel.keys import KeyProvider, Unopened
from shared.runtime import hardware_keys, key_file
from shared.runtime.hardware_keys import HardwareKeys, HardwareUnusable
from shared.runtime.key_file import KeyFileUnusable, SealedFile
from tests.conftest import DEAR

ROOT = Path(__file__).resolve().parent.parent.parent
OFFICE = "53.71"
PASSPHRASE = "contoh-kata-sandi-panjang-0000"
WRONG_PASSPHRASE = "kata-sandi-lain-yang-salah-1111"
PIN = "contoh-pin-246813"
WRONG_PIN = "pin-keliru-975310"
TOKEN = "pulang-uji"
TEXT, ABOUT = b"kunci contoh", b"key-1"

CHEAP = partial(key_file._Derivation, passes=1, memory_kib=64, lanes=1)


@dataclass(frozen=True)
class Holder:
    """A place that holds an office's keys, with epoch 1 in it."""

    opened: Callable[..., KeyProvider]
    """A provider of its own each time, for the office that is named."""
    in_another_process: str
    """Python that makes `keys`."""


def softhsm() -> Path:
    places = [
        Path(root) / folder / "softhsm" / "libsofthsm2.so"
        for root in ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib")
        for folder in ("", f"{os.uname().machine}-linux-gnu")
    ]
    found = next((place for place in places if place.is_file()), None)
    if found is None or importlib.util.find_spec("pkcs11") is None:
        missing = "SoftHSM (softhsm2)" if found is None else "the package python-pkcs11"
        if os.environ.get("CI"):
            pytest.fail(f"{missing} is missing, and no keys on a token go untested in CI")
        pytest.skip(f"{missing} is missing, so keys on a token are NOT tested here")
    return found


def new_token(label: str) -> None:
    command = ["softhsm2-util", "--init-token", "--free", "--label"]
    subprocess.run(
        [*command, label, "--pin", PIN, "--so-pin", PIN], check=True, capture_output=True
    )


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """SoftHSM with one token of ours, and nothing of the machine's."""
    found = softhsm()
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(
        f"directories.tokendir = {tmp_path / 'tokens'}\nlog.level = ERROR\n"
    )
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    new_token(TOKEN)
    yield found
    # The module reads its configuration once: the next test's must be read anew.
    import pkcs11

    library = pkcs11.lib(str(found.resolve()))
    library.finalize()


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty milliseconds a passphrase is what people pay who guess; these tests need not."""
    monkeypatch.setattr(key_file, "_Derivation", CHEAP)


@pytest.fixture(params=["file", "hardware"])
def holder(request: pytest.FixtureRequest, tmp_path: Path, cheap: None) -> Holder:
    if request.param == "hardware":
        library = request.getfixturevalue("module")

        def token(office: str = OFFICE) -> KeyProvider:
            return HardwareKeys(library, TOKEN, PIN, office)

        token().create(1)
        return Holder(
            token,
            "from shared.runtime.hardware_keys import HardwareKeys\n"
            f"keys = HardwareKeys(Path({str(library)!r}), {TOKEN!r}, {PIN!r}, {OFFICE!r})\n",
        )

    def file(office: str = OFFICE) -> KeyProvider:
        return SealedFile.make(tmp_path / f"{office}.keys", PASSPHRASE, office)

    file()
    path = str(tmp_path / f"{OFFICE}.keys")
    return Holder(
        file,
        "from shared.runtime.key_file import SealedFile\n"
        f"keys = SealedFile(Path({path!r}), {PASSPHRASE!r}, {OFFICE!r})\n",
    )


def elsewhere(holder: Holder, code: str) -> subprocess.Popen[str]:
    """Runs `code` with the same keys in another process."""
    program = "import sys\nfrom pathlib import Path\n" + holder.in_another_process + code
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return said


def changed(text: bytes) -> Iterator[bytes]:
    """The text with one bit turned, at each byte; then cut, lengthened, and empty."""
    for at in range(len(text)):
        yield text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]
    yield from (text[:-1], text[:20], text[:5], b"", text + b"\0", b"\0" + text)


class TestContract:
    def test_what_was_wrapped_opens_again_and_is_never_twice_the_same(self, holder: Holder) -> None:
        keys = holder.opened()
        long = bytes(20_000)
        for plain, about in (
            (TEXT, ABOUT), (TEXT, b""), (b"", ABOUT), (b"", b""), (long, long),
        ):  # fmt: skip
            wrapped = keys.wrap(1, plain, about)
            assert len(wrapped) == 12 + len(plain) + 16
            assert keys.unwrap(1, wrapped, about) == plain
            assert keys.wrap(1, plain, about)[:12] != wrapped[:12]
            assert not plain or plain not in wrapped

    def test_it_opens_for_no_other_use_and_no_other_epoch(self, holder: Holder) -> None:
        keys = holder.opened()
        keys.create(2)
        wrapped = keys.wrap(1, TEXT, ABOUT)
        for epoch, about in ((1, b"key-2"), (1, b""), (1, ABOUT + b"\0"), (2, ABOUT)):
            with pytest.raises(Unopened):
                keys.unwrap(epoch, wrapped, about)
        assert keys.unwrap(1, wrapped, ABOUT) == TEXT

    def test_whatever_was_changed_does_not_open(self, holder: Holder) -> None:
        keys = holder.opened()
        wrapped = keys.wrap(1, TEXT, ABOUT)
        for text in changed(wrapped):
            with pytest.raises(Unopened):
                keys.unwrap(1, text, ABOUT)
        assert keys.unwrap(1, wrapped, ABOUT) == TEXT

    def test_an_epoch_that_never_was_neither_wraps_nor_opens(self, holder: Holder) -> None:
        keys = holder.opened()
        wrapped = keys.wrap(1, TEXT, ABOUT)
        with pytest.raises(Unopened):
            keys.wrap(7, TEXT, ABOUT)
        with pytest.raises(Unopened):
            keys.unwrap(7, wrapped, ABOUT)
        with pytest.raises(ValueError, match="count from 1"):
            keys.create(0)
        assert list(keys.epochs()) == [1]

    def test_drawn_twice_is_drawn_once(self, holder: Holder) -> None:
        keys = holder.opened()
        wrapped = keys.wrap(1, TEXT, ABOUT)
        keys.create(1)
        holder.opened().create(1)
        assert keys.unwrap(1, wrapped, ABOUT) == TEXT
        assert list(keys.epochs()) == [1]

    def test_epochs_come_in_order_however_they_were_drawn(self, holder: Holder) -> None:
        keys = holder.opened()
        for epoch in (10, 3, 2):
            keys.create(epoch)
        assert list(keys.epochs()) == [1, 2, 3, 10]
        assert list(holder.opened().epochs()) == [1, 2, 3, 10]

    def test_a_destroyed_epoch_opens_nothing_any_more_even_if_it_is_drawn_again(
        self, holder: Holder
    ) -> None:
        keys = holder.opened()
        keys.create(2)
        old, kept = keys.wrap(1, TEXT, ABOUT), keys.wrap(2, TEXT, ABOUT)
        keys.destroy(1)
        keys.destroy(1)
        assert list(keys.epochs()) == [2]
        for again in (keys, holder.opened()):
            with pytest.raises(Unopened):
                again.unwrap(1, old, ABOUT)
            with pytest.raises(Unopened):
                again.wrap(1, TEXT, ABOUT)
            assert again.unwrap(2, kept, ABOUT) == TEXT
        keys.create(1)
        with pytest.raises(Unopened):
            keys.unwrap(1, old, ABOUT)

    def test_an_office_without_any_epoch_left_still_opens(self, holder: Holder) -> None:
        keys = holder.opened()
        keys.destroy(1)
        assert list(keys.epochs()) == []
        assert list(holder.opened().epochs()) == []

    def test_a_second_one_sees_what_the_first_drew_and_destroyed(self, holder: Holder) -> None:
        first, second = holder.opened(), holder.opened()
        assert list(second.epochs()) == [1]
        wrapped = first.wrap(1, TEXT, ABOUT)
        first.create(2)
        assert second.unwrap(1, wrapped, ABOUT) == TEXT
        assert second.unwrap(2, first.wrap(2, TEXT, ABOUT), ABOUT) == TEXT
        first.destroy(1)
        with pytest.raises(Unopened):
            second.unwrap(1, wrapped, ABOUT)
        assert list(second.epochs()) == [2]

    def test_the_web_sees_the_epoch_that_the_worker_drew_in_its_own_process(
        self, holder: Holder
    ) -> None:
        keys = holder.opened()
        old = keys.wrap(1, TEXT, ABOUT)
        wrapped = finished(
            elsewhere(
                holder,
                "keys.create(2)\n"
                f"assert keys.unwrap(1, bytes.fromhex({old.hex()!r}), {ABOUT!r}) == {TEXT!r}\n"
                f"print(keys.wrap(2, {TEXT!r}, {ABOUT!r}).hex())\n"
                "keys.destroy(1)",
            )
        )
        assert keys.unwrap(2, bytes.fromhex(wrapped), ABOUT) == TEXT
        assert list(keys.epochs()) == [2]
        with pytest.raises(Unopened):
            keys.unwrap(1, old, ABOUT)

    def test_two_processes_that_draw_at_the_same_time_lose_nothing(self, holder: Holder) -> None:
        drawing = (
            "print('ready', flush=True)\n"
            "sys.stdin.readline()\n"
            "for epoch in range(2, 12):\n"
            "    keys.create(epoch)\n"
            f"    print(epoch, keys.wrap(epoch, {TEXT!r}, {ABOUT!r}).hex())"
        )
        both = [elsewhere(holder, drawing) for _ in range(2)]
        for process in both:
            assert process.stdout and process.stdout.readline() == "ready\n"
        for process in both:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        lines = [line.split() for process in both for line in finished(process).splitlines()]
        assert len(lines) == 20
        keys = holder.opened()
        assert list(keys.epochs()) == list(range(1, 12))
        for epoch, wrapped in lines:
            assert keys.unwrap(int(epoch), bytes.fromhex(wrapped), ABOUT) == TEXT

    def test_eight_threads_use_it_while_epochs_come_and_go(self, holder: Holder) -> None:
        keys = holder.opened()

        def work(number: int) -> int:
            about = str(number).encode()
            for turn in range(25):
                if turn % 8 == number:
                    keys.create(100 + number)
                    keys.destroy(100 + number)
                plain = os.urandom(32)
                assert keys.unwrap(1, keys.wrap(1, plain, about), about) == plain
                with pytest.raises(Unopened):
                    keys.unwrap(1, keys.wrap(1, plain, about), b"")
            return 25

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(work, range(8))) == 200
        assert list(keys.epochs()) == [1]

    def test_two_offices_beside_each_other_never_open_each_others(self, holder: Holder) -> None:
        ours, theirs = holder.opened(), holder.opened("53")
        theirs.create(1)
        with pytest.raises(Unopened):
            theirs.unwrap(1, ours.wrap(1, TEXT, ABOUT), ABOUT)
        theirs.create(2)
        theirs.destroy(1)
        assert (list(ours.epochs()), list(theirs.epochs())) == ([1], [2])

    def test_neither_pin_nor_passphrase_is_ever_shown(self, holder: Holder) -> None:
        keys = holder.opened()
        for shown in (str(keys), repr(keys)):
            assert OFFICE in shown
            assert PIN not in shown
            assert PASSPHRASE not in shown
        with pytest.raises(Unopened) as refused:
            keys.unwrap(1, keys.wrap(1, TEXT, ABOUT), b"")
        tells_nothing(refused.value, PIN, PASSPHRASE, TEXT.decode())


def tells_nothing(error: BaseException | None, *secrets: str) -> None:
    """Neither the error, nor any that it came from, nor its traceback holds a secret."""
    assert error is not None
    said = "".join(traceback.format_exception(error))
    while error is not None:
        said += f"{error!s} {error!r} {error.args!r} {vars(error)!r}"
        error = error.__context__
    assert len(said) > 50
    for secret in secrets:
        assert secret not in said


class TestSealedFile:
    @pytest.fixture
    def path(self, tmp_path: Path, cheap: None) -> Path:
        path = tmp_path / "folder" / "office.keys"
        SealedFile.make(path, PASSPHRASE, OFFICE).create(2)
        return path

    def test_it_is_private_names_its_format_and_makes_guessing_dear(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # What is drawn outside of the tests, which guess nothing and need not wait.
        for name, value in DEAR.items():
            monkeypatch.setattr(key_file, name, value)
        path = tmp_path / "office.keys"
        keys = SealedFile.make(path, PASSPHRASE, OFFICE)
        assert list(keys.epochs()) == [1]
        assert path.stat().st_mode & 0o777 == 0o600
        held = json.loads(path.read_text())
        assert (held["format"], held["version"], held["office"]) == ("pulang-key-file", 1, OFFICE)
        # RFC 9106, the second recommended option: 3 passes, 4 lanes, 64 MiB, salt of 128 bits.
        derivation = held["derivation"]
        assert derivation.pop("salt") != json.loads(path.read_text())["seal"]
        assert derivation == {
            "name": "argon2id", "version": 19, "passes": 3, "memory_kib": 65536, "lanes": 4,
        }  # fmt: skip

    def test_a_file_that_is_there_is_never_written_over(self, path: Path) -> None:
        before = path.read_bytes()
        wrapped = SealedFile(path, PASSPHRASE, OFFICE).wrap(2, TEXT, ABOUT)
        assert SealedFile.make(path, PASSPHRASE, OFFICE).unwrap(2, wrapped, ABOUT) == TEXT
        for passphrase, office in ((WRONG_PASSPHRASE, OFFICE), (PASSPHRASE, "35")):
            with pytest.raises(KeyFileUnusable):
                SealedFile.make(path, passphrase, office)
        assert path.read_bytes() == before
        path.write_bytes(b"")
        with pytest.raises(KeyFileUnusable):
            SealedFile.make(path, PASSPHRASE, OFFICE)
        assert path.read_bytes() == b""

    def test_each_refusal_says_what_to_do(self, path: Path) -> None:
        cases = {
            "missing: restore": (path.with_name("none"), PASSPHRASE, OFFICE),
            "give the passphrase": (path, WRONG_PASSPHRASE, OFFICE),
            "office 35: point PULANG_KEY_FILE": (path, PASSPHRASE, "35"),
            "give this process's user access": (path.parent, PASSPHRASE, OFFICE),
            "at least 20": (path, PASSPHRASE[:19], OFFICE),
        }
        for remedy, (where, passphrase, office) in cases.items():
            with pytest.raises(KeyFileUnusable, match=remedy) as refused:
                SealedFile(where, passphrase, office).epochs()
            tells_nothing(refused.value, passphrase, PASSPHRASE)

    def test_a_passphrase_that_is_no_text_is_not_shown_either(self, path: Path) -> None:
        # What the environment holds in another encoding comes as lone surrogates.
        odd = PASSPHRASE + "\udcff"
        with pytest.raises(KeyFileUnusable) as refused:
            SealedFile(path, odd, OFFICE).epochs()
        tells_nothing(refused.value, PASSPHRASE)

    def test_a_file_that_goes_away_or_breaks_is_said_and_comes_back(self, path: Path) -> None:
        keys = SealedFile(path, PASSPHRASE, OFFICE)
        wrapped = keys.wrap(1, TEXT, ABOUT)
        whole = path.read_bytes()
        path.unlink()
        uses: tuple[Callable[[], object], ...] = (
            keys.epochs,
            lambda: keys.create(3),
            lambda: keys.destroy(1),
            lambda: keys.unwrap(1, wrapped, ABOUT),
        )
        for use in uses:
            with pytest.raises(KeyFileUnusable, match="missing"):
                use()
        assert not path.exists()
        path.write_bytes(whole[:-20])
        with pytest.raises(KeyFileUnusable, match="damaged"):
            keys.create(3)
        path.write_bytes(whole)
        assert keys.unwrap(1, wrapped, ABOUT) == TEXT

    def test_a_folder_that_may_not_be_written_leaves_the_file_as_it_was(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = SealedFile(path, PASSPHRASE, OFFICE)
        before = path.read_bytes()

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        # Root may write everywhere, so the disk says no instead.
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(KeyFileUnusable, match="can't be written"):
            keys.create(3)
        with pytest.raises(KeyFileUnusable, match="can't be written"):
            keys.destroy(1)
        assert path.read_bytes() == before
        monkeypatch.undo()
        keys.create(3)
        assert list(keys.epochs()) == [1, 2, 3]
        assert [p.name for p in path.parent.iterdir()] == [path.name]

    def test_what_a_crash_left_beside_the_file_is_used_up_and_made_private(
        self, path: Path
    ) -> None:
        left = path.with_name(path.name + ".new")
        left.write_text("x" * 100_000)
        left.chmod(0o666)
        keys = SealedFile(path, PASSPHRASE, OFFICE)
        keys.create(3)
        assert list(keys.epochs()) == [1, 2, 3]
        assert path.stat().st_mode & 0o777 == 0o600
        assert not left.exists()

    def test_destroying_overwrites_the_bytes_of_the_old_file(self, path: Path) -> None:
        before = path.read_bytes()
        # A second name keeps the old bytes in sight.
        seen = path.with_name("seen")
        seen.hardlink_to(path)
        gone = json.loads(before)["epochs"]["1"].encode()
        assert gone in seen.read_bytes()
        SealedFile(path, PASSPHRASE, OFFICE).destroy(1)
        after = seen.read_bytes()
        assert len(after) == len(before)
        assert gone not in after
        assert sum(a == b for a, b in zip(after, before, strict=True)) < len(before) / 8
        assert gone not in path.read_bytes()

    def test_two_changes_within_one_tick_of_the_clock_are_both_seen(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The clock stands still and the disk gives the same place: nothing tells them apart.
        monkeypatch.setattr(key_file, "_seen", lambda status: (0,))
        monkeypatch.setattr(key_file, "CLOCK_TICK_SECONDS", 3_600)
        keys = SealedFile(path, PASSPHRASE, OFFICE)
        assert list(keys.epochs()) == [1, 2]
        SealedFile(path, PASSPHRASE, OFFICE).destroy(1)
        assert list(keys.epochs()) == [2]

    def test_a_folder_that_another_process_holds_for_too_long_is_said(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(key_file, "LOCK_WAIT_SECONDS", 0.1)
        keys = SealedFile(path, PASSPHRASE, OFFICE)
        with (
            key_file._only_one(path, fcntl.LOCK_EX),
            pytest.raises(KeyFileUnusable, match="another process"),
        ):
            keys.create(3)
        keys.create(3)
        assert list(keys.epochs()) == [1, 2, 3]

    def test_no_line_can_be_lost_added_or_swapped_unseen(self, path: Path) -> None:
        whole = json.loads(path.read_text())
        one, two = whole["epochs"]["1"], whole["epochs"]["2"]
        damages: tuple[dict[str, Any], ...] = (
            {"epochs": {}},
            {"epochs": {"1": one}},
            {"epochs": {"1": two, "2": one}},
            {"epochs": {"1": one, "2": two, "3": two}},
            {"epochs": {"1": one, "3": two}},
            {"epochs": {"0": one, "2": two}},
            {"seal": ""},
            {"seal": one},
            {"office": "35"},
            {"version": 2},
            {"format": "pulang-other"},
            {"more": 1},
            {"derivation": {**whole["derivation"], "memory_kib": 2**31}},
            {"derivation": {**whole["derivation"], "passes": 2**40}},
            {"derivation": {**whole["derivation"], "passes": 2}},
            {"derivation": {**whole["derivation"], "lanes": 8, "memory_kib": 8}},
            {"derivation": {**whole["derivation"], "salt": "AA=="}},
            {"derivation": {**whole["derivation"], "salt": "*"}},
            {"derivation": {**whole["derivation"], "name": "argon2d"}},
        )
        for damage in damages:
            path.write_text(json.dumps({**whole, **damage}))
            with pytest.raises(KeyFileUnusable):
                SealedFile(path, PASSPHRASE, OFFICE).epochs()
        # What is only written otherwise, as an editor does it, stays usable.
        path.write_text(json.dumps(whole) + "\n\n")
        assert list(SealedFile(path, PASSPHRASE, OFFICE).epochs()) == [1, 2]

    @given(raw=st.binary(max_size=400))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    def test_any_bytes_at_all_are_a_damaged_file(self, path: Path, raw: bytes) -> None:
        path.write_bytes(raw)
        with pytest.raises(KeyFileUnusable):
            SealedFile(path, PASSPHRASE, OFFICE).epochs()

    @given(data=st.data())
    @settings(
        suppress_health_check=[HealthCheck.function_scoped_fixture],
        deadline=None,
        max_examples=300,
    )
    def test_a_change_anywhere_is_a_damaged_file_or_changes_nothing(
        self, path: Path, data: st.DataObject
    ) -> None:
        saved = path.with_name("whole")
        if not saved.exists():
            saved.write_bytes(path.read_bytes())
            keys = SealedFile(path, PASSPHRASE, OFFICE)
            path.with_name("wrapped").write_bytes(keys.wrap(1, TEXT, ABOUT))
        whole = saved.read_bytes()
        start = data.draw(st.integers(0, len(whole)))
        end = data.draw(st.integers(start, min(len(whole), start + 40)))
        path.write_bytes(whole[:start] + data.draw(st.binary(max_size=40)) + whole[end:])
        keys = SealedFile(path, PASSPHRASE, OFFICE)
        try:
            epochs = list(keys.epochs())
        except KeyFileUnusable as error:
            tells_nothing(error, PASSPHRASE)
        else:
            # Such as a space between two fields: nothing of the content is another.
            assert epochs == [1, 2]
            assert keys.unwrap(1, path.with_name("wrapped").read_bytes(), ABOUT) == TEXT

    def test_a_bottomless_or_endless_file_is_only_damaged(self, path: Path) -> None:
        for raw in (
            b"[" * 500_000,
            b'{"epochs":' * 50_000,
            b" " * (2 * key_file.FILE_BYTES_AT_MOST),
        ):
            path.write_bytes(raw)
            with pytest.raises(KeyFileUnusable, match="damaged"):
                SealedFile(path, PASSPHRASE, OFFICE).epochs()


def draw(keys: HardwareKeys, label: str, template: dict[Any, Any]) -> None:
    """A key in the token that did not come about by `create`."""
    from pkcs11 import KeyType

    keys._asked(
        lambda s: s.generate_key(KeyType.AES, 256, label=label, store=True, template=template)
    )


class TestHardware:
    @pytest.fixture
    def keys(self, module: Path) -> HardwareKeys:
        keys = HardwareKeys(module, TOKEN, PIN, OFFICE)
        keys.create(1)
        return keys

    def test_a_key_is_drawn_in_the_token_and_can_not_leave_it(self, keys: HardwareKeys) -> None:
        import pkcs11
        from pkcs11 import Attribute

        (key,) = keys._asked(lambda session: hardware_keys._found(session))
        assert key.label == f"pulang/{OFFICE}/1"
        assert key.key_length == 256
        for kept in (
            Attribute.SENSITIVE,
            Attribute.ALWAYS_SENSITIVE,
            Attribute.NEVER_EXTRACTABLE,
            Attribute.LOCAL,
            Attribute.PRIVATE,
        ):
            assert key[kept] is True
        assert not key[Attribute.EXTRACTABLE]
        assert not key[Attribute.WRAP]
        with pytest.raises(pkcs11.AttributeSensitive):
            key[Attribute.VALUE]

    def test_a_key_of_our_label_that_could_leave_the_token_is_not_used(
        self, keys: HardwareKeys
    ) -> None:
        import pkcs11

        draw(
            keys,
            f"pulang/{OFFICE}/2",
            {pkcs11.Attribute.EXTRACTABLE: True, pkcs11.Attribute.SENSITIVE: False},
        )
        assert keys.epochs() == [1]
        with pytest.raises(Unopened):
            keys.wrap(2, TEXT, ABOUT)

    def test_a_key_of_another_program_in_the_same_token_is_no_epoch(
        self, keys: HardwareKeys
    ) -> None:

        for label in ("7", f"pulang/{OFFICE}/x", f"pulang/{OFFICE}/007", f"lain/pulang/{OFFICE}/7"):
            draw(keys, label, hardware_keys._never_leaves())
        assert keys.epochs() == [1]

    def test_a_token_that_comes_late_is_found_and_others_find_their_way_back(
        self, keys: HardwareKeys, module: Path
    ) -> None:
        wrapped = keys.wrap(1, TEXT, ABOUT)
        late = HardwareKeys(module, "terlambat", PIN, "53")
        with pytest.raises(HardwareUnusable, match="NoSuchToken"):
            late.epochs()
        new_token("terlambat")
        late.create(1)
        # The module was started anew for it, and gave it the number of the other one's session.
        assert keys.unwrap(1, wrapped, ABOUT) == TEXT
        assert (keys.epochs(), late.epochs()) == ([1], [1])

    def test_a_lost_session_is_opened_anew(self, keys: HardwareKeys, module: Path) -> None:
        import pkcs11

        library = pkcs11.lib(str(module.resolve()))
        wrapped = keys.wrap(1, TEXT, ABOUT)
        uses: tuple[Callable[[], object], ...] = (
            lambda: keys.unwrap(1, wrapped, ABOUT),
            lambda: keys.wrap(1, TEXT, ABOUT),
            keys.epochs,
            lambda: keys.create(2),
            lambda: keys.destroy(1),
        )
        for use in uses:
            library.reinitialize()
            use()
        assert keys.epochs() == [2]

    def test_a_lost_login_is_never_taken_for_a_lost_key(self, module: Path) -> None:
        for use in ("epochs", "unwrap", "create", "destroy"):
            first = HardwareKeys(module, TOKEN, PIN, OFFICE)
            second = HardwareKeys(module, TOKEN, PIN, OFFICE)
            first.create(1)
            wrapped = second.wrap(1, TEXT, ABOUT)
            # The one that logged in logs out, and with it the whole process.
            first._leave()
            if use == "epochs":
                assert second.epochs() == [1]
            elif use == "unwrap":
                assert second.unwrap(1, wrapped, ABOUT) == TEXT
            elif use == "create":
                second.create(1)
                assert second.unwrap(1, wrapped, ABOUT) == TEXT
            else:
                second.destroy(1)
                assert second.epochs() == []
            second._leave()

    def test_a_broken_token_is_never_taken_for_a_changed_text(
        self, keys: HardwareKeys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import pkcs11

        wrapped = keys.wrap(1, TEXT, ABOUT)

        def broken(*_: object) -> bytes:
            raise pkcs11.GeneralError

        monkeypatch.setattr(hardware_keys, "_encrypt", broken)
        assert keys.unwrap(1, wrapped, ABOUT) == TEXT
        with pytest.raises(HardwareUnusable, match="GeneralError"):
            keys.unwrap(1, wrapped, b"")

    def test_two_keys_drawn_at_once_both_open_and_are_destroyed_together(
        self, keys: HardwareKeys
    ) -> None:

        first = keys.wrap(1, TEXT, ABOUT)
        draw(keys, f"pulang/{OFFICE}/1", hardware_keys._never_leaves())
        both = keys._asked(lambda s: [
            bytes(12) + hardware_keys._encrypt(key, bytes(12), TEXT, ABOUT)
            for key in hardware_keys._found(s, f"pulang/{OFFICE}/1")
        ])  # fmt: skip
        assert len(set(both)) == 2
        for wrapped in (first, *both):
            assert keys.unwrap(1, wrapped, ABOUT) == TEXT
        assert keys.epochs() == [1]
        keys.destroy(1)
        assert keys.epochs() == []

    def test_a_refused_pin_is_not_tried_again_lest_the_token_locks(self, module: Path) -> None:
        keys = HardwareKeys(module, TOKEN, WRONG_PIN, OFFICE)
        with pytest.raises(HardwareUnusable, match="PinIncorrect") as refused:
            keys.epochs()
        tells_nothing(refused.value, WRONG_PIN, PIN)
        keys._pin = PIN
        with pytest.raises(HardwareUnusable, match="not asked again"):
            keys.epochs()
        assert HardwareKeys(module, TOKEN, PIN, OFFICE).epochs() == []

    def test_each_refusal_says_what_to_do(self, module: Path, tmp_path: Path) -> None:
        text = tmp_path / "text.so"
        text.write_text("no module")
        cases = {
            "see that it is plugged in": (module, "lain", PIN),
            "see that the module's file is there": (tmp_path / "none.so", TOKEN, PIN),
            "its device or service answers": (text, TOKEN, PIN),
            "set the PIN alone": (module, TOKEN, PIN + "\n"),
            "is empty": (module, TOKEN, ""),
            "can't be typed": (module, TOKEN, PIN + "\udcff"),
        }
        for remedy, (where, token, pin) in cases.items():
            with pytest.raises(HardwareUnusable, match=remedy) as refused:
                HardwareKeys(where, token, pin, OFFICE).epochs()
            tells_nothing(refused.value, PIN)

    def test_the_software_runs_without_the_library(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said = subprocess.run(
            [sys.executable, "-c", "import sys, shared.runtime.hardware_keys\n"
             "print('pkcs11' in sys.modules)"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert said.stdout == "False\n"
        monkeypatch.setitem(sys.modules, "pkcs11", None)
        with pytest.raises(HardwareUnusable, match="python-pkcs11 is not installed"):
            HardwareKeys(tmp_path / "none.so", TOKEN, PIN, OFFICE).epochs()
