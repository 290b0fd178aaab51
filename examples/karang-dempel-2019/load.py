"""Loads the case of 2019 through the offices' public APIs, as their staff would.

Every request has an idempotency key of its own, so that loading again changes nothing.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, Protocol

HERE = Path(__file__).resolve().parent
CASE: dict[str, Any] = json.loads((HERE / "case.json").read_text())
OPERATION = CASE["operation"]["operation"]


class Office(Protocol):
    """Whatever can speak to one office as a member of its staff."""

    def get(self, role: str, path: str) -> Any: ...
    def post(self, role: str, path: str, key: str, body: dict[str, Any]) -> Any: ...


def table(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(newline="") as file:
        return list(csv.DictReader(file))


def load(city: Office, provinces: dict[str, Office]) -> None:
    """The whole case: claims, intake, money, handovers, arrivals, preparation, surplus."""
    _open(city)
    persons = _intake(city)
    money = table("money.csv")
    _grants(city, persons, money)
    _advances(city, persons, money)
    for handover in CASE["handovers"]:
        _hand_over(city, handover, persons)
    for handover in CASE["handovers"]:
        _receive(provinces[handover["receiving_office"]], handover, persons)
    _prepare(provinces["53"], [persons[row] for row in range(59, 64)], money)
    _surplus(city, persons, money)


def _open(city: Office) -> None:
    city.post("admin", "/authorities", "kd2019-authority", CASE["authority"])
    city.post("issuer", "/operations", "kd2019-operation", CASE["operation"])
    for number, claim in enumerate(CASE["claims"], 1):
        city.post("issuer", f"/operations/{OPERATION}/claims", f"kd2019-claim-{number}", claim)


def _intake(city: Office) -> dict[int, str]:
    """The codes that the city drew, by row of intake.csv."""
    rows = []
    for row in table("intake.csv"):
        filled: dict[str, Any] = {name: value for name, value in row.items() if value}
        rows.append(filled | {"sign_of_trafficking": False})
    answer = city.post(
        "intake",
        f"/operations/{OPERATION}/beneficiaries",
        "kd2019-intake",
        {"rows": rows, "occurred_at": "2019-10-01T10:00:00+08:00"},
    )
    return {entry["row"]: entry["person"] for entry in answer["rows"]}


def _grants(city: Office, persons: dict[int, str], money: list[dict[str, str]]) -> None:
    """Credited two days before departure; one credit fails and is paid again."""
    path = f"/operations/{OPERATION}/bank-file"
    rows = [
        {
            "person": persons[int(row["row"])],
            "reference": row["credit_reference"],
            "status": "credited",
            "amount_rupiah": int(row["grant_rupiah"]),
            "credited_on": CASE["credited_on"],
        }
        for row in money
    ]
    occurred = {"occurred_at": f"{CASE['credited_on']}T09:00:00+08:00"}
    city.post("treasurer", path, "kd2019-bank-1", {"rows": rows} | occurred)
    failed = CASE["failed"]
    again = rows[failed["row"] - 1]
    second = [
        again | {"status": "failed", "reason": failed["reason"]},
        again
        | {
            "reference": failed["replacement"],
            "credited_on": failed["credited_on"],
            "replaces": failed["reference"],
        },
    ]
    occurred = {"occurred_at": f"{failed['credited_on']}T09:00:00+08:00"}
    city.post("treasurer", path, "kd2019-bank-2", {"rows": second} | occurred)


def _advances(city: Office, persons: dict[int, str], money: list[dict[str, str]]) -> None:
    """The fare's ceiling released for each who travels, then the fares with their receipts."""
    advance = CASE["advance"]
    travels = [row for row in money if int(row["row"]) <= 63]
    rows = [
        {
            "person": persons[int(row["row"])],
            "release": f"{advance['release_prefix']}/{int(row['row']):03d}",
            "budget_code": advance["budget_code"],
            "amount_rupiah": advance["amount_rupiah"],
        }
        for row in travels
    ]
    city.post(
        "treasurer",
        f"/operations/{OPERATION}/advances",
        "kd2019-advances",
        {"rows": rows, "occurred_at": "2019-10-03T09:00:00+08:00"},
    )
    for row in travels:
        if row["fare_rupiah"]:
            city.post(
                "treasurer",
                f"/beneficiaries/{persons[int(row['row'])]}/fares",
                f"kd2019-fare-{row['row']}",
                {
                    "receipt": row["receipt"],
                    "amount_rupiah": int(row["fare_rupiah"]),
                    "occurred_at": "2019-10-03T14:00:00+08:00",
                },
            )


