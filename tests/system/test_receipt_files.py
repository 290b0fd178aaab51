"""Scanned receipts as the treasurer sends them, and what becomes of them: read, audited, erased."""

from __future__ import annotations

import asyncio
import json
import tempfile
from typing import Any

import httpx
import psycopg
import pytest

from shared.kernel.store import Commit
from tests.servers import Servers
from tests.system import story
from tests.system.offices import Desk, eventually
from tests.system.test_command import environment, pulang

PDF = b"%PDF-1.7\nTiket kapal atas nama Contoh\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n" + b"tiket" * 20
JPEG = b"\xff\xd8\xff\xe0" + b"tiket" * 20
MIB = 1024 * 1024
RECEIPT = "KW/2019/10/001"


async def travelled(city: Desk, number: int = 1) -> list[str]:
    """People with an advance and a receipt each."""
    await story.open_operation(city)
    persons = await story.register(city, *(story.intake_row() for _ in range(number)))
    await paid(city, persons)
    return persons


async def paid(city: Desk, persons: list[str]) -> None:
    rows: list[dict[str, Any]] = [
        {"person": one, "release": "SP2D/1", "budget_code": "5.2.2", "amount_rupiah": 2_000_000}
        for one in persons
    ]
    await city.post("treasurer", "/operations/OP-TEST/advances", {"rows": rows})
    for person in persons:
        fare = {"receipt": RECEIPT, "amount_rupiah": 1_750_000}
        await city.post("treasurer", f"/beneficiaries/{person}/fares", fare)


async def attach(
    city: Desk,
    person: str,
    content: bytes,
    *,
    receipt: str = RECEIPT,
    role: str = "treasurer",
    key: str = "lampiran-0001",
    **more: str,
) -> httpx.Response:
    return await city.http.post(
        f"/api/v1/beneficiaries/{person}/receipt-files",
        headers={"Authorization": f"Bearer {city.tokens[role]}", "Idempotency-Key": key},
        data={"receipt": receipt} | more,
        files={"file": ("Siti Contoh.exe", content, "text/html")},
    )


async def look(
    city: Desk, person: str, role: str = "treasurer", receipt: str = RECEIPT
) -> httpx.Response:
    return await city.http.get(
        f"/api/v1/beneficiaries/{person}/receipt-file",
        params={"receipt": receipt, "purpose": "receipt"},
        headers={"Authorization": f"Bearer {city.tokens[role]}"},
    )


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def rows(city: Desk, query: str) -> list[Any]:
    async with city.office.pool.connection() as connection:
        return await (await connection.execute(query.encode())).fetchall()


@pytest.mark.parametrize(
    ("content", "kind", "ending"),
    [(PDF, "application/pdf", "pdf"), (JPEG, "image/jpeg", "jpg"), (PNG, "image/png", "png")],
)
async def test_a_receipt_s_file_is_sealed_and_comes_back_as_it_was(
    city: Desk, content: bytes, kind: str, ending: str
) -> None:
    (person,) = await travelled(city)
    answer = await attach(city, person, content)
    assert answer.status_code == 201, answer.text
    assert answer.json()["receipt"] == RECEIPT
    ((digest, whose, sealed),) = await rows(city, "select sha256, person, sealed from attachments")
    assert whose == person
    assert content[8:] not in bytes(sealed)
    (body,) = [
        json.loads(bytes(row[0]))["data"]
        for row in await rows(city, "select body from events where type like '%receipt-attached%'")
    ]
    assert body == {
        "person": person, "sha256": digest, "operation": "OP-TEST", "receipt": RECEIPT,
        "media_type": kind, "size_bytes": len(content), "reason": None,
    }  # fmt: skip
    found = await look(city, person)
    assert (found.status_code, found.content) == (200, content)
    headers = found.headers
    assert headers["content-type"] == kind
    assert headers["content-disposition"] == f'attachment; filename="lampiran.{ending}"'
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    stored = repr(await rows(city, "select body, response from events, requests"))
    assert "Siti" not in stored, "a file's name is kept nowhere"


