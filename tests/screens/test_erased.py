"""What the pages of somebody who was erased still offer: nothing, and they say why."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from tests.screens.browser import operation_shown, signed_in
from tests.system import story
from tests.system.offices import Desk, eventually

ERASED = "Datanya sudah dihapus"


async def erase(city: Desk, person: str) -> None:
    proposal = {"basis": "consent_withdrawn", "reference": "SRT/1"}
    await city.post("intake", f"/beneficiaries/{person}/erasure", proposal)
    await city.post("approver", f"/beneficiaries/{person}/erasure-approval")

    async def completed() -> Any:
        found = await city.get("auditor", "/erasures")
        return [one for one in found if one["person"] == person and one["state"] == "completed"]

    await eventually(completed)


def offered(page: str) -> bool:
    """Whether there is a form within the page's own content."""
    return 'name="act"' in page.partition("<main")[2].partition("</main>")[0]


async def test_who_was_erased_before_she_left_holds_nobody_up_and_is_offered_nothing(
    city: Desk, stack: AsyncExitStack
) -> None:
    await operation_shown(city)
    row = story.intake_row
    gone, other = await story.register(city, row(), row(willingness="SPK/2"))
    (wanting,) = await story.register(city, row(destination=None, willingness=None))
    intake = await stack.enter_async_context(signed_in(city, "penerima", "intake"))
    issuer = await stack.enter_async_context(signed_in(city, "penerbit", "issuer"))
    assert offered((await intake.open(f"/penerima-manfaat/{gone}")).text)
    assert "OP-TEST: tentukan tujuan" in (await intake.open("/")).text
    for person in (gone, wanting):
        await erase(city, person)
    for browser in (intake, issuer):
        page = (await browser.open(f"/penerima-manfaat/{gone}")).text
        assert ERASED in page
        assert not offered(page)
    assert "OP-TEST: tentukan tujuan" not in (await intake.open("/")).text, "nobody waits for that"
    here = f"/beneficiaries/{gone}"
    for path, body in (
        ("destination", {"destination": "53"}),
        ("willingness", {"statement": "SPK/9"}),
        ("protection-path", {}),
    ):
        assert await city.refused("intake", f"{here}/{path}", body) == "PERSON_ERASED"

    # Everybody who is ready goes on the list at once, without her.
    await city.post("issuer", "/handovers", story.DRAFT | {"handover": "HO-1"})
    entries = "/handovers/HO-1/entries"
    assert await city.refused("issuer", entries, {"persons": [gone]}) == "PERSON_ERASED"
    page = await issuer.open("/serah-terima/HO-1/pilih")
    assert gone not in page.text
    await issuer.step("/serah-terima/HO-1/pilih", "add_all")
    assert await story.entry_states(city) == {other: "listed"}


async def test_a_case_of_somebody_erased_takes_no_word_more(
    city: Desk, province: Desk, stack: AsyncExitStack
) -> None:
    person = await story.arrived(city, province)
    worker = await stack.enter_async_context(signed_in(province, "pendamping", "case_worker"))
    other = await stack.enter_async_context(signed_in(province, "pendamping-dua", "case_worker"))
    here = f"/kasus/{person}"
    await worker.step(here, "take")
    assert "Catat asesmen" in (await worker.open(here)).text
    await erase(city, person)
    page = (await worker.open(here)).text
    assert ERASED in page
    for form in ("Catat asesmen", "Buka catatan untuk pendampingan", "Tawarkan diklat"):
        assert form not in page
    assert "Catat kepergiannya" in page, "her bed can still be freed"
    for browser, address in ((other, here), (worker, f"/penerima-manfaat/{person}")):
        page = (await browser.open(address)).text
        assert ERASED in page
        assert not offered(page)
    token = (await worker.open(here)).text.partition('name="csrf" value="')[2][:64]
    for path, body in (
        ("offers", {"offers": ["Menjahit"]}),
        ("readiness", {}),
        ("assessment", dict.fromkeys(("potential", "wish", "opportunity"), "x")),
    ):
        # By the form's own way, as the account that has the case.
        sent = await worker.http.post(
            f"/api/v1/cases/{person}/{path}",
            json=body,
            headers={"Idempotency-Key": f"erased-{path}", "X-CSRF-Token": token},
        )
        assert (sent.status_code, sent.json()["code"]) == (409, "PERSON_ERASED"), path
    page = await worker.step(here, "leave")
    assert "meninggalkan rumah singgah" in page.text
