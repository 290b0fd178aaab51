"""Tables in and out: rows of a CSV or XLSX file, read and written without harm.

A table from outside may be a bomb, a program or a lie about its size; a table that goes out may be
opened by a program that takes a name for a formula. So XLSX is read here by hand, on the two
parsers that Python brings: whatever is not a plain cell is refused or never looked at, a DTD ends
the reading before an entity can stand in it, and numbers are seen with the digits they are stored
with. Promises: nothing is written to disk, for it would lie there in clear; time and memory are
bounded before and while inflating; a refusal names a cell's place and never what stands in it.
"""

from __future__ import annotations

import csv
import io
import json
import math
import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from xml.parsers import expat

import xlsxwriter  # type: ignore[import-untyped]

from shared.runtime.manifest import Problem

IMPORT_ROWS = 20_000
TABLE_ROWS = 20_000
"""So many rows go out in one table: a workbook is made in memory, beside people who wait."""
COLUMNS = 64
CELL_CHARACTERS = 4_000
TABLE_CHARACTERS = 8_000_000
"""In all cells together: an XLSX can name one long text in each of its cells."""

ENTRIES = 256
INFLATED_BYTES = 32 * 1024 * 1024
RATIO = 100
RATIO_FROM_BYTES = 1024 * 1024
ELEMENTS = 1_500_000
DEPTH = 32
EXACT_BELOW = 10**15
"""Spreadsheets keep fifteen digits of a number; of a longer one the rest is made zero."""

EXTRA_COLUMN = "(kolom berlebih)"
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_STARTS = "=+\\-@\uff1d\uff0b\uff0d\uff20"
_UNSEEN = r"\s\u200b-\u200f\u2060\ufeff"
_FORMULA = re.compile(rf"[{_UNSEEN}]*[{_STARTS}]")
_HARMLESS = re.compile(r"[+-][0-9 ().-]*")
# Where a reader takes `;` for the separator, quotes that began after a comma don't hold.
_FORMULA_WITHIN = re.compile(rf"([;\t\r\n][{_UNSEEN}\"]*)(?=[{_STARTS}])")

_LOCKED = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ACTIVE = re.compile(
    r"vbaproject|vbadata|macrosheets/|dialogsheets/|externallinks/|embeddings/|activex/"
    r"|ctrlprops/|querytables/|connections\.xml|customui|webextensions/"
)
_BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, expat.ExpatError, EOFError, OSError,
    NotImplementedError, RuntimeError, ValueError, LookupError, OverflowError,
)  # fmt: skip
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_PLACE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_NUMBER = re.compile(r"[0-9.eE+-]{1,40}")
_DATE = "date"
_DATE_IDS = {*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)}
_NO_DATE_PART = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]')
_ROW = "/worksheet/sheetData/row"
_CELL = f"{_ROW}/c"
_VALUE = f"{_CELL}/v"
_INLINE = {f"{_CELL}/is/t", f"{_CELL}/is/r/t"}
_SHARED = {"/sst/si/t", "/sst/si/r/t"}


def _too_large(what: str) -> Problem:
    return Problem(
        422, "TABLE_TOO_LARGE", f"Tabelnya terlalu besar: {what}.", "Bagi menjadi beberapa berkas."
    )


def _bomb(what: str) -> Problem:
    return Problem(
        422,
        "XLSX_TOO_LARGE",
        f"Berkas XLSX terlalu besar bila dibuka: {what}.",
        "Salin barisnya saja ke buku kerja baru, atau bagi menjadi beberapa berkas.",
    )


def _unreadable() -> Problem:
    return Problem(
        422,
        "XLSX_UNREADABLE",
        "Berkas ini bukan buku kerja XLSX yang utuh.",
        "Simpan ulang sebagai Excel Workbook (.xlsx) dan kirim lagi.",
    )


def _bad_cell(place: str, what: str) -> Problem:
    return Problem(422, "XLSX_CELL", f"Sel {place} {what}.", "Tulis ulang isi sel itu.")


def _place(row: int, column: int) -> str:
    """A cell as spreadsheets name it; `column` counts from 0."""
    letters, column = "", column + 1
    while column:
        column, letter = divmod(column - 1, 26)
        letters = chr(65 + letter) + letters
    return f"{letters}{row}"