def _hand_over(city: Office, handover: dict[str, Any], persons: dict[int, str]) -> None:
    code, office = handover["handover"], handover["receiving_office"]
    going = [
        persons[number]
        for number, row in enumerate(table("intake.csv"), 1)
        if row["destination"] == office
    ]
    city.post(
        "issuer",
        "/handovers",
        f"kd2019-{code}-draft",
        {
            "handover": code,
            "operation": OPERATION,
            "receiving_office": office,
            "planned_departure": CASE["operation"]["planned_departure"],
            "transport": handover["transport"],
            "occurred_at": "2019-10-03T10:00:00+08:00",
        },
    )
    for role, step, body, at in (
        ("issuer", "entries", {"persons": going}, "2019-10-03T10:30:00+08:00"),
        ("issuer", "submission", {}, "2019-10-03T11:00:00+08:00"),
        (
            "approver",
            "approval",
            {"signatory": CASE["authority"]["signatory"], "deed_date": CASE["deed_date"]},
            "2019-10-04T06:30:00+08:00",
        ),
        (
            "issuer",
            "issue",
            {"deed_number": handover["deed_number"]},
            "2019-10-04T07:00:00+08:00",
        ),
        ("issuer", "departure", {}, handover["departed_at"]),
    ):
        city.post(
            role,
            f"/handovers/{code}/{step}",
            f"kd2019-{code}-{step}",
            body | {"occurred_at": at},
        )


def _receive(province: Office, handover: dict[str, Any], persons: dict[int, str]) -> None:
    """Waits for the announcement, then answers for each person; example data, not reported."""
    code, house = handover["handover"], handover["house"]
    province.post("admin", "/houses", f"kd2019-{house['house']}", house)
    entries = _announced(province, code)
    absent = persons[CASE["absent"]["row"]]
    at = {"occurred_at": handover["arrived_at"]}
    for entry in entries:
        answer: dict[str, Any] = (
            {"outcome": "absent", "absence": CASE["absent"]["absence"]}
            if entry["person"] == absent
            else {"outcome": "arrived", "house": house["house"], "willing": True}
        )
        province.post(
            "reception",
            f"/arrivals/{code}/entries/{entry['person']}/answer",
            f"kd2019-{entry['person']}-answer",
            answer | at,
        )
    unlisted = CASE["unlisted"]
    if unlisted["handover"] == code:
        province.post(
            "reception",
            f"/arrivals/{code}/unlisted",
            "kd2019-unlisted",
            {"initials": unlisted["initials"], "house": unlisted["house"], "willing": True} | at,
        )


def _announced(province: Office, code: str) -> list[dict[str, Any]]:
    """The handover's listed entries, once it has come over the link."""
    import time

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        known = {arrival["handover"] for arrival in province.get("reception", "/arrivals")}
        if code in known:
            entries = province.get("reception", f"/arrivals/{code}")["entries"]
            return [entry for entry in entries if entry["listed"]]
        time.sleep(0.1)
    raise TimeoutError(f"{code} was not announced within a minute")


def _prepare(province: Office, persons: list[str], money: list[dict[str, str]]) -> None:
    """The five of NTT: assessed, offered trainings, none to three chosen; grants confirmed."""
    trainings = CASE["trainings"]
    references = {int(row["row"]): row["credit_reference"] for row in money}
    for number, person in enumerate(persons):
        steps: list[tuple[str, dict[str, Any]]] = [
            (f"/cases/{person}/taking", {}),
            (
                f"/cases/{person}/assessment",
                {"potential": "Contoh", "wish": "Contoh", "opportunity": "Contoh"},
            ),
            (f"/cases/{person}/offers", {"offers": trainings}),
            (f"/cases/{person}/choice", {"chosen": trainings[: number % 4]}),
            (
                f"/beneficiaries/{person}/grant-confirmations",
                {"reference": references[59 + number]},
            ),
        ]
        for step, (path, body) in enumerate(steps):
            province.post("case_worker", path, f"kd2019-{person}-prepare-{step}", body)


def _surplus(city: Office, persons: dict[int, str], money: list[dict[str, str]]) -> None:
    """What was released and not spent goes back to the city treasury, in one STS."""
    released = CASE["advance"]["amount_rupiah"]
    shares = [
        {"person": persons[int(row["row"])], "amount_rupiah": rest}
        for row in money
        if int(row["row"]) <= 63 and (rest := released - int(row["fare_rupiah"] or 0))
    ]
    city.post(
        "treasurer",
        "/treasury-returns",
        "kd2019-sts",
        CASE["sts"]
        | {
            "operation": OPERATION,
            "total_rupiah": sum(int(share["amount_rupiah"]) for share in shares),
            "shares": shares,
            "occurred_at": "2019-10-18T10:00:00+08:00",
        },
    )
