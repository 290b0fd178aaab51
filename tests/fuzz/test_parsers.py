"""No bytes from outside bring a parser to anything but its documented refusals, and soon.

Arbitrary bytes seldom get behind the first check, so good samples are cut, joined and edited too.
A few inputs that were once found to break one are kept by name. Where atheris is installed each
target is also looked at for a moment by its coverage-guided search, so that the runner itself
can't rot; `python -m tests.fuzz` looks for longer.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.fuzz.at_the_desk import AT_THE_DESK
from tests.fuzz.targets import FRAMES, TARGETS, Broken, Target

ROOT = Path(__file__).resolve().parent.parent.parent
EVERY = TARGETS | AT_THE_DESK
INPUT_SECONDS = 5.0
SEARCH_SECONDS = 1
LONG = 1 << 16

named = pytest.mark.parametrize("name", EVERY)
few = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)

KEPT: dict[str, Sequence[bytes]] = {
    "batch": [
        # A last number that no list can be made for.
        b'99999999999999999999\n[{"sequence":"1"}]',
        b'1\n[{"sequence":1e999}]',
        b'1\n[{"sequence":"1"},{"sequence":"2"}]',
        b'1\n [{"sequence":"1"}]',
        b"1\n" + b"[" * LONG,
    ],
    "receipt": [
        # 33 bytes, a point of low order, an epoch beyond the database's numbers.
        b'{"applied_through":1,"gap":false,"sealing":{"epoch":1,"key":"%s"}}' % (b"A" * 44),
        b'{"applied_through":1,"gap":false,"sealing":{"epoch":1,"key":"%s="}}' % (b"A" * 43),
        b'{"applied_through":1,"gap":false,"sealing":{"epoch":99999999999999999999,"key":"%s="}}'
        % (b"A" * 42 + b"I"),
        b'{"applied_through":true,"gap":false}',
    ],
    "import": [
        b'{"rows":[{"\\ud800":1}]}',
        b'{"rows":[{"initials":"\\ud800"}]}',
        b'{"\\ud800":1}',
        b'{"rows":[{"amount_rupiah":' + b"9" * 4_000 + b"}]}",
        b'{"rows":[{"amount_rupiah":NaN}]}',
        b"[" * LONG,
    ],
    "form-operation": [b'{"\\ud800":1}', b'{"name":"\\ud800"}', b'{"grant_rupiah":1e999}'],
    "csv": [b'"' * LONG, b"a," * LONG, b"a\n" + b"b\n" * LONG, b"\xef\xbb\xbf", b"a\n\x00"],
    "xlsx": [b"PK\x03\x04" * 100, b"PK\x01\x02" * LONG],
    "message": [b"[" * LONG, b'{"id":"a","type":"\\ud800","time":"0","data":{}}'],
    "sealed-part": [b'{"99999999999999999999":{}}', b"[" * LONG],
    "sealed-text": [b"s1.", b"s1.\xff", b"s1.AAAA", b"s1." + b"A" * LONG],
    "verifier-key": [b"pulang/53.71+\xff+\xff", b"pulang/53.71++", b"+" * LONG],
    "key-file": [b"{" * LONG, b"null"],
}


def tried(target: Target, data: bytes) -> None:
    started = time.perf_counter()
    target(data)
    if (took := time.perf_counter() - started) > INPUT_SECONDS:
        raise Broken(f"{took:.1f} seconds for {len(data)} bytes")


@st.composite
def edited(draw: st.DrawFn, samples: Sequence[bytes]) -> bytes:
    """A good sample after a few edits: a bit, a stretch gone, bytes put in, a stretch doubled."""
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        to = min(len(data), at + draw(st.integers(1, 12)))
        match draw(st.integers(0, 3)):
            case 0 if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del data[at:to]
            case 2:
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
            case _:
                data[at:at] = data[at:to]
    return bytes(data)


@named
def test_what_an_office_really_sends_is_taken(name: str) -> None:
    target = EVERY[name]
    for sample in target.samples:
        target.run(sample)


@named
def test_arbitrary_bytes_are_refused_and_nothing_worse(name: str) -> None:
    @few
    @given(st.binary(max_size=400))
    @example(b"")
    @example(b"\x00" * LONG)
    @example(b"\xff" * LONG)
    def check(data: bytes) -> None:
        tried(EVERY[name], data)

    check()


@named
def test_good_bytes_that_were_edited_are_taken_or_refused_and_nothing_worse(name: str) -> None:
    @few
    @given(edited(EVERY[name].samples))
    def check(data: bytes) -> None:
        tried(EVERY[name], data)

    check()


@pytest.mark.parametrize(
    ("name", "at"), [(name, at) for name, found in KEPT.items() for at in range(len(found))]
)
def test_inputs_that_are_feared_are_refused_and_nothing_worse(name: str, at: int) -> None:
    tried(EVERY[name], KEPT[name][at])


def test_a_signature_written_another_way_is_another_frame() -> None:
    """Base64 has spare bits: a frame that was seen must not pass as a new one by changing them."""
    frame = FRAMES[0]
    end = frame.index(b"==\r\n") - 1
    for spare in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/":
        tried(EVERY["frame-of-anybody"], frame[:end] + bytes([spare]) + frame[end + 1 :])


def test_a_target_that_breaks_its_promise_is_noticed() -> None:
    def careless(data: bytes) -> None:
        raise KeyError(data)

    with pytest.raises(Broken):
        tried(Target(careless, [b""], (ValueError,)), b"x")


@pytest.fixture(scope="module")
def searched() -> dict[str, str]:
    """How the guided search of each target ended, after a moment, and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "every", str(SEARCH_SECONDS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=280,
        check=False,
    )
    ends = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert set(EVERY) <= set(ends), done.stderr[-4_000:]
    assert done.stderr.count("stat::number_of_executed_units") == len(EVERY)
    return ends | {"printed": done.stdout + done.stderr}


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris is made for Linux only, and is not installed here",
)
@pytest.mark.timeout(300)
@named
def test_the_guided_search_runs_and_finds_nothing_in_a_moment(
    searched: dict[str, str], name: str
) -> None:
    if searched[name] != "0":
        failures = [
            line for line in searched["printed"].splitlines() if "Broken" in line or "ERROR" in line
        ]
        pytest.fail(f"ended with {searched[name]}: see var/fuzz/{name}-*\n" + "\n".join(failures))
