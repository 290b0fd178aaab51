"""The steady load: staff of three offices who go on working whatever breaks.

Each request is repeated with its own idempotency key until there is an answer, as an office would
do it. What was accepted goes into the ledger. Every command is one that the rules allow, so a
refusal is a violation, as is a request that nobody answers within a minute.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

from tests.chaos.checker import CITY, Ledger, Sent
from tests.chaos.offices import PROVINCES, Offices

ANSWER_SECONDS = 60.0
REQUEST_SECONDS = 8.0
CASES_AN_OPERATION = 6
PAUSE_SECONDS = 0.04
LOOK_SECONDS = 0.4
GRANT = 6_000_000
ADVANCE = 2_000_000
FARE = 1_700_000


class Unanswered(Exception):
    """A command that was refused, or found no answer: this desk's work ends with it."""


class Desk:
    """One member of staff at work: sends, repeats, and notes what was accepted."""

    def __init__(self, load: Load, code: str, seed: str) -> None:
        self.load = load
        self.office = load.offices.by_code[code]
        self.rng = random.Random(seed)
        self.name = seed
        self.number = 0
        self.http = httpx.Client(base_url=f"{self.office.base_url}/api/v1", timeout=REQUEST_SECONDS)

    def post(self, role: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a command, asked for until it comes. Raises Unanswered."""
        self.number += 1
        key = f"chaos-{self.name}-{self.number}"
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            response = self._once(role, path, key, body)
            if response is not None and response.status_code < 500:
                break
            self.load.count("requests_repeated")
            if time.monotonic() > deadline:
                raise Unanswered(f"{self.office.code}: no answer to {path} in {ANSWER_SECONDS} s")
            time.sleep(0.1)
        if not response.is_success:
            raise Unanswered(f"{self.office.code}: {path} refused: {response.text[:400]}")
        answer: dict[str, Any] = response.json()
        if response.status_code == 200:
            self.load.count("answers_from_memory")
        with self.load.lock:
            ledger, code = self.load.ledger, self.office.code
            ledger.events.setdefault(code, []).extend(one["id"] for one in answer["events"])
            ledger.requests.setdefault(code, set()).add((role, key))
            self.load.counts["commands_accepted"] += 1
        if self.rng.random() < 0.08:
            self._ask_again(role, path, key, body, answer)
        time.sleep(PAUSE_SECONDS * self.load.pace)
        return answer

    def _once(self, role: str, path: str, key: str, body: dict[str, Any]) -> httpx.Response | None:
        token = self.office.tokens[role]
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
        try:
            return self.http.post(path, json=body, headers=headers)
        except httpx.HTTPError:
            return None

    def _ask_again(
        self, role: str, path: str, key: str, body: dict[str, Any], answer: dict[str, Any]
    ) -> None:
        """The same request once more must be answered the same, and change nothing."""
        response = self._once(role, path, key, body)
        if response is None or response.status_code >= 500:
            return
        self.load.count("repeated_on_purpose")
        if response.status_code != 200 or response.json()["events"] != answer["events"]:
            self.load.violation(f"{self.office.code}: {path} repeated, and answered otherwise")

    def get(self, role: str, path: str) -> Any:
        """What is read, or None where the office can't be reached just now."""
        try:
            response = self.http.get(
                path, headers={"Authorization": f"Bearer {self.office.tokens[role]}"}
            )
        except httpx.HTTPError:
            return None
        return response.json() if response.is_success else None


class Load:
    """All desks, each a thread. `start` and `stop` as often as wanted; the ledger stays."""

    def __init__(self, offices: Offices, seed: int) -> None:
        self.offices = offices
        self.ledger = Ledger()
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self.lock = threading.Lock()
        self.pace = 1.0
        self.stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._cities = [City(Desk(self, CITY, f"{seed}-c{n}")) for n in range(2)]
        self._provinces = [Province(Desk(self, code, f"{seed}-p{code}")) for code in PROVINCES]

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1

    def violation(self, sentence: str) -> None:
        with self.lock:
            self.violations.append(sentence)

    def open(self) -> None:
        """What has to stand before anybody can be handed over."""
        self._cities[0].desk.post("admin", "/authorities", AUTHORITY)

    def start(self) -> None:
        self.stopping.clear()
        turns: list[Callable[[], None]] = [one.turn for one in self._cities]
        turns += [one.turn for one in self._provinces]
        self._threads = [threading.Thread(target=self._work, args=[turn]) for turn in turns]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends when every request that was begun has its answer."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(ANSWER_SECONDS + 30)
            if thread.is_alive():
                self.violation("a desk did not come to an end")
        self._threads = []

    def _work(self, turn: Callable[[], None]) -> None:
        while not self.stopping.is_set():
            try:
                turn()
            except Unanswered as why:
                self.violation(str(why))
                return
            except Exception as error:
                # A fault of the harness must not pass for silence.
                self.violation(f"the load failed: {error!r}")
                return


AUTHORITY = {
    "signatory": "kepala",
    "position": "Kepala Dinas",
    "acting": False,
    "decree": "SK/1",
    "valid_from": "2019-01-01",
    "valid_until": "2019-12-31",
}


class City:
    """Opens operations, takes people in, pays, drafts, submits, approves, issues, departs."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.cases = 0
        self.operation = ""

    def turn(self) -> None:
        rng = self.desk.rng
        self.case(rng.choice(PROVINCES), rng.randint(2, 4), departs=rng.random() < 0.85)

    def case(self, office: str, persons: int, *, departs: bool) -> None:
        """One handover from the intake on. It is taken to its end also when the load stops."""
        desk, ledger, lock = self.desk, self.desk.load.ledger, self.desk.load.lock
        if self.cases % CASES_AN_OPERATION == 0:
            self.operation = f"OP-{desk.name}-{self.cases}"
            desk.post("issuer", "/operations", self._operation())
        self.cases += 1
        handover = f"HO-{desk.name}-{self.cases}"
        people = self._intake(office, persons)
        if persons > 4 or desk.rng.random() < 0.6:
            self._grants(people)
        if desk.rng.random() < 0.4:
            self._fares(people[0])
        desk.post(
            "issuer",
            "/handovers",
            {
                "handover": handover,
                "operation": self.operation,
                "receiving_office": office,
                "planned_departure": "2019-10-04",
                "transport": "Kapal",
            },
        )
        desk.post("issuer", f"/handovers/{handover}/entries", {"persons": people})
        with lock:
            ledger.handovers[handover] = Sent(self.operation, office, people)
        desk.post("issuer", f"/handovers/{handover}/submission", {})
        desk.post(
            "approver",
            f"/handovers/{handover}/approval",
            {"signatory": "kepala", "deed_date": "2019-10-04"},
        )
        desk.post("issuer", f"/handovers/{handover}/issue", {"deed_number": f"BAST/{handover}"})
        with lock:
            ledger.handovers[handover].phase = "issued"
        if departs:
            desk.post("issuer", f"/handovers/{handover}/departure", {})
            with lock:
                ledger.handovers[handover].phase = "departed"

    def _operation(self) -> dict[str, Any]:
        return {
            "operation": self.operation,
            "name": "Kegiatan contoh",
            "site": "53.71.01",
            "planned_departure": "2019-10-04",
            "grant_rupiah": GRANT,
            "fare_floor_rupiah": 1_500_000,
            "fare_ceiling_rupiah": ADVANCE,
        }

    def _intake(self, office: str, persons: int) -> list[str]:
        row = {
            "initials": "AB",
            "origin": "35.78",
            "birth_date": "1990-01-02",
            "sign_of_trafficking": False,
            "destination": office,
            "willingness": "SPK/1",
        }
        answer = self.desk.post(
            "intake", f"/operations/{self.operation}/beneficiaries", {"rows": [row] * persons}
        )
        people = [one["person"] for one in answer["rows"]]
        with self.desk.load.lock:
            self.desk.load.ledger.persons |= dict.fromkeys(people, self.operation)
        return people

    def _grants(self, people: list[str]) -> None:
        rows = [
            {
                "person": person,
                "reference": f"KMS-{person}",
                "status": "credited",
                "amount_rupiah": GRANT,
                "credited_on": "2019-10-02",
            }
            for person in people
        ]
        self.desk.post("treasurer", f"/operations/{self.operation}/bank-file", {"rows": rows})
        with self.desk.load.lock:
            credits = {(person, f"KMS-{person}"): GRANT for person in people}
            self.desk.load.ledger.credits |= credits

    def _fares(self, person: str) -> None:
        row = {
            "person": person,
            "release": f"SP2D/{person}",
            "budget_code": "5.1.02",
            "amount_rupiah": ADVANCE,
        }
        desk, ledger = self.desk, self.desk.load.ledger
        desk.post("treasurer", f"/operations/{self.operation}/advances", {"rows": [row]})
        with desk.load.lock:
            ledger.released[person] = ADVANCE
        fare = {"receipt": f"KW/{person}", "amount_rupiah": FARE}
        desk.post("treasurer", f"/beneficiaries/{person}/fares", fare)
        with desk.load.lock:
            ledger.spent[person] = FARE


class Province:
    """Answers for everybody of each handover that has departed; some are absent, some unlisted."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.done: set[str] = set()

    def turn(self) -> None:
        for arrival in self.desk.get("auditor", "/arrivals") or ():
            handover = arrival["handover"]
            if handover in self.done or arrival["departed_at"] is None:
                continue
            known = self.desk.get("auditor", f"/arrivals/{handover}")
            if known is None:
                continue
            self.done.add(handover)
            self._answer(handover, [one["person"] for one in known["entries"]])
            if self.desk.load.stopping.is_set():
                return
        time.sleep(LOOK_SECONDS)

    def _answer(self, handover: str, people: list[str]) -> None:
        desk, rng, load = self.desk, self.desk.rng, self.desk.load
        house = f"RS-{handover}"
        desk.post("admin", "/houses", {"house": house, "name": "Contoh", "capacity": 200})
        arrived = {"outcome": "arrived", "house": house, "willing": True}
        absent = {"outcome": "absent", "absence": "not_on_transport"}
        for person in people[:8]:
            path = f"/arrivals/{handover}/entries/{person}"
            answer = absent if rng.random() < 0.25 else arrived
            desk.post("reception", f"{path}/answer", answer)
            outcomes = load.ledger.answers.setdefault((handover, person), [])
            outcomes.append(str(answer["outcome"]))
            if answer is absent and rng.random() < 0.4:
                more = {"corrects": 1, "reason": "Tiba kemudian"}
                desk.post("reception", f"{path}/correction", arrived | more)
                outcomes.append("arrived")
            reference = f"KMS-{person}"
            with load.lock:
                credited = (person, reference) in load.ledger.credits
            if outcomes[-1] == "arrived" and credited and rng.random() < 0.5:
                confirm = f"/beneficiaries/{person}/grant-confirmations"
                desk.post("case_worker", confirm, {"reference": reference})
                with load.lock:
                    load.ledger.confirmed.add((person, reference))
        if rng.random() < 0.2:
            body = {"initials": "CD", "house": house, "willing": True}
            made = desk.post("reception", f"/arrivals/{handover}/unlisted", body)
            with load.lock:
                load.ledger.unlisted.add((handover, made["person"]))