async def test_the_same_file_again_changes_nothing_and_another_one_needs_a_reason(
    city: Desk,
) -> None:
    (person,) = await travelled(city)
    assert (await attach(city, person, PDF)).status_code == 201
    size = await city.size()
    # The same request again, though a program wraps it in other words each time.
    again = await attach(city, person, PDF)
    assert (again.status_code, again.json()["repeated"]) == (200, True)
    assert code(await attach(city, person, PNG)) == (422, "IDEMPOTENCY_KEY_REUSED")
    # The same paper as a request of its own.
    other = await attach(city, person, PDF, key="lampiran-0002")
    assert (other.status_code, other.json()["recorded"]) == (201, 0)
    assert await city.size() == size
    assert code(await attach(city, person, PNG, key="lampiran-0003")) == (409, "RECEIPT_HAS_FILE")
    assert await rows(city, "select count(*) from attachments") == [(1,)], "nothing half done"
    why = {"reason": "Salah pindai"}
    right = await attach(city, person, PNG, key="lampiran-0004", **why)
    assert right.json()["recorded"] == 1
    assert (await look(city, person)).content == PNG
    assert await rows(city, "select count(*) from attachments") == [(2,)], "the wrong one stays"
    back = await attach(city, person, PDF, key="lampiran-0005", reason="Yang pertama benar")
    assert back.json()["recorded"] == 1
    assert (await look(city, person)).content == PDF


async def test_the_same_file_sent_twice_at_once_is_attached_once(city: Desk) -> None:
    (person,) = await travelled(city)
    size = await city.size()
    sent = (attach(city, person, PDF, key=f"sekaligus-{n % 3:04}") for n in range(9))
    answers = await asyncio.gather(*sent)
    assert {one.status_code for one in answers} <= {200, 201}
    assert await city.size() == size + 1
    assert await rows(city, "select count(*) from attachments") == [(1,)]
    assert (await look(city, person)).content == PDF


