"""Tables in and out: what a file from outside can't do here, and what ours can't do elsewhere."""

from __future__ import annotations

import csv
import io
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.runtime import sheets
from shared.runtime.manifest import Problem
from shared.runtime.rows import FILES
from shared.runtime.sheets import Table, read_xlsx, to_csv, to_xlsx

read_csv = FILES["text/csv"]
SECRET = "nilai-rahasia-contoh"
EARLY = datetime.fromisoformat("2019-10-04T08:30:00")
SOME = [
    {"initials": "AB", "origin": "35.78", "amount_rupiah": 6_000_000, "sign": False},
    {"initials": "CD", "origin": "53.01", "amount_rupiah": 1, "sign": True, "note": "&, <a>"},
]
AS_READ = [
    {"initials": "AB", "origin": "35.78", "amount_rupiah": "6000000", "sign": "tidak"},
    {"initials": "CD", "origin": "53.01", "amount_rupiah": "1", "sign": "ya", "note": "&, <a>"},
]
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
HEAD = '<row r="1"><c r="A1" t="inlineStr"><is><t>a</t></is></c></row>'


def relations(*targets: tuple[str, str], more: str = "") -> str:
    rows = "".join(
        f'<Relationship Id="r{n}" Type="{OFFICE}/{kind}" Target="{target}"{more}/>'
        for n, (kind, target) in enumerate(targets)
    )
    return f"<Relationships>{rows}</Relationships>"


def parts(rows: str, **more: str) -> dict[str, str]:
    """A workbook's parts with these rows in its first sheet; `more` changes a part by its name."""
    named = {
        "types": ("[Content_Types].xml", "<Types/>"),
        "root": ("_rels/.rels", relations(("officeDocument", "xl/workbook.xml"))),
        "book": (
            "xl/workbook.xml",
            f'<workbook xmlns:r="{OFFICE}"><sheets><sheet name="A" r:id="r0"/></sheets></workbook>',
        ),
        "links": (
            "xl/_rels/workbook.xml.rels",
            relations(("worksheet", "sheet.xml"), ("sharedStrings", "s.xml"), ("styles", "f.xml")),
        ),
        "strings": ("xl/s.xml", "<sst><si><t>a</t></si><si><r><t>b</t></r></si></sst>"),
        "formats": ("xl/f.xml", "<styleSheet/>"),
        "sheet": ("xl/sheet.xml", f"<worksheet><sheetData>{rows}</sheetData></worksheet>"),
    }
    return {path: more.get(name, text) for name, (path, text) in named.items()}


