"""The files that events name: each is there, and is what was attached, until she is erased."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from psycopg import AsyncConnection

from shared.runtime.audit.faults import Faults

Attached = Mapping[str, tuple[int, str]]
"""SHA-256 of a sealed file → the position of the first event that names it, and whose it is."""


async def check_files(
    connection: AsyncConnection[Any], attached: Attached, erased: Container[str], faults: Faults
) -> None:
    """Every row of `attachments` against the log; `erased` are those whose erasure has begun.

    Their files are gone, or go in a moment. Nothing is opened for it.
    """
    there: set[str] = set()
    async with connection.cursor("audit_of_attachments") as cursor:
        await cursor.execute(
            "select sha256, person, encode(sha256(sealed), 'hex') from attachments order by sha256"
        )
        async for digest, person, found in cursor:
            there.add(digest)
            named = attached.get(digest)
            place = f"file {digest[:16]}…" + (f", event {named[0]}" if named else "")
            if named is None:
                words = "no event names this file"
                faults.add("attachments", place, words, "no file", "a file")
            elif named[1] != person:
                words = "the file stands with another person than the one in its event"
                faults.add("attachments", place, words, named[1], person)
            if found != digest:
                words = "the file is not the one that was attached"
                faults.add("attachments", place, words, digest, found)
    for digest, (position, person) in attached.items():
        if digest not in there and person not in erased:
            words = "the file that an event names is missing"
            place = f"file {digest[:16]}…, event {position}"
            faults.add("attachments", place, words, "a file", "none")
