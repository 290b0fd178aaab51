"""A hardware module (PKCS#11) as the holder of an office's wrapping keys: they never leave it.

The keys are AES-256, drawn in the token, sensitive and not extractable, each labelled
`pulang/<office>/<epoch>`. Wrapping is CKM_AES_GCM in the token, laid out as in the sealed file:
12 bytes of nonce, ciphertext, 16 bytes of tag.

It speaks through python-pkcs11 (MIT, typed, releases the interpreter's lock while the token works),
which is imported only here and only when used: without a token the software runs without it.
PyKCS11 is older and as alive, but GPL, which would bind whoever passes both on together.

What was measured and is answered here:

- python-pkcs11 promises the module that only one thread calls, so a lock of the whole process
  keeps that promise.
- A search in a session that lost its login finds nothing, without an error. So nobody hears that a
  key is gone before the token has shown that the login still holds.
- Where a login fails, the library leaves the session open; so the login is tried only when needed.
- SoftHSM says of a wrong tag the same as of a broken token (CKR_GENERAL_ERROR). So the key must
  prove itself before the text is blamed.
- SoftHSM that starts while another process logs in may read half a token, and sees none until it is
  started anew. So that is done before a token is said to be missing.
- PKCS#11 knows no unique label. Two processes that create one epoch at the same moment may draw two
  keys; either then opens what it wrapped, and both are destroyed together.

A login is the whole process's: while it holds, another object with another PIN gets in too. Use it
in the process that made it, not in a fork of that. Modules that insist on drawing the nonce
themselves (some do in FIPS mode) can't be used.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from shared.kernel.keys import KeysUnusable, Unopened

if TYPE_CHECKING:
    from pkcs11 import PKCS11Error, SecretKey, Session

KEY_BITS = 256
NONCE_BYTES = 12
TAG_BITS = 128

T = TypeVar("T")

PAUSES_SECONDS = (0.0, 0.1, 0.4)
"""Before each attempt: the first, one in a new session, one with the module started anew."""

_ONE_AT_A_TIME = threading.Lock()
_starts = 0
"""How often a module was started anew. Guarded by the lock."""


class HardwareUnusable(KeysUnusable):
    """The token can't be used as it is; the sentence says what to do."""