class Table:
    """Rows gathered from a file: the first row that isn't empty names the columns.

    Texts are stripped and empty cells left out. An empty row between others stays, so that rows
    keep their numbers; at the end it falls away.
    """

    def __init__(self, repeated_code: str) -> None:
        self.rows: list[dict[str, Any]] = []
        self._repeated_code = repeated_code
        self._names: dict[int, str] = {}
        self._first = 0
        self._characters = 0

    def add(self, number: int, cells: Iterable[tuple[int, str | bool]]) -> None:
        """Row `number` of the file, from 1; numbers go up. Raises Problem."""
        kept = []
        for column, cell in cells:
            value = self._text(number, column, cell) if isinstance(cell, str) else cell
            if value == "":
                continue
            if column >= COLUMNS:
                raise _too_large(f"lebih dari {COLUMNS} kolom")
            kept.append((column, value))
        if not kept:
            return
        if not self._names:
            self._names = {column: str(value) for column, value in kept}
            self._first = number + 1
            if len(set(self._names.values())) != len(self._names):
                raise Problem(
                    422,
                    self._repeated_code,
                    "Sebuah kolom tertulis dua kali.",
                    "Hapus salah satunya.",
                )
            return
        index = number - self._first
        if index >= IMPORT_ROWS:
            raise _too_large(f"lebih dari {IMPORT_ROWS} baris")
        self.rows.extend({} for _ in range(index - len(self.rows)))
        self.rows.append({self._names.get(column, EXTRA_COLUMN): value for column, value in kept})

    def _text(self, number: int, column: int, cell: str) -> str:
        self._characters += len(cell)
        if len(cell) > CELL_CHARACTERS or self._characters > TABLE_CHARACTERS:
            raise _too_large(f"sel {_place(number, column)} atau teks seluruhnya terlalu panjang")
        text = cell.strip()
        if text.startswith("'") and _FORMULA.match(text, 1):
            text = text[1:].strip()  # What `to_csv` and `to_xlsx` put before it.
        if _CONTROL.search(text):
            raise Problem(
                422,
                "TABLE_CHARACTER",
                f"Sel {_place(number, column)} berisi karakter yang tidak terlihat.",
                "Hapus isi sel itu dan ketik ulang.",
            )
        if _FORMULA.match(text) and not _HARMLESS.fullmatch(text):
            raise Problem(
                422,
                "TABLE_FORMULA_TEXT",
                f"Sel {_place(number, column)} dimulai dengan tanda rumus (= + - @).",
                "Hapus tanda di awal sel itu.",
            )
        return text


def read_xlsx(raw: bytes) -> list[dict[str, Any]]:
    """The rows of a workbook's first sheet; values are text or, of a TRUE/FALSE cell, bool.

    Dates are `YYYY-MM-DD`, whole numbers their digits. Raises Problem (422).
    """
    try:
        return _read(raw)
    except _BROKEN:
        # Without its cause: that could hold what stood in the file.
        raise _unreadable() from None


def _read(raw: bytes) -> list[dict[str, Any]]:
    package = _Package(raw)
    root = package.relations("")
    (book,) = [target for kind, target in root.values() if kind == "officeDocument"]
    sheets: list[dict[str, str]] = []
    settings: dict[str, str] = {}

    def begin(path: str, attributes: dict[str, str]) -> None:
        if path == "/workbook/sheets/sheet":
            sheets.append(attributes)
        elif path == "/workbook/workbookPr":
            settings.update(attributes)

    _walk(package.read(book), begin)
    first = sheets[0] if sheets else {}
    if first.get("state", "visible") != "visible":
        raise Problem(
            422,
            "XLSX_SHEET_HIDDEN",
            "Lembar pertama buku kerja ini tersembunyi.",
            "Tampilkan lembar itu, atau pindahkan lembar yang benar ke urutan pertama.",
        )
    parts = package.relations(book)
    kind, target = parts[next((value for name, value in first.items() if name.endswith(" id")), "")]
    if kind != "worksheet":
        raise _unreadable()
    of_kind = dict(parts.values())
    sheet = _Sheet(
        _shared_strings(package.read(of_kind["sharedStrings"]))
        if "sharedStrings" in of_kind
        else [],
        _formats(package.read(of_kind["styles"])) if "styles" in of_kind else [],
        from_1904=settings.get("date1904") in ("1", "true"),
    )
    _walk(package.read(target), sheet.begin, sheet.finish, {_VALUE, *_INLINE})
    return sheet.table.rows