def packed(of: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in of.items():
            archive.writestr(name, data)
    return file.getvalue()


def book(rows: str, **more: str) -> bytes:
    return packed(parts(rows, **more))


def by_openpyxl(*rows: tuple[Any, ...]) -> bytes:
    workbook, file = openpyxl.Workbook(), io.BytesIO()
    sheet: Any = workbook.active
    for row in rows:
        sheet.append(row)
    workbook.save(file)
    return file.getvalue()


def in_openpyxl(raw: bytes) -> Any:
    """The first sheet, as another program sees it."""
    return openpyxl.load_workbook(io.BytesIO(raw)).active


def refusal(raw: bytes, read: Callable[[bytes], Any] = read_xlsx) -> Problem:
    with pytest.raises(Problem) as caught:
        read(raw)
    problem = caught.value
    assert problem.status == 422
    assert SECRET not in problem.detail + problem.remedy
    return problem


def test_what_we_write_we_read_back_from_both_kinds_of_file() -> None:
    assert read_xlsx(to_xlsx(SOME, "Papan")) == AS_READ
    assert read_csv(to_csv(SOME)) == AS_READ
    # A spreadsheet that is set to Indonesian separates by semicolons.
    assert read_csv(b'a;b\n"1;2";3,4\n') == [{"a": "1;2", "b": "3,4"}]
    assert read_csv(b"a,b\n1;2,3\n") == [{"a": "1;2", "b": "3"}]


def test_a_workbook_of_another_program_is_read_alike() -> None:
    rows = read_xlsx(
        by_openpyxl(
            (" initials ", "born", "at", "amount", "flag", "share", None),
            (" AB ", date(1990, 1, 2), EARLY, 6_000_000, True, 53.71, None),
            (None,),
            ("CD", date(1900, 2, 28), None, 12.0, False, 0.1 + 0.2, "lebih"),
            (None, "  ", None),
        )
    )
    assert rows == [
        {"initials": "AB", "born": "1990-01-02", "at": "2019-10-04T08:30:00", "amount": "6000000",
         "flag": True, "share": "53.71"},
        {},
        {"initials": "CD", "born": "1900-02-28", "amount": "12", "flag": False, "share": "0.3",
         sheets.EXTRA_COLUMN: "lebih"},
    ]  # fmt: skip


def test_a_date_is_a_date_in_either_calendar_of_spreadsheets() -> None:
    formats = (
        '<styleSheet><numFmts><numFmt numFmtId="200" formatCode="dd/mm/yyyy"/>'
        '<numFmt numFmtId="201" formatCode="&quot;hari&quot; [$Rp-421]0"/>'
        '<numFmt numFmtId="202" formatCode="0000000000"/></numFmts><cellXfs><xf numFmtId="0"/>'
        '<xf numFmtId="200"/><xf numFmtId="14"/><xf numFmtId="201"/><xf numFmtId="202"/></cellXfs>'
        "</styleSheet>"
    )
    row = "".join(
        f'<row r="{n}"><c r="A{n}" s="{style}"><v>{value}</v></c></row>'
        for n, (style, value) in enumerate([(1, 43742), (2, 43742.5), (3, 43742), (4, 812)], 2)
    )
    assert [r["a"] for r in read_xlsx(book(HEAD + row, formats=formats))] == [
        "2019-10-04", "2019-10-04T12:00:00", "43742", "0000000812",
    ]  # fmt: skip
    of_1904 = parts("")["xl/workbook.xml"].replace("<sheets>", '<workbookPr date1904="1"/><sheets>')
    first = read_xlsx(book(HEAD + row, formats=formats, book=of_1904))[0]
    assert first == {"a": "2023-10-05"}
    for none in (0, 60, -1, 2_958_466, "1e300"):
        cell = f'<row r="2"><c r="A2" s="1"><v>{none}</v></c></row>'
        assert refusal(book(HEAD + cell, formats=formats)).code == "XLSX_CELL"


def test_a_nik_stored_as_a_number_is_refused_for_its_last_digits_are_gone() -> None:
    problem = refusal(by_openpyxl(("nik",), ("9900000000000001",), (9900000000000001,)))
    assert (problem.code, "A3" in problem.detail) == ("XLSX_LONG_NUMBER", True)
    assert "Teks" in problem.remedy
    assert read_xlsx(by_openpyxl(("n",), ("9900000000000001",), (999_999_999_999_999,))) == [
        {"n": "9900000000000001"},
        {"n": "999999999999999"},
    ]


def test_a_formula_is_refused_with_its_cell_and_not_its_text() -> None:
    problem = refusal(by_openpyxl(("a", "b"), (1, f'="{SECRET}"')))
    assert (problem.code, "B2" in problem.detail) == ("XLSX_FORMULA", True)
    cell = f'<row r="2"><c r="A2" t="e"><v>{SECRET}</v></c></row>'
    assert refusal(book(HEAD + cell)).code == "XLSX_CELL"


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "-2+3+cmd|' /C x'!A0", "+A1", "'=1", "＝1"])
def test_a_text_that_acts_as_a_formula_is_refused_in_either_kind_of_file(text: str) -> None:
    raw = book(HEAD + f'<row r="2"><c r="A2" t="inlineStr"><is><t>{text}</t></is></c></row>')
    for problem in (refusal(raw), refusal(f'a\n"\t{text}"\n'.encode(), read_csv)):
        assert (problem.code, "A2" in problem.detail) == ("TABLE_FORMULA_TEXT", True)


def test_a_telephone_number_and_a_dash_are_data_and_come_back_from_an_export() -> None:
    rows = [{"a": "+62 (000) 000-0000"}, {"a": "-"}]
    assert read_csv(b"a\n+62 (000) 000-0000\n-\n") == rows
    assert b"'+62" in to_csv(rows)
    assert read_csv(to_csv(rows)) == read_xlsx(to_xlsx(rows, "A")) == rows