class HardwareKeys:
    """A KeyProvider on a token. Safe to use from many threads; a lost session is opened anew."""

    def __init__(self, module: Path, token: str, pin: str, office: str) -> None:
        """Asks the token nothing yet: ask for `epochs` to know whether it answers.

        Raises HardwareUnusable where the PIN can't be one, as every other method does where the
        token can't be used.
        """
        self._module, self._token, self._pin = module.resolve(), token, pin
        self._prefix = f"pulang/{office}/"
        self._session: Session | None = None
        self._start = 0
        self._refused = ""
        if not pin or not pin.isprintable():
            raise HardwareUnusable(
                f"the PIN of token {token} is empty or holds a sign that can't be typed, perhaps"
                " the end of a line: set the PIN alone"
            )

    def __repr__(self) -> str:
        return f"HardwareKeys({str(self._module)!r}, token={self._token!r}, {self._prefix!r})"

    def epochs(self) -> list[int]:
        def labels(session: Session) -> set[str]:
            return {key.label for key in _found(session)}

        ours = re.compile(re.escape(self._prefix) + r"([1-9][0-9]{0,8})")
        return sorted(int(m[1]) for m in map(ours.fullmatch, self._asked(labels)) if m)

    def create(self, epoch: int) -> None:
        if epoch < 1:
            raise ValueError("epochs count from 1")

        def draw(session: Session) -> None:
            from pkcs11 import KeyType, MechanismFlag

            if not _found(session, self._prefix + str(epoch)):
                session.generate_key(
                    KeyType.AES,
                    KEY_BITS,
                    label=self._prefix + str(epoch),
                    store=True,
                    capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
                    template=_never_leaves(),
                )

        self._asked(draw)

    def destroy(self, epoch: int) -> None:
        """Destroys it in the token. A backup that the token's owner made of it is not reached."""

        def away(session: Session) -> None:
            for key in _found(session, self._prefix + str(epoch)):
                key.destroy()

        self._asked(away)

    def wrap(self, epoch: int, plain: bytes, about: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._asked(
            lambda session: _encrypt(self._keys(session, epoch)[0], nonce, plain, about)
        )

    def unwrap(self, epoch: int, wrapped: bytes, about: bytes) -> bytes:
        nonce, text = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
        if len(text) < TAG_BITS // 8:
            raise Unopened("it is too short to have been wrapped")

        def opened(session: Session) -> bytes:
            for key in self._keys(session, epoch):
                plain = _decrypt(key, nonce, text, about)
                if plain is not None:
                    return plain
            raise Unopened("it was wrapped by another key, for another use, or changed")

        return self._asked(opened)

    def _keys(self, session: Session, epoch: int) -> list[SecretKey]:
        # Looked up each time: a handle that is kept might mean another key some day.
        keys = _found(session, self._prefix + str(epoch))
        if not keys:
            raise Unopened(f"the key of epoch {epoch} is gone")
        return keys

    def _asked(self, work: Callable[[Session], T]) -> T:
        """Does the work in the token, and again in a new session where the first was lost."""
        try:
            from pkcs11 import PKCS11Error
        except ImportError:
            raise HardwareUnusable(
                "the package python-pkcs11 is not installed: install it, or use a key file"
            ) from None
        for pause in PAUSES_SECONDS:
            time.sleep(pause)
            with _ONE_AT_A_TIME:
                try:
                    if self._session is None or self._start != _starts:
                        self._session = None
                        self._session, self._start = self._open(), _starts
                    # A dead session shows itself here; a search in one would leave traces on
                    # standard error, past the log.
                    self._session.generate_random(64)
                    return work(self._session)
                except PKCS11Error as error:
                    failed = self._unusable(error)
                    self._leave()
        # Raised out here, it carries along nothing of what the library held.
        raise failed

    def _open(self) -> Session:
        import pkcs11

        if self._refused:
            raise self._no_entry()
        token = pkcs11.lib(str(self._module)).get_token(token_label=self._token)
        session = token.open(rw=True)
        try:
            _prove_login(session)
        except pkcs11.PKCS11Error:
            session.close()
        else:
            return session
        try:
            return token.open(rw=True, user_pin=self._pin)
        except (
            pkcs11.PinIncorrect,
            pkcs11.PinInvalid,
            pkcs11.PinLenRange,
            pkcs11.PinLocked,
            pkcs11.PinExpired,
        ) as error:
            self._refused = type(error).__name__
        raise self._no_entry()

    def _no_entry(self) -> HardwareUnusable:
        return HardwareUnusable(
            f"token {self._token} refused the PIN ({self._refused}), and is not asked again, for it"
            " locks itself after a few wrong ones: set the right PIN, then restart; where the token"
            " is locked, have its owner unlock it first"
        )

    def _leave(self) -> None:
        """Closes the session; where there was none to be had, has the module start anew."""
        global _starts
        import pkcs11

        session, self._session = self._session, None
        with suppress(pkcs11.PKCS11Error):
            if session is not None:
                session.close()
            else:
                # All sessions of this process end with it, and their numbers are given out again:
                # by the count the others know that theirs is gone.
                _starts += 1
                pkcs11.lib(str(self._module)).reinitialize()

    def _unusable(self, error: PKCS11Error) -> HardwareUnusable:
        """The names of the library's errors say enough, and hold no secret."""
        kind = type(error).__name__
        if kind == "NoSuchToken":
            remedy = "see that it is plugged in and has that label"
        elif kind == "MultipleTokensReturned":
            remedy = "give only one token that label"
        else:
            remedy = "see that the module's file is there and its device or service answers"
        return HardwareUnusable(
            f"token {self._token} in {self._module} can't be used ({kind}): {remedy}"
        )


def _never_leaves() -> dict[Any, Any]:
    """What makes a key one of ours. One of our label that could leave the token is not used."""
    from pkcs11 import Attribute

    return {Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}


def _found(session: Session, label: str | None = None) -> list[SecretKey]:
    from pkcs11 import Attribute, KeyType, ObjectClass

    wanted: dict[Attribute, Any] = {
        Attribute.CLASS: ObjectClass.SECRET_KEY,
        Attribute.KEY_TYPE: KeyType.AES,
        Attribute.TOKEN: True,
        **_never_leaves(),
    }
    if label is not None:
        wanted[Attribute.LABEL] = label
    # Read to its end, for a search that stays open blocks the session.
    found: list[Any] = list(session.get_objects(wanted))
    if not found:
        _prove_login(session)
    return found


def _prove_login(session: Session) -> None:
    """Raises UserNotLoggedIn: only who is logged in may make a private key, be it for a moment."""
    from pkcs11 import KeyType

    session.generate_key(KeyType.AES, KEY_BITS, store=False, template=_never_leaves()).destroy()


def _gcm(nonce: bytes, about: bytes) -> dict[str, Any]:
    from pkcs11 import GCMParams, Mechanism

    return {
        "mechanism": Mechanism.AES_GCM,
        "mechanism_param": GCMParams(nonce, about, TAG_BITS),
    }


def _encrypt(key: Any, nonce: bytes, plain: bytes, about: bytes) -> bytes:
    text: bytes = key.encrypt(plain, **_gcm(nonce, about))
    return text


def _decrypt(key: Any, nonce: bytes, text: bytes, about: bytes) -> bytes | None:
    """None where the text is not this key's. Raises PKCS11Error where the token is at fault."""
    from pkcs11 import PKCS11Error

    try:
        plain: bytes = key.decrypt(text, **_gcm(nonce, about))
    except PKCS11Error:
        # The proof is under a nonce of its own: one that repeats would give the key away.
        proof = os.urandom(NONCE_BYTES)
        key.decrypt(_encrypt(key, proof, b"", b""), **_gcm(proof, b""))
        return None
    return plain
