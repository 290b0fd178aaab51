"""STS: what is left of travel money goes back to the treasury. Looked at before it is recorded."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from services.city.domain.treasury import RecordTreasuryReturn
from services.city.projections import holdings
from services.city.web.reads import MONEY
from services.city.web.screens.money import today
from services.city.web.screens.travel import PARTS, due_of
from shared.runtime import problems
from shared.runtime.forms import form_of
from shared.runtime.manifest import Desk, Problem
from shared.runtime.screens.fields import AMOUNT
from shared.runtime.screens.paging import PAGE_ROWS, offset_of, page_of
from shared.runtime.screens.screen import Act, Files, Loaded, Screen, Texts

SHARES = 1_000
SHOWN = 100
FIELDS = ("sts", "bank_validation", "deposited_on")
FORM = form_of(RecordTreasuryReturn, frozenset())
_LINE = re.compile(r"(\S+)[\s,;:]+(?:Rp\.? ?)?(\S+)", re.IGNORECASE)


async def sts(desk: Desk, given: dict[str, str]) -> Loaded | None:
    connection, operation = desk.reading, given["operation"]
    found = await holdings.entitlement(connection, operation)
    if found is None:
        return None
    states = await holdings.advance_states(connection, operation)
    everybody = given.get("semua") == "ya"
    wanted = ("unspent", "surplus") if everybody else ("surplus",)
    left = await holdings.left_over(connection, operation, wanted, SHARES)
    recorded = await holdings.papers(connection, operation, PAGE_ROWS, offset_of(given))
    return {
        "operation": found,
        "sums": {part: sum(one[part] for one in states.values()) for part in PARTS},
        "states": states,
        "everybody": everybody,
        "left": left,
        "left_rupiah": sum(one["outstanding_rupiah"] for one in left),
        "waiting": sum(states[one]["persons"] for one in wanted if one in states),
        "due": due_of(desk, states),
        "today": today(desk),
        "page": page_of(recorded, given),
    }


def body(sent: Texts) -> dict[str, Any]:
    """The command's body; a line of shares that can't be read stays as it was typed."""
    texts = {name: (values or [""])[-1].strip() for name, values in sent.items()}
    made: dict[str, Any] = {name: texts[name] for name in FIELDS if texts.get(name)}
    made["operation"] = texts.get("operation", "")
    total = texts.get("total_rupiah", "")
    if total:
        made["total_rupiah"] = _amount(total)
    made["shares"] = [
        {"person": found[1].upper(), "amount_rupiah": _amount(found[2])}
        if (found := _LINE.fullmatch(line.strip()))
        else line.strip()
        for line in texts.get("shares", "").splitlines()
        if line.strip()
    ]
    return made


def _amount(text: str) -> int | str:
    bare = re.sub(r"(?i)^rp\.? ?", "", text)
    return int(bare.replace(".", "")) if AMOUNT.fullmatch(bare) else text


async def check(desk: Desk, sent: Texts, files: Files) -> Loaded:
    """What would be recorded, with its sum against the bank's. Raises Problem (422)."""
    made = body(sent)
    try:
        form: Any = FORM.model_validate(made)
    except ValidationError as error:
        raise Problem(
            422,
            "INVALID_INPUT",
            "Ada isian yang belum benar.",
            "Perbaiki isian yang disebut di bawah, lalu periksa lagi.",
            _errors(error),
        ) from None
    total = sum(one.amount_rupiah for one in form.shares)
    twice = len(form.shares) - len({one.person for one in form.shares})
    return {
        "preview": {
            "form": form,
            "total": total,
            "differs": total - form.total_rupiah,
            "twice": twice,
            "shown": form.shares[:SHOWN],
            "shares": "\n".join(f"{one.person} {one.amount_rupiah}" for one in form.shares),
        }
    }


def _errors(error: ValidationError) -> list[dict[str, Any]]:
    """Of a bad line its number, under the field that it was typed in."""
    found: dict[str, dict[str, Any]] = {}
    for one in problems.field_errors(error.errors()):
        name, _, rest = one["where"].partition(".")
        number = rest.partition(".")[0]
        said = one["message"]
        if name == "shares" and number.isdigit():
            said = f"baris {int(number) + 1} belum berbentuk kode PM lalu rupiah"
        found.setdefault(name, {"where": name, "message": said})
    return list(found.values())


STS = Screen(
    "/uang/{operation}/sts",
    "sts.html",
    MONEY,
    sts,
    acts={"record": Act("/treasury-returns", "/uang/{operation}/sts", body)},
    previews={"check": check},
    optional=("semua", "halaman"),
)