class _Package:
    """A workbook's parts, inflated one by one in memory, never beyond the bounds.

    What the zip's directory claims is refused before inflating where it is too much, and not
    believed while inflating.
    """

    def __init__(self, raw: bytes) -> None:
        if raw.startswith(_LOCKED):
            raise _locked()
        if not raw.startswith(b"PK\x03\x04"):
            raise _unreadable()
        # Counted in the bytes: zipfile makes an object of each entry before it tells how many.
        if raw.count(b"PK\x01\x02") > ENTRIES:
            raise _bomb("terlalu banyak bagian")
        self._zip = zipfile.ZipFile(io.BytesIO(raw))
        self._left = INFLATED_BYTES
        entries = self._zip.infolist()
        names = {entry.filename.lower() for entry in entries}
        if any(entry.flag_bits & 0x1 for entry in entries):
            raise _locked()
        if len(names) < len(entries) or sum(e.compress_size for e in entries) > len(raw):
            raise _unreadable()
        if sum(entry.file_size for entry in entries) > INFLATED_BYTES:
            raise _bomb(f"lebih dari {INFLATED_BYTES // 1024**2} MB")
        for entry in entries:
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise _unreadable()
            if entry.file_size > max(RATIO_FROM_BYTES, RATIO * entry.compress_size):
                raise _bomb("isinya dimampatkan secara tidak wajar")
        types = self.read("[Content_Types].xml").lower()
        if b"macroenabled" in types or any(_ACTIVE.search(name) for name in names):
            raise _active()

    def read(self, name: str) -> bytes:
        claimed = self._zip.getinfo(name).file_size
        with self._zip.open(name) as part:
            # One byte more than it should have: then its checksum is looked at as well.
            data = part.read(min(claimed, self._left) + 1)
        self._left -= len(data)
        if self._left < 0:
            raise _bomb(f"lebih dari {INFLATED_BYTES // 1024**2} MB")
        return data

    def relations(self, name: str) -> dict[str, tuple[str, str]]:
        """Of the part `name`, or of the whole for "": id → the last word of its type, target."""
        folder, file = posixpath.split(name)
        found = {}

        def begin(path: str, attributes: dict[str, str]) -> None:
            if path != "/Relationships/Relationship":
                return
            if attributes.get("TargetMode") == "External":
                raise _active()
            kind = attributes["Type"].rpartition("/")[2]
            target = posixpath.normpath(posixpath.join("/", folder, attributes["Target"]))
            found[attributes["Id"]] = (kind, target.lstrip("/"))

        _walk(self.read(posixpath.join(folder, "_rels", f"{file}.rels")), begin)
        return found


def _locked() -> Problem:
    return Problem(
        422,
        "XLSX_LOCKED",
        "Berkas ini terkunci kata sandi, atau berformat Excel lama (.xls).",
        "Buka kuncinya dan simpan sebagai Excel Workbook (.xlsx).",
    )


def _active() -> Problem:
    return Problem(
        422,
        "XLSX_ACTIVE",
        "Buku kerja ini berisi makro, tautan ke luar, atau objek tertanam.",
        "Salin barisnya sebagai nilai ke buku kerja baru, dan kirim yang baru.",
    )


def _nothing(_path: str, _text: str) -> None:
    """An end of an element that means nothing."""


