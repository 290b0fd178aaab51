"""The blind index: finds a person by her exact identity without anybody being able to read it.

A line is an HMAC under the index key of an epoch. Beside it the looked-up text is kept sealed under
her own key, so that a new epoch can compute the line anew, and an erasure ends it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import date

from shared.contracts.values import Identity
from shared.kernel.store import IndexLine, PersonKey
from shared.kernel.vault import Vault

NIK = "nik"
NAME_AND_BIRTH = "name_born"


def name_and_birth(name: str, born: date) -> str:
    """Upper and lower case, accents' composition and blanks don't matter; all else does."""
    plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
    return f"{plain}|{born.isoformat()}"


def looked_up_by(identity: Identity) -> Iterator[tuple[str, str]]:
    """The kinds and texts that this identity can be looked up by."""
    if identity.nik is not None:
        yield NIK, identity.nik
    if identity.name is not None and identity.born is not None:
        yield NAME_AND_BIRTH, name_and_birth(identity.name, identity.born)


async def seal(
    vault: Vault, items: Sequence[tuple[str, str | Identity]], *, but_erased: bool = False
) -> tuple[list[str | None], dict[str, PersonKey], dict[str, list[IndexLine]]]:
    """Seals texts and identities in one go; identities get their lines of the index.

    As `Vault.seal`: texts in order; new keys and lines by subject, to be committed with them.
    """
    texts: list[tuple[str, str]] = []
    lines: list[tuple[str, str, str]] = []
    for person, item in items:
        if isinstance(item, Identity):
            texts.append((person, item.model_dump_json()))
            lines += [(person, kind, text) for kind, text in looked_up_by(item)]
        else:
            texts.append((person, item))
    sealed, keys = await vault.seal(
        texts + [(person, text) for person, _, text in lines], but_erased=but_erased
    )
    index: dict[str, list[IndexLine]] = {}
    for (person, kind, text), kept in zip(lines, sealed[len(texts) :], strict=True):
        if kept is not None:
            epoch, digest = vault.keyring.digest(kind, text.encode())
            index.setdefault(person, []).append(IndexLine(person, kind, epoch, digest, kept))
    return sealed[: len(texts)], {key.subject: key for key in keys}, index
