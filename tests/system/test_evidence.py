"""An inspector who trusts neither office checks what one of them gives her of a handover."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from base64 import b64encode
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.city.service import SERVICE as CITY
from shared.kernel import note, rotation
from shared.kernel.checkpoints import Checkpoints
from shared.kernel.keyring import COSIGNER, draw_signing, key_id, verifier_key
from shared.runtime.audit import checker, evidence
from shared.runtime.papers import verifying
from shared.runtime.settings import Settings
from tests import pdf
from tests.conftest import NOW
from tests.independent import checkers
from tests.system import story
from tests.system.offices import Desk, eventually, open_desk
from tests.system.test_command import environment, pulang

ROW = {
    "name": "Contoh Penerima Manfaat",
    "nik": "3599990201900007",
    "contact": "08115999123456",
    "account": "BRI 3599771234567",
}
PAPERS = {
    "53.71": ("bast.pdf", "/handovers/HO-1/deed", "auditor"),
    "35": ("pengakuan-kedatangan.pdf", "/arrivals/HO-1/acknowledgement", "auditor"),
}
WRITTEN = "Ibunya di desa contoh menunggu"
"""What somebody wrote of her, as the reason of a correction."""


async def make(desk: Desk, out: Path, *more: str) -> tuple[int, str, str]:
    return await pulang("audit", "evidence", "HO-1", "--out", str(out), *more, **environment(desk))


async def verified(folder: Path) -> tuple[int, str]:
    """By the program in the folder itself, which sees nothing of this project."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-B",
        folder / "verify.py",
        cwd="/",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


async def column(desk: Desk, query: str, *parameters: Any) -> list[Any]:
    async with desk.office.pool.connection() as connection:
        cursor = await connection.execute(query, parameters)
        return [row[0] for row in await cursor.fetchall()]


async def one_handover(city: Desk, province: Desk) -> list[str]:
    """Issued, departed, arrived, corrected with a reason; witnessed at both ends."""
    await story.open_operation(city)
    persons = await story.register(city, story.intake_row(**ROW), story.intake_row())
    await story.draft(city, persons)
    await story.issue(city)
    await city.post("issuer", "/handovers/HO-1/departure")
    await story.expected(province)
    await story.open_house(province)
    for person in persons:
        await story.answer(province, person, {"outcome": "absent", "absence": "left_in_transit"})
    right = story.ARRIVED | {"corrects": 1, "reason": WRITTEN}
    entry = f"/arrivals/HO-1/entries/{persons[0]}/correction"
    await province.post("reception", entry, right)
    await story.until_states(city, {persons[0]: "arrived", persons[1]: "absent"})
    await story.in_sync(city, province)
    for desk in (city, province):

        async def witnessed(desk: Desk = desk) -> bool:
            sizes = await column(desk, "select max(size) from cosignatures")
            return sizes == [await desk.size()]

        await eventually(witnessed)
    return persons


def assert_nothing_personal(folder: Path, archive: Path) -> None:
    for name, data in files(folder).items():
        for text in (*ROW.values(), ROW["account"].removeprefix("BRI "), WRITTEN):
            for spelled in (
                text.encode(),
                b64encode(text.encode()).rstrip(b"="),
                text[:9].encode(),
            ):
                assert spelled not in data, f"{text} in {name}"
    with ZipFile(archive) as zipped:
        assert {name: zipped.read(name) for name in zipped.namelist()} == files(folder)