def _walk(
    data: bytes,
    begin: Callable[[str, dict[str, str]], None],
    finish: Callable[[str, str], None] = _nothing,
    texts: Iterable[str] = (),
) -> None:
    """Walks over an XML part without building a tree; paths are `/a/b`, without namespaces.

    `finish` gets the text of the paths in `texts`. The part is parsed in one piece, for in many
    pieces an older expat reads a long token from its start with each.
    """
    paths, wanted, words, count = [""], frozenset(texts), list[str](), 0
    parser = expat.ParserCreate("utf-8", " ")
    parser.buffer_text = True

    def refuse(*_: object) -> None:
        raise _unreadable()

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count > ELEMENTS:
            raise _bomb("terlalu banyak sel")
        local = name.rpartition(" ")[2]
        if len(paths) > DEPTH or len(local) > 64:
            raise _unreadable()
        paths.append(f"{paths[-1]}/{local}")
        if paths[-1] in wanted:
            words.clear()
        begin(paths[-1], attributes)

    def text(data: str) -> None:
        if paths[-1] in wanted:
            words.append(data)

    def end(_name: str) -> None:
        path = paths.pop()
        finish(path, "".join(words) if path in wanted else "")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.CharacterDataHandler = text
    parser.EndElementHandler = end
    parser.Parse(data, True)


def _unescaped(text: str) -> str:
    """OOXML writes what XML can't hold as `_x000D_`."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def _shared_strings(data: bytes) -> list[str]:
    strings: list[str] = []
    parts: list[str] = []

    def finish(path: str, text: str) -> None:
        if path in _SHARED:
            parts.append(text)
        elif path == "/sst/si":
            strings.append(_unescaped("".join(parts)))
            parts.clear()

    _walk(data, lambda _path, _attributes: None, finish, _SHARED)
    return strings


def _formats(data: bytes) -> list[str]:
    """Each cell style's number format; whatever shows a date or a time is `_DATE`."""
    codes: dict[str, str] = {str(number): _DATE for number in _DATE_IDS}
    formats: list[str] = []

    def begin(path: str, attributes: dict[str, str]) -> None:
        if path == "/styleSheet/numFmts/numFmt":
            code = attributes["formatCode"].lower()[:255]
            plain = _NO_DATE_PART.sub("", code).replace("general", "")
            codes[attributes["numFmtId"]] = _DATE if re.search("[dmyhs]", plain) else code
        elif path == "/styleSheet/cellXfs/xf":
            formats.append(codes.get(attributes.get("numFmtId", "0"), ""))

    _walk(data, begin)
    return formats


class _Sheet:
    """Takes a worksheet's elements as they come and hands its rows to a table."""

    def __init__(self, strings: list[str], formats: list[str], *, from_1904: bool) -> None:
        self.table = Table("XLSX_HEADER_REPEATED")
        self._strings, self._formats, self._from_1904 = strings, formats, from_1904
        self._row, self._column = 0, -1
        self._cells: list[tuple[int, str | bool]] = []
        self._kind, self._style, self._value = "n", 0, ""
        self._inline: list[str] = []

    def begin(self, path: str, attributes: dict[str, str]) -> None:
        if path == _ROW:
            row = int(attributes.get("r", self._row + 1))
            if not self._row < row <= 2**20:
                raise _unreadable()
            self._row, self._column, self._cells = row, -1, []
        elif path == _CELL:
            self._column = self._next_column(attributes.get("r"))
            self._kind, self._style = attributes.get("t", "n"), int(attributes.get("s", 0))
            self._value, self._inline = "", []
        elif path == f"{_CELL}/f":
            raise Problem(
                422,
                "XLSX_FORMULA",
                f"Sel {_place(self._row, self._column)} berisi rumus.",
                "Salin selnya dan tempel sebagai nilai (Paste Values).",
            )

    def _next_column(self, place: str | None) -> int:
        if place is None:
            return self._column + 1
        found = _PLACE.fullmatch(place)
        if not found or int(found[2]) != self._row:
            raise _unreadable()
        column = 0
        for letter in found[1]:
            column = column * 26 + ord(letter) - 64
        if not self._column < column - 1 < 2**14:
            raise _unreadable()
        return column - 1

    def finish(self, path: str, text: str) -> None:
        if path == _VALUE:
            self._value = text
        elif path in _INLINE:
            self._inline.append(text)
        elif path == _CELL:
            self._cells.append((self._column, self._cell()))
        elif path == _ROW:
            self.table.add(self._row, self._cells)

    def _cell(self) -> str | bool:
        if self._kind == "inlineStr":
            return _unescaped("".join(self._inline))
        if self._value == "":
            return ""
        if self._kind == "s":
            return self._strings[_index(self._value)]
        if self._kind == "str":
            return _unescaped(self._value)
        if self._kind == "b":
            return self._value == "1"
        if self._kind == "d":
            return self._value.removesuffix("T00:00:00")
        if self._kind == "n":
            return self._number(self._value.strip())
        raise _bad_cell(_place(self._row, self._column), "berisi nilai galat seperti #N/A")

    def _number(self, raw: str) -> str:
        if not _NUMBER.fullmatch(raw):
            raise _unreadable()
        value = float(raw)
        code = self._formats[self._style] if 0 <= self._style < len(self._formats) else ""
        if code == _DATE:
            return self._date(value)
        if abs(value) >= EXACT_BELOW:
            raise Problem(
                422,
                "XLSX_LONG_NUMBER",
                f"Sel {_place(self._row, self._column)} berisi angka yang lebih dari 15 digit;"
                " digit terakhirnya sudah diubah Excel.",
                "Format kolom itu sebagai Teks, lalu ketik ulang angkanya.",
            )
        if value.is_integer():
            # A format such as 0000000000 shows zeros in front; they are part of the number.
            return str(int(value)).zfill(len(code) if code.strip("0") == "" else 0)
        return format(value, ".15g")

    def _date(self, value: float) -> str:
        days, seconds = divmod(round(min(max(value, -1), 10**7) * 86_400), 86_400)
        # Day 60 of 1900's calendar is the 29th of February, which was none.
        if not 1 <= days <= 2_957_003 or (days == 60 and not self._from_1904):
            raise _bad_cell(_place(self._row, self._column), "bukan tanggal yang ada")
        base = date(1904, 1, 1) if self._from_1904 else date(1899, 12, 30 if days > 60 else 31)
        day = (base + timedelta(days=days)).isoformat()
        return f"{day}T{timedelta(seconds=seconds)!s:0>8}" if seconds else day


