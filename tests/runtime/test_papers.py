"""What becomes of a paper between its blocks and its bytes."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from shared.runtime.papers import paper
from shared.runtime.papers.paper import Paper, typeset
from shared.runtime.papers.record import Record
from tests import pdf

CODE = "https://periksa.contoh/periksa?k=bast&n=BAST%2F1&e=0192f0c2-7a77&p=12&c=14&h=" + "h" * 43
RECORD = Record(
    office="53.71",
    paper="bast",
    event="0192f0c2-7a77",
    position=12,
    recorded_at=datetime.fromisoformat("2019-10-04T07:00:00.123456+08:00"),
    size=14,
    head="h" * 43,
    code=CODE,
)
COLUMNS = [("No.", "auto", "right"), ("Isi", "1", "left")]


def made(*blocks: dict[str, Any], **more: Any) -> Paper:
    return Paper(title="Naskah contoh", office="Dinas Contoh", record=RECORD, blocks=blocks, **more)


def test_the_same_paper_is_the_same_bytes_each_time() -> None:
    rows = [[str(number), f"baris {number}"] for number in range(1, 121)]
    one = made(paper.text("Isi"), paper.table(COLUMNS, rows), number="BAST/1")
    first = typeset(one)
    assert typeset(one) == first
    assert typeset(replace(one, number="BAST/2")) != first
    assert typeset(replace(one, record=replace(RECORD, code=CODE + "x"))) != first


def test_each_page_says_which_of_how_many_it_is_and_of_what() -> None:
    rows = [[str(number), f"baris {number}"] for number in range(1, 121)]
    blocks = paper.annex("Lampiran"), paper.table(COLUMNS, rows, ["", "akhir"])
    read = pdf.Read(typeset(made(*blocks, number="BAST/1", classification="TERBATAS")))
    assert len(read.pages) > 3
    for number, page in enumerate(read.pages, 1):
        assert f"Halaman {number} dari {len(read.pages)}" in page
        assert "Naskah contoh, BAST/1" in page
        assert "TERBATAS" in page
        assert (
            "Peristiwa 12 dalam log kantor 53.71 (0192f0c2-7a77), tercakup titik periksa 14" in page
        )
        assert number == 1 or "No." in page, "the head of a table comes again"


def test_a_paper_is_an_archival_pdf() -> None:
    """PDF/A-2b, as far as can be seen without a validator: what it says, what it must hold."""
    data = typeset(made(paper.text("Isi"), paper.table(COLUMNS, [["1", "satu"]])))
    read = pdf.Read(data)
    said = read.metadata()
    assert "<pdfaid:part>2</pdfaid:part>" in said
    assert "<pdfaid:conformance>B</pdfaid:conformance>" in said
    assert "<xmp:CreateDate>2019-10-03T23:00:00Z</xmp:CreateDate>" in said
    assert "Naskah contoh" in said
    fonts = read.fonts()
    assert {re.sub(r"^[A-Z]{6}\+", "", name).partition("-")[0] for name in fonts} == {
        "LibertinusSerif"
    }
    assert all(fonts.values()), "a font does not lie in the file"
    assert b"/OutputIntent" in data
    assert data.startswith(b"%PDF-1.7")
    for forbidden in (b"/Encrypt", b"/JavaScript", b"/Launch", b"/EmbeddedFile"):
        assert forbidden not in data


HOSTILE = [
    "#panic(1)",
    '#read("/etc/passwd")',
    "] #set page(fill: red) [",
    "$x^2$ *tebal* _miring_ `kode`",
    "<label> @rujuk // tamat /* */",
    "= Judul \\ - butir + satu",
    '"); evil("',
    "{{ 7*7 }} \\u{41} ~ ---",
]


@pytest.mark.parametrize("typed", HOSTILE)
def test_what_people_type_is_shown_and_never_read_as_code(typed: str) -> None:
    blocks = [
        paper.heading(typed),
        paper.text(typed),
        paper.note(typed),
        paper.closing(typed),
        paper.items(typed),
        paper.fields((typed, typed)),
        paper.table([(typed, "1", "left")], [[typed]], [typed]),
        paper.annex("Lampiran"),
        paper.signatures((typed, typed)),
    ]
    one = Paper(
        title=typed, office=typed, record=RECORD, blocks=blocks, number=typed, subtitle=typed,
        remark=typed, handling=typed, classification=typed,
    )  # fmt: skip
    read = pdf.Read(typeset(one))
    assert len(read.pages) == 2
    flat = "".join(read.text.split()).casefold()
    assert flat.count("".join(typed.split()).casefold()) >= 14


def test_a_letter_that_no_font_has_keeps_nobody_from_printing() -> None:
    """PDF/A forbids a missing glyph: a foreign letter is shown as one that could not be."""
    read = pdf.Read(typeset(made(paper.fields(("Nama", "Ni\u0301a \u738b \U0001f600 \u200b x")))))
    assert "N\xeda" in read.text
    assert "\u738b" not in read.text
    assert read.text.count("\ufffd") == 3


def test_every_letter_that_may_be_printed_can_be() -> None:
    every = "".join(chr(at) for at in range(0x20, 0x2200) if paper._shown(chr(at)))
    assert len(every) > 500
    typeset(made(paper.text(every)))


def test_what_is_not_recorded_is_a_line_to_fill_in() -> None:
    read = pdf.Read(typeset(made(paper.fields(("NIP", None)), paper.signatures(("Saksi", None)))))
    assert read.text.count("....") > 3 or read.text.count(". . .") > 3
    assert "Nomor: ." in read.text
    assert "None" not in read.text
    assert "none" not in read.text


@pytest.mark.parametrize(
    "code",
    [
        CODE,
        "\n".join(["pulang/53.71", "k=bast", "n=BAST/CONTOH/2019/35", "p=12"]),
        CODE + "x" * 400,
    ],
)
def test_another_program_reads_the_printed_code(code: str) -> None:
    one = replace(made(paper.text("Isi")), record=replace(RECORD, code=code))
    assert pdf.Read(typeset(one)).codes == [code]