ENTITY = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY b SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize("doctype", [ENTITY, OUTSIDE, "<!DOCTYPE x>"])
@pytest.mark.parametrize("part", ["types", "root", "book", "links", "strings", "formats", "sheet"])
def test_an_entity_can_stand_in_no_part(doctype: str, part: str) -> None:
    whole = dict(zip(("types", "root", "book", "links", "strings", "formats", "sheet"),
                     parts(HEAD).values(), strict=True))  # fmt: skip
    if part == "types":  # It is searched, and never parsed: an entity is only bytes in it.
        assert read_xlsx(book(HEAD, types=doctype + whole[part])) == []
    else:
        assert refusal(book(HEAD, **{part: doctype + whole[part]})).code == "XLSX_UNREADABLE"


def test_what_reaches_out_or_runs_is_refused() -> None:
    outside = relations(("externalLink", "https://example.org"), more=' TargetMode="External"')
    for raw in (
        book(HEAD, links=outside),
        packed(parts(HEAD) | {"xl/externalLinks/externalLink1.xml": ""}),
        packed(parts(HEAD) | {"xl/VBAProject.bin": ""}),
        packed(parts(HEAD) | {"xl/embeddings/a.bin": ""}),
        book(HEAD, types='<Types><D ContentType="application/x.sheet.macroEnabled.main"/></Types>'),
    ):
        assert refusal(raw).code == "XLSX_ACTIVE"


def encrypted(raw: bytes) -> bytes:
    """The same zip, whose directory says that its first entry is encrypted."""
    at = raw.index(b"PK\x01\x02") + 8
    return raw[:at] + struct.pack("<H", 1) + raw[at + 2 :]


def test_a_file_that_is_no_workbook_is_refused() -> None:
    hidden = parts("")["xl/workbook.xml"].replace('name="A"', 'name="A" state="hidden"')
    for raw, code in (
        (b"", "XLSX_UNREADABLE"),
        (b"a,b\n1,2\n", "XLSX_UNREADABLE"),
        (packed({"word/document.xml": "<a/>"}), "XLSX_UNREADABLE"),
        (packed(parts(HEAD), zipfile.ZIP_LZMA), "XLSX_UNREADABLE"),
        (book(HEAD)[:-40], "XLSX_UNREADABLE"),
        (book(HEAD, links=relations(("worksheet", "../../etc/passwd"))), "XLSX_UNREADABLE"),
        (book(HEAD, links=relations(("chartsheet", "sheet.xml"))), "XLSX_UNREADABLE"),
        (book(HEAD + '<row r="2"><c t="s"><v>2</v></c></row>'), "XLSX_UNREADABLE"),
        (book(HEAD + '<row r="1"/>'), "XLSX_UNREADABLE"),
        (book('<row r="1"><c r="B1"/><c r="A1"/></row>'), "XLSX_UNREADABLE"),
        (book(HEAD, book=hidden), "XLSX_SHEET_HIDDEN"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "XLSX_LOCKED"),
        (encrypted(book(HEAD)), "XLSX_LOCKED"),
        (by_openpyxl(("a", " a "),), "XLSX_HEADER_REPEATED"),
        (by_openpyxl(("a",), ("x" * 4_001,)), "TABLE_TOO_LARGE"),
        (by_openpyxl(("a",), *[("x",)] * 20_001), "TABLE_TOO_LARGE"),
        (by_openpyxl(tuple(f"k{n}" for n in range(65))), "TABLE_TOO_LARGE"),
        (book(HEAD + '<row r="2"><c t="str"><v>a_x0000_b</v></c></row>'), "TABLE_CHARACTER"),
        (book(HEAD + '<row r="2"><c t="str"><v>a_xD800_b</v></c></row>'), "TABLE_CHARACTER"),
    ):  # fmt: skip
        assert refusal(raw).code == code, raw[:60]


def test_a_row_far_below_is_too_far_and_makes_no_rows_before_it() -> None:
    table = Table("CSV_HEADER_REPEATED")
    table.add(1, [(0, "a")])
    with pytest.raises(Problem, match="TABLE_TOO_LARGE"):
        table.add(1_048_576, [(0, "x")])
    assert table.rows == []