async def test_an_inspector_needs_neither_office(
    city: Desk, province: Desk, tmp_path: Path
) -> None:
    await one_handover(city, province)
    for desk, partner in ((city, "35"), (province, "53.71")):
        code = desk.office.settings.office
        folder, archive = tmp_path / f"bukti-{code}", tmp_path / f"bukti-{code}.zip"
        done, out, err = await make(desk, folder)
        assert (done, err) == (0, ""), out
        inside = files(folder)
        assert out == told(folder, partner)

        # What the history tells, in the very bytes that are stored, and no event beside.
        lines = await desk.get("auditor", "/history/HO-1")
        positions = [line["position"] for line in lines]
        bodies = await column(
            desk, "select body from events where position = any(%s) order by 1", positions
        )
        shown = {name: data for name, data in inside.items() if name.startswith("events/")}
        assert sorted(shown) == sorted(f"events/{position - 1}.json" for position in positions)
        assert sorted(shown.values()) == sorted(bytes(body) for body in bodies)
        timeline = inside["linimasa.txt"].decode()
        # The paper of either office is there as it prints it, and so that the code on it leads to
        # the very events beside it; nobody's identity.
        name, address, role = PAPERS[code]
        paper = await desk.http.get(
            f"/api/v1{address}",
            params={"format": "pdf"},
            headers={"Authorization": f"Bearer {desk.tokens[role]}"},
        )
        assert inside[name] == paper.content
        assert f"Naskah: {name};" in timeline
        read = pdf.Read(inside[name])
        for personal in (*ROW.values(), WRITTEN):
            assert personal not in read.text
        held = verifying.shown(dict(line.split("=", 1) for line in read.codes[0].splitlines()[1:]))
        assert held is not None
        body = json.loads(inside[f"events/{held.position - 1}.json"])
        assert body["id"] == held.event
        for line in lines:
            assert f"events/{line['position'] - 1}.json  {line['words']}\n" in timeline

        # All that the partner kept.
        kept = await column(desk, "select size from cosignatures where office = %s", partner)
        names = {name for name in inside if name.startswith("witnessed/")}
        assert names == {f"witnessed/{partner}-{size}" for size in kept} != set()
        assert inside["checkpoint"].decode().count(f"\n\u2014 pulang/{partner} ") == 1

        holds, said = await verified(folder)
        assert (holds, said.splitlines()[-1]) == (0, "Semua yang diperiksa benar."), said
        assert said.count("peristiwa dengan indeks") == len(lines)
        for _, line in await desk.office.keyring.public():
            assert line in said, "as the office exports it, to compare"
        for _, line in await (province if desk is city else city).office.keyring.public():
            assert line in said
        for name in checkers.ALL:
            if checkers.missing(name) is None:
                assert (checkers.ask(name, folder))[0] == 0, checkers.ask(name, folder)[1]
        assert_nothing_personal(folder, archive)

    # Made again it is refused, and nothing is touched; so is what is not there.
    folder = tmp_path / "bukti-53.71"
    before, beside = files(folder), sorted(tmp_path.iterdir())
    exit_code, _, err = await make(city, folder)
    assert (exit_code, "there and not empty" in err) == (2, True)
    exit_code, _, err = await make(city, tmp_path / "none" / "bukti")
    assert (exit_code, "make it first" in err) == (2, True)
    unknown = ("audit", "evidence", "HO-9", "--out", str(tmp_path / "bukti-9"))
    exit_code, _, err = await pulang(*unknown, **environment(city))
    assert (exit_code, "no handover-HO-9 in its log" in err) == (2, True)
    assert (files(folder), sorted(tmp_path.iterdir())) == (before, beside)

    await assert_each_edit_is_found(folder, tmp_path / "edited")


def told(folder: Path, partner: str) -> str:
    """What the command says, put together from the folder that it made."""
    inside = files(folder)
    size = note.parse(inside["checkpoint"].decode()).size
    events = sum(name.startswith("events/") for name in inside)
    number = sum(name.startswith("witnessed/") for name in inside)
    return (
        f"{folder} and {folder.name}.zip: {events} event(s) of HO-1, proven by the checkpoint of"
        f" {size} events.\n"
        f"Office {partner} has witnessed {number} checkpoint(s) of this log; {number} are in the"
        " folder.\n"
    )


async def assert_each_edit_is_found(folder: Path, edited: Path) -> None:
    """A byte changed, a file gone, a file more: each in every file, and by whom it is found."""
    names = sorted(files(folder))
    assert checker.main([str(folder)]) == 0
    for name in names:
        shutil.copytree(folder, edited)
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (edited / name).write_bytes(data)
        faults = checker.Evidence(edited, lambda words: None).check()
        assert any(fault.startswith(f"{name}: ") for fault in faults), (name, faults)
        (edited / name).unlink()
        faults = checker.Evidence(edited, lambda words: None).check()
        assert any(fault.startswith(f"{name}: ") for fault in faults), (name, faults)
        shutil.rmtree(edited)
    # And by the program in the folder, of one file of each kind.
    of_kind = {name.partition("/")[0]: name for name in names}
    for name in of_kind.values():
        shutil.copytree(folder, edited)
        with (edited / name).open("ab") as file:
            file.write(b"\n")
        code, said = await verified(edited)
        assert (code, f"SALAH: {name}: " in said) == (1, True), said
        shutil.rmtree(edited)
    shutil.copytree(folder, edited)
    (edited / "surat.txt").write_text("tambahan")
    code, said = await verified(edited)
    assert (code, "SALAH: surat.txt: tidak tercantum" in said) == (1, True), said


@pytest.fixture
async def alone(stack: AsyncExitStack, settings: Callable[..., Settings], broker: None) -> Desk:
    """A city whose worker does not run, with a handover that has not departed."""
    desk = await open_desk(stack, settings("53.71", ("35",)), CITY, with_worker=False)
    await story.issued(desk, 2)
    return desk


async def sign(desk: Desk) -> None:
    while await Checkpoints(desk.office.keyring).step(NOW):
        pass


