"""Passwords: what one must be, and how it is kept (argon2id).

After NIST SP 800-63B-4: 15 to 128 characters, counted after NFKC; any character will do, and none
is demanded; what guessing programs try first is refused, and so is what is made of the office's
and the account's own names. The list is zxcvbn's (30,000 leaked passwords and common words), used
through its estimate: a leaked list alone has next to nothing of 15 characters, and would let
`passwordpassword` pass.

Hashing takes about 100 ms and 64 MiB. It is done on two threads of its own, so that neither the
server nor its memory stands still for who tries many.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

MIN_CHARACTERS = 15
MAX_CHARACTERS = 128
MIN_GUESSES = 10**10
"""Below it a password falls to somebody who stole the hashes; zxcvbn's own highest grade."""
MIN_OWN_CHARACTERS = 8
"""Letters that must be left when names that anybody would try are taken away."""
_ESTIMATED_CHARACTERS = 72
_LONGEST_READ = 1024
_TRIED_FIRST = (
    "pulang", "katasandi", "rahasia", "dinas", "sosial", "dinsos", "indonesia", "bismillah",
    "alhamdulillah", "sayang", "selamat", "merdeka", "garuda", "pancasila", "admin", "password",
)  # fmt: skip

_HASHER = PasswordHasher()
_THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="argon2")
T = TypeVar("T")


class WeakPassword(ValueError):
    """The password can't be taken; the text says why, in Indonesian."""


def check(password: str, words: Sequence[str] = ()) -> None:
    """Raises WeakPassword. `words` are names that anybody would try: account, office, code."""
    password = _normal(password)
    if len(password) < MIN_CHARACTERS:
        raise WeakPassword(
            f"Kata sandi paling sedikit {MIN_CHARACTERS} karakter; beberapa kata yang tidak"
            " berkaitan mudah diingat."
        )
    if len(password) > MAX_CHARACTERS:
        raise WeakPassword(f"Kata sandi paling banyak {MAX_CHARACTERS} karakter.")
    names = _names(words)
    left = password.casefold()
    for name in names:
        left = left.replace(name, "")
    if len(re.sub(r"[\W\d_]", "", left)) < MIN_OWN_CHARACTERS and left != password.casefold():
        raise WeakPassword(
            "Kata sandi ini tersusun dari nama akun, kantor, atau kata yang lazim; pilih yang lain."
        )
    found = zxcvbn(password[:_ESTIMATED_CHARACTERS], user_inputs=list(names))
    if found["guesses"] < MIN_GUESSES:
        raise WeakPassword("Kata sandi ini mudah ditebak atau sudah dikenal; pilih yang lain.")


async def hashed(password: str) -> str:
    return await _in_thread(lambda: _HASHER.hash(_normal(password)))


async def fits(stored: str | None, password: str) -> bool:
    """Whether this is the password. Takes as long where there is none to compare with."""

    def verify() -> bool:
        try:
            return _HASHER.verify(stored or _hash_of_nobody(_HASHER), _normal(password))
        except (VerificationError, InvalidHashError):
            return False

    return await _in_thread(verify) and stored is not None


def outdated(stored: str) -> bool:
    """Whether it was hashed with other parameters than today's."""
    return _HASHER.check_needs_rehash(stored)


def _normal(password: str) -> str:
    # What is longer can be nobody's password, and normalising it would cost its sender nothing.
    readable = password[:_LONGEST_READ].encode(errors="replace").decode()
    return unicodedata.normalize("NFKC", readable)


def _names(words: Sequence[str]) -> list[str]:
    """The words and their parts, longest first, so that a part does not hide the whole."""
    parts = {
        part
        for word in words
        for part in (word.casefold(), *re.split(r"[\W_]+", word.casefold()))
        if len(part) >= 3
    }
    return sorted(parts | set(_TRIED_FIRST), key=lambda part: (-len(part), part))


@cache
def _hash_of_nobody(hasher: PasswordHasher) -> str:
    return hasher.hash(secrets.token_hex(16))


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work)