def _index(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,7}", text):
        raise _unreadable()
    return int(text)


def to_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The rows as CSV for spreadsheets: UTF-8 with its mark, no text that acts as a formula.

    The same rows give the same bytes. Spreadsheets shorten long digits in a CSV; XLSX keeps them.
    """
    names, text = _columns(rows), io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n")
    writer.writerow([_safe(name) for name in names])
    writer.writerows([[_flat(row.get(name)) for name in names] for row in rows])
    return text.getvalue().encode("utf-8-sig")


def to_xlsx(rows: Sequence[Mapping[str, Any]], title: str) -> bytes:
    """The rows as a workbook of one sheet named `title`, made in memory.

    The same rows give the same bytes. Raises ValueError for more than a sheet can hold.
    """
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"in_memory": True})
    book.set_properties({"created": datetime(2000, 1, 1, tzinfo=UTC)})
    sheet = book.add_worksheet(
        re.sub(r"[\[\]:*?/\\'\x00-\x1f]", " ", title)[:31].strip() or "Tabel"
    )
    names = _columns(rows)
    lines: list[list[str | int | float]] = [[_safe(name) for name in names]]
    lines.extend([_flat(row.get(name)) for name in names] for row in rows)
    for number, line in enumerate(lines):
        for column, value in enumerate(line):
            write = sheet.write_string if isinstance(value, str) else sheet.write_number
            # It tells by a number, and leaves the cell out.
            if value != "" and write(number, column, value) != 0:
                raise ValueError(f"cell {_place(number + 1, column)} does not fit into a sheet")
    book.close()
    return file.getvalue()


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every name in any row, in the order of first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _flat(value: Any) -> str | int | float:
    """A cell's value: a number that a spreadsheet keeps whole, or safe text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "ya" if value else "tidak"
    if isinstance(value, int | float) and math.isfinite(value) and abs(value) < EXACT_BELOW:
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping | list | tuple):
        value = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return _safe(str(value))


def _safe(text: str) -> str:
    """The text, with an apostrophe before what a spreadsheet would take for a formula (OWASP)."""
    text = _FORMULA_WITHIN.sub(r"\1'", text)
    return f"'{text}" if _FORMULA.match(text) or text[:1] in ("\t", "\r", "\n") else text