async def test_what_no_checkpoint_covers_is_named_and_not_proven(
    alone: Desk, tmp_path: Path
) -> None:
    code, _, err = await make(alone, tmp_path / "bukti")
    assert (code, "no checkpoint covers anything of HO-1 yet" in err) == (2, True)
    assert list(tmp_path.glob("*bukti*")) == []

    await sign(alone)
    size = await alone.size()
    await alone.post("issuer", "/handovers/HO-1/departure")
    code, out, err = await make(alone, tmp_path / "bukti", "--json")
    found = json.loads(out)
    assert (code, found["size"], found["witnessed"], found["faults"]) == (0, size, {}, []), err
    assert found["not_covered"] == await alone.size() - size > 0
    proven, later = (tmp_path / "bukti/linimasa.txt").read_text().split("belum tercakup")
    assert "berangkat" not in proven
    assert later.count("(tanpa berkas)") == found["not_covered"]
    assert (await verified(tmp_path / "bukti"))[0] == 0


async def cosigned(desk: Desk, size: int, head: bytes, private: Ed25519PrivateKey) -> None:
    """Puts in what a partner would have kept, and given back."""
    keyring, partner = desk.office.keyring, "35"
    one = note.signed("53.71", size, head, keyring.sign)
    public = private.public_key().public_bytes_raw()
    id_ = key_id(partner, public, COSIGNER)
    line = note.cosignature(one, "pulang/35", id_, 1_790_000_000, private.sign)
    text = note.Checkpoint("53.71", size, head, (*one.signatures, line)).note
    async with desk.office.pool.connection() as connection:
        await connection.execute(
            "insert into cosignatures (office, size, note, received_at) values (%s, %s, %s, %s)",
            (partner, size, text, NOW),
        )


async def test_a_partner_that_kept_another_history_is_shown_and_not_left_out(
    alone: Desk, tmp_path: Path
) -> None:
    public, raw = draw_signing()
    private = Ed25519PrivateKey.from_private_bytes(raw)
    await alone.office.keyring.trust("35", verifier_key("35", public), "test")
    await sign(alone)
    (text,) = await column(alone, "select note from checkpoints")
    newest = note.parse(text)
    await cosigned(alone, newest.size, newest.head, private)

    # A key that was rolled since signs the same texts anew: the cosignatures stay as they were.
    await rotation.prepare_signing(alone.office.keyring)
    await rotation.switch_signing(alone.office.keyring)
    code, out, err = await make(alone, tmp_path / "bukti")
    assert code == 0, out + err
    for name in checkers.ALL:
        if checkers.missing(name) is None:
            assert checkers.ask(name, tmp_path / "bukti")[0] == 0

    await cosigned(alone, 5, bytes(32), private)
    await cosigned(alone, newest.size + 9, bytes(32), private)
    code, out, err = await make(alone, tmp_path / "bukti-2")
    assert code == 1, err
    assert "It does not hold: witnessed/35-5: log menurut checkpoint bukan lanjutan" in out
    assert f"It does not hold: witnessed/35-{newest.size + 9}: disaksikan" in out
    code, said = await verified(tmp_path / "bukti-2")
    assert (code, said.splitlines()[-1]) == (1, "2 hal TIDAK benar.")
    for name in checkers.ALL:
        if checkers.missing(name) is None:
            assert checkers.ask(name, tmp_path / "bukti-2")[0] == 1


async def test_what_breaks_off_leaves_nothing_behind(
    alone: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sign(alone)
    async with alone.office.pool.connection() as connection:
        made = await evidence.gather(connection, alone.office, "HO-1", "handover-HO-1")
    place = tmp_path / "place"
    place.mkdir()
    rename = Path.rename

    def full(self: Path, target: object) -> Path:
        """The disk is full when it comes to the archive, the folder being there already."""
        if self.is_dir():
            return rename(self, str(target))
        raise OSError(28, "No space left on device")

    def none(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for broken, name in ((Path, "rename"), (ZipFile, "write")):
        with monkeypatch.context() as patch:
            patch.setattr(broken, name, full if broken is Path else none)
            with pytest.raises(evidence.NoEvidence, match="No space left on device"):
                evidence.write(made, place / "bukti")
        assert list(place.iterdir()) == []
    (place / "bukti").mkdir()
    assert evidence.write(made, place / "bukti") == []
    assert sorted(path.name for path in place.iterdir()) == ["bukti", "bukti.zip"]


def test_of_very_many_checkpoints_those_beside_the_events_are_shown() -> None:
    few = list(range(1, evidence.WITNESSED + 1))
    assert evidence._beside(few, [3]) == few
    many = list(range(10, 10 * evidence.WITNESSED + 20, 10))
    assert evidence._beside(many, [3, 25, 30]) == [10, 20, 30, many[-1]]