async def test_a_file_is_what_its_content_says_and_no_longer_than_it_may_be(
    city: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (person,) = await travelled(city)
    before = await city.size()

    def on_disk(_: Any) -> None:
        raise AssertionError("what was sent would lie on a disk in clear")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", on_disk)
    for content in (b"<html>%PDF-1.7", b"MZ\x90\x00", b"GIF89a", b"", PDF + b"x" * 2 * MIB):
        answer = await attach(city, person, content)
        assert code(answer) == (422, "INVALID_INPUT"), content[:20]
        assert [one["where"] for one in answer.json()["errors"]] == ["file"]
    assert "2 MiB" in answer.text
    whole = await attach(city, person, PDF + b"x" * 5 * MIB)
    assert code(whole) == (413, "BODY_TOO_LONG")
    without = await city.send(
        "treasurer", f"/beneficiaries/{person}/receipt-files", {"receipt": RECEIPT}
    )
    assert code(without) == (422, "INVALID_INPUT")
    assert await city.size() == before
    assert await rows(city, "select count(*) from attachments") == [(0,)]
    largest = PDF + b"x" * (2 * MIB - len(PDF))
    assert (await attach(city, person, largest)).status_code == 201
    assert (await look(city, person)).content == largest


async def test_who_may_not_and_what_is_not_there_is_refused(city: Desk) -> None:
    person, other = await travelled(city, 2)
    for role in ("intake", "issuer", "approver", "auditor"):
        assert code(await attach(city, person, PDF, role=role)) == (403, "ROLE_MISSING"), role
    assert code(await attach(city, person, PDF, receipt="KW/9")) == (409, "RECEIPT_UNKNOWN")
    assert code(await attach(city, person, PDF, receipt="../etc", key="jalur-0001")) == (
        422, "INVALID_INPUT",
    )  # fmt: skip
    assert code(await attach(city, "PM-0000000000", PDF)) == (409, "BENEFICIARY_UNKNOWN")
    assert await rows(city, "select count(*) from attachments") == [(0,)]
    assert (await attach(city, person, PDF)).status_code == 201
    for role in ("intake", "issuer", "auditor", "admin", "operator"):
        assert code(await look(city, person, role)) == (403, "ROLE_MISSING"), role
    assert (await look(city, person, "approver")).content == PDF
    assert code(await look(city, other)) == (404, "NOT_FOUND")
    assert code(await look(city, person, receipt="KW/9")) == (404, "NOT_FOUND")
    path = f"/api/v1/beneficiaries/{person}/receipt-file?receipt={RECEIPT}"
    token = {"Authorization": f"Bearer {city.tokens['treasurer']}"}
    assert code(await city.http.get(path, headers=token)) == (422, "INVALID_INPUT"), "no purpose"
    # On the protection path a treasurer opens nothing of her; nor does an approver.
    await city.post("intake", f"/beneficiaries/{person}/protection-path")
    assert code(await look(city, person)) == (403, "PROTECTED")


async def test_another_persons_sealed_file_opens_for_nobody(city: Desk, servers: Servers) -> None:
    """Who owns the database gives her another's file: it is bound to whose it is."""
    person, other = await travelled(city, 2)
    assert (await attach(city, person, PDF)).status_code == 201
    assert (await attach(city, other, PNG, key="lampiran-0002")).status_code == 201
    with psycopg.connect(servers.owner(city.office.settings.database_url)) as owner:
        owner.execute(
            "update attachments a set sealed = b.sealed from attachments b where a.person = %s"
            " and b.person = %s",
            (person, other),
        )
    assert code(await look(city, person)) == (503, "KEYS_UNUSABLE")
    assert (await look(city, other)).content == PNG


async def test_a_look_at_a_file_is_on_record_and_in_her_history(city: Desk) -> None:
    (person,) = await travelled(city)
    await attach(city, person, PDF)
    size = await city.size()
    assert (await look(city, person, "approver")).status_code == 200
    assert await city.size() == size + 1

    async def recorded() -> Any:
        return await city.get("auditor", f"/looks?subject={person}")

    (seen,) = await eventually(recorded)
    assert (seen["staff"], seen["purpose"]) == ("approver", "receipt")
    assert seen["fields"] == ["receipt_file"]
    told = [line["words"] for line in await city.get("auditor", f"/history/{person}")]
    assert f"Berkas kuitansi {RECEIPT} untuk {person} dilampirkan." in told
    assert "approver membuka data pribadi (pemeriksaan kuitansi)." in told


async def test_an_erased_persons_files_are_gone_and_the_audit_agrees(city: Desk) -> None:
    person, other = await travelled(city, 2)
    await attach(city, person, PDF)
    await attach(city, person, PNG, key="lampiran-0002", reason="Salah pindai")
    await attach(city, other, JPEG, key="lampiran-0003")
    sealed = {row[0] for row in await rows(city, "select sealed from attachments")}
    proposal = {"basis": "consent_withdrawn", "reference": "SK/HAPUS/1"}
    await city.post("intake", f"/beneficiaries/{person}/erasure", proposal)
    await city.post("approver", f"/beneficiaries/{person}/erasure-approval")

    async def erased() -> Any:
        return await rows(city, "select person from attachments") == [(other,)]

    await eventually(erased)
    assert code(await look(city, person)) == (409, "FILE_ERASED")
    for one in sealed:
        # Also where somebody kept a copy.
        assert await city.office.vault.open_file(person, bytes(one)) is None
    assert code(await attach(city, person, PDF, key="lampiran-0004")) == (409, "PERSON_ERASED")
    assert (await look(city, other)).content == JPEG
    assert await faults(city) == []
    report = await city.get("auditor", "/operations/OP-TEST/advances")
    assert [one["receipts"] for one in report] == [1, 1], "that there was a receipt remains"


async def test_a_commit_on_its_way_puts_no_file_back_after_an_erasure(city: Desk) -> None:
    """Sealed before her key was destroyed, written after: then it is nobody's, and not kept."""
    (person,) = await travelled(city)
    office = city.office
    file = await office.vault.seal_file(person, PDF)
    async with office.pool.connection() as connection:
        await office.vault.destroy(connection, [person])
    await office.store.append(Commit(at=office.clock(), files=[file]))
    assert await rows(city, "select count(*) from attachments") == [(0,)]


async def faults(city: Desk) -> list[tuple[str, str]]:
    _, out, err = await pulang("audit", "verify", "--json", **environment(city))
    assert out, err
    return [(one["table"], one["words"]) for one in json.loads(out)["found"]]


async def test_the_audit_finds_a_file_that_is_missing_changed_or_put_in(
    city: Desk, servers: Servers
) -> None:
    person, other = await travelled(city, 2)
    await attach(city, person, PDF)
    await attach(city, other, PNG, key="lampiran-0002")
    assert await faults(city) == []
    with psycopg.connect(servers.owner(city.office.settings.database_url), autocommit=True) as db:
        db.execute("set session_replication_role = replica")
        db.execute("update attachments set sealed = sealed || 'x' where person = %s", (other,))
        db.execute("insert into attachments values ('f00', %s, 'x')", (other,))
        db.execute("delete from attachments where person = %s", (person,))
    assert sorted(await faults(city)) == [
        ("attachments", "no event names this file"),
        ("attachments", "the file is not the one that was attached"),
        ("attachments", "the file is not the one that was attached"),
        ("attachments", "the file that an event names is missing"),
    ]
    assert code(await look(city, person)) == (409, "FILE_LOST")
    # The same paper attached again is the very file that was lost.
    healed = await attach(city, person, PDF, key="lampiran-0003")
    assert (healed.status_code, healed.json()["recorded"]) == (201, 0)
    assert (await look(city, person)).content == PDF
    assert ("attachments", "the file that an event names is missing") not in await faults(city)