def lying(raw: bytes, name: bytes, size: int) -> bytes:
    """The same zip, in which the entry `name` claims another size, in both of its headers."""
    found = bytearray(raw)
    for mark, size_at, name_at in ((b"PK\x03\x04", 22, 30), (b"PK\x01\x02", 24, 46)):
        at = next(
            at for at in range(len(raw))
            if raw.startswith(mark, at) and raw.startswith(name, at + name_at)
        )  # fmt: skip
        found[at + size_at : at + size_at + 4] = struct.pack("<I", size)
    return bytes(found)


STORED = zipfile.ZIP_STORED
WIDE = "<row>" + '<c t="s"><v>0</v></c>' * 60 + "</row>"
LONG = f"<sst><si><t>{'x' * 4_000}</t></si></sst>"
BLANKS = " " * 200_000_000
BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "claims much": ("XLSX_TOO_LARGE", lambda: book(HEAD + BLANKS)),
    "claims little": (
        "XLSX_UNREADABLE",
        lambda: lying(book(HEAD + BLANKS), b"xl/sheet.xml", 1_000),
    ),
    "claims what we bear": (
        "XLSX_UNREADABLE",
        lambda: lying(book(HEAD + BLANKS), b"xl/sheet.xml", 10**6),
    ),
    "much that nobody reads": (
        "XLSX_TOO_LARGE",
        lambda: packed(parts(HEAD) | {"xl/media/a": BLANKS[: 34 * 1024**2]}, STORED),
    ),
    "little that swells": (
        "XLSX_TOO_LARGE",
        lambda: packed(parts(HEAD) | {"xl/media/a": BLANKS[: 20 * 1024**2]}),
    ),
    "many entries": ("XLSX_TOO_LARGE", lambda: packed({f"{n}": "" for n in range(40_000)})),
    "many elements": (
        "XLSX_TOO_LARGE",
        lambda: packed(parts(HEAD + f"<row>{'<c/>' * 60}</row>" * 120_000), STORED),
    ),
    "one long text everywhere": (
        "TABLE_TOO_LARGE",
        lambda: packed(parts(HEAD + WIDE * 5_000, strings=LONG), STORED),
    ),
    "one long name": (
        "XLSX_UNREADABLE",
        lambda: packed(parts(f"<{'x' * 25_000_000}/>"), STORED),
    ),
    "nested": ("XLSX_UNREADABLE", lambda: packed(parts("<a>" * 8_000_000), STORED)),
}
CHILD = """
import json, re, sys, time
from shared.runtime.manifest import Problem
from shared.runtime.sheets import read_xlsx
raw = open(sys.argv[1], "rb").read()
def most():
    # Not getrusage, whose figure a process inherits from the one that started it.
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
before, started = most(), time.monotonic()
try:
    code = f"{len(read_xlsx(raw))} rows"
except Problem as problem:
    code = problem.code
seconds = time.monotonic() - started
print(json.dumps([code, seconds, most() - before]))
"""


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_in_bounded_time_and_memory(kind: str, tmp_path: Path) -> None:
    """Memory as the system counts it: the most that the process ever held, beyond its start."""
    code, make = BOMBS[kind]
    file = tmp_path / "bomb"
    file.write_bytes(make())
    command = [sys.executable, "-c", CHILD, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found, seconds, megabytes = json.loads(done.stdout)
    print(f"{kind}: {file.stat().st_size} bytes, {found}, {seconds:.2f} s, {megabytes:.1f} MB")
    assert found == code
    inflates = kind in ("many elements", "one long text everywhere", "one long name", "nested")
    assert seconds < (30 if inflates else 2)
    assert megabytes < (200 if inflates else 10)


AUDITED = """
import os, sys
from shared.runtime.sheets import read_xlsx, to_csv, to_xlsx
rows = [{"a": "x" * 3_000, "b": n} for n in range(2_000)]
read_xlsx(to_xlsx(rows[:1], "warm")), to_csv(rows[:1])
def hook(event, arguments):
    if event in ("open", "os.mkdir", "tempfile.mkstemp", "tempfile.mkdtemp", "shutil.copyfile"):
        sys.stdout.write(event)
        os._exit(3)
sys.addaudithook(hook)
to_csv(rows)
read_xlsx(to_xlsx(rows, "Papan"))
"""


def test_no_file_is_opened_while_a_table_is_read_or_written() -> None:
    assert subprocess.run([sys.executable, "-c", AUDITED], check=False).returncode == 0
    opening = f"{AUDITED}\nimport tempfile\ntempfile.TemporaryFile()"
    assert subprocess.run([sys.executable, "-c", opening], check=False).returncode == 3


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", b"PK\x03\x04", b"\xef\xbb\xbfa,b\r\n"]))
def test_no_bytes_break_a_reader(tail: bytes, head: bytes) -> None:
    for read in (read_xlsx, read_csv):
        try:
            rows = read(head + tail)
        except Problem as problem:
            assert problem.status == 422
        else:
            assert len(json.dumps(rows).encode()) < 20_000


REAL = to_xlsx(SOME, "Papan")
TOKENS = [b"", b"<", b"&#0;", b'"', b"\xff", b"A1", b"-1", b"9999999", b"<f/>", b"nan", b"1e999"]
ARCHIVE = zipfile.ZipFile(io.BytesIO(REAL))
INNER = {name: ARCHIVE.read(name) for name in ARCHIVE.namelist()}


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_workbook_changed_anywhere_is_read_or_refused(data: st.DataObject) -> None:
    patch = st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8))
    name = data.draw(st.sampled_from(["", *INNER]))
    of = REAL if name == "" else INNER[name]
    at = data.draw(st.integers(0, len(of) - 1))
    length = data.draw(st.integers(0, 12))
    changed = of[:at] + data.draw(patch) + of[at + length :]
    try:
        rows = read_xlsx(changed if name == "" else packed(INNER | {name: changed}))
    except Problem as problem:
        assert problem.status == 422
    else:
        assert len(rows) <= sheets.IMPORT_ROWS


DANGER = "=+-@\uff1d\uff0b\uff0d\uff20"
NASTY = st.text(st.sampled_from([*DANGER, *" ,;\t\r\n\"'|a1\u200b\ufeff"]), max_size=12)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.fixed_dictionaries({"a": NASTY, "b": NASTY}), min_size=1, max_size=3))
def test_no_text_of_an_export_acts_as_a_formula(rows: list[dict[str, str]]) -> None:
    """Whatever separator the spreadsheet program of an office takes for its own."""
    text = to_csv(rows).decode("utf-8-sig")
    for separator in ",;\t":
        for line in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            for cell in line:
                assert not cell.lstrip(" \u200b\ufeff\t\r\n").startswith(tuple(DANGER)), repr(cell)
    for row in in_openpyxl(to_xlsx(rows, "A")).iter_rows():
        for one in row:
            assert one.data_type != "f"
            assert not str(one.value or "").lstrip().startswith(tuple(DANGER))


def test_numbers_of_an_export_stay_numbers_and_long_digits_stay_whole() -> None:
    rows = [{"n": -5, "f": 0.5, "nik": "9900000000000001", "big": 10**16, "none": None,
             "on": date(2019, 10, 4), "list": ["a"], "bad": float("nan")}]  # fmt: skip
    sheet = in_openpyxl(to_xlsx(rows, "A/B: [x] " + "y" * 40))
    assert [cell.value for cell in sheet[2]] == [
        -5, 0.5, "9900000000000001", "10000000000000000", None, "2019-10-04", '["a"]', "nan",
    ]  # fmt: skip
    assert sheet.title.startswith("A B   x  yyy")
    assert to_csv(rows).splitlines()[1].startswith(b'-5,0.5,"9900000000000001"')
    with pytest.raises(ValueError, match="A2"):
        to_xlsx([{"a": "x" * 32_768}], "A")


def test_the_same_rows_give_the_same_bytes_on_any_day() -> None:
    archive = zipfile.ZipFile(io.BytesIO(to_xlsx(SOME, "A")))
    assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    core = archive.read("docProps/core.xml").decode()
    assert core.count("2000-01-01T00:00:00Z") == 2
    assert to_xlsx(SOME, "A") == to_xlsx(SOME, "A")
    assert to_csv(SOME).startswith(b'\xef\xbb\xbf"initials","origin"')
    assert to_csv([]) == b"\xef\xbb\xbf\r\n"
    assert read_xlsx(to_xlsx([], "")) == []
