"""What people do: a seeded story through the real routes' plans, sealed and decided as in the web.

A request that a crash cut off is sent again under its key, as people's software does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from psycopg import OperationalError

from shared.contracts.values import Identity
from shared.kernel.handling import Outcome, StalePlan, Undecided, Unit
from shared.kernel.store import Conflict, Request, StaleKeys
from shared.runtime import custody
from shared.runtime.manifest import CommandRoute, Desk, Problem
from shared.runtime.rows import Import
from tests.simulation.errands import Kind, Say
from tests.simulation.office import CITY_CODE, PROVINCES, Office, Process

if TYPE_CHECKING:
    from tests.simulation.world import World

Answer = dict[str, Any]
GRANT = 6_000_000
TRIES = 500


@dataclass
class Ledger:
    """What the story knows: who is who, and the money by the bank's references."""

    identities: dict[str, Identity] = field(default_factory=dict)
    credits: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    handovers: dict[str, str] = field(default_factory=dict)
    errands: dict[str, int] = field(default_factory=dict)


class Load:
    def __init__(self, world: World) -> None:
        self.world = world
        self.ledger = Ledger()
        self.requests = 0
        self.refused: dict[str, int] = {}
        self.city = world.offices[CITY_CODE]
        self.story_ended = False

    # How a request is made

    async def post(self, office: Office, staff: str, path: str, body: Mapping[str, Any],
                   **values: str) -> Answer | None:  # fmt: skip
        """The answer; None where it was refused."""
        route = next(one for one in office.service.commands if one.path == path)

        def carried_out(web: Process, key: str) -> Coroutine[Any, Any, Answer]:
            return _carry_out(web, route, body, values, staff, key)

        return await self.ask(office, staff, f"{path} {values}", carried_out)

    async def ask(self, office: Office, staff: str, what: str,
                  carry_out: Callable[[Process, str], Coroutine[Any, Any, Answer]],
                  ) -> Answer | None:  # fmt: skip
        """Asks under a key of its own, again and again until it is answered."""
        self.requests += 1
        key = f"key-{self.requests:05}"
        for _ in range(TRIES):
            web = office.web
            if web is None or web.dead:
                await asyncio.sleep(0.2)
                continue
            task = web.start(carry_out(web, key))
            await asyncio.wait([task])
            if task.cancelled():
                continue
            try:
                answer: Answer = task.result()
            except Problem as problem:
                self.world.note(f"{office.code} refused {what}: {problem.code}")
                self.refused[problem.code] = self.refused.get(problem.code, 0) + 1
                return None
            except (Conflict, Undecided, StaleKeys):
                continue
            except OperationalError:
                await asyncio.sleep(0.1)
                continue
            self.world.note(f"{office.code} did {what}")
            ids = [event["id"] for event in answer["events"]]
            self.world.auditor.accepted.append((office.code, staff, key, ids))
            return answer
        self.world.fail(f"{office.code}: {what} was never answered")
        return None

    async def pause(self) -> None:
        await asyncio.sleep(self.world.chance.choice((0, 0.1, 0.5, 1.0)))

    # The city

    async def run(self) -> None:
        chance, city = self.world.chance, self.city
        await self.post(city, "issuer", "/operations", {
            "operation": "OP-1", "name": "Kegiatan contoh", "site": "53.71.01",
            "planned_departure": "2019-10-04", "grant_rupiah": GRANT,
            "fare_floor_rupiah": 1_500_000, "fare_ceiling_rupiah": 2_000_000,
        })  # fmt: skip
        await self.post(city, "admin", "/authorities", {
            "signatory": "kepala", "position": "Kepala Dinas", "acting": False,
            "decree": "SK/1", "valid_from": "2019-09-01",
        })  # fmt: skip
        work = []
        for number in range(chance.choice((1, 1, 2, 3))):
            office = chance.choice(PROVINCES)
            people = await self.register(office, chance.randint(1, 2))
            handover = f"HO-{number}"
            self.ledger.handovers[handover] = office
            work.append(asyncio.create_task(self.hand_over(handover, office, people)))
            work.append(asyncio.create_task(self.bank(people)))
            if people:
                work.append(asyncio.create_task(self.errand(f"ER-{number}", office, people)))
        for task in work:
            await task
        self.story_ended = True

    async def register(self, office: str, number: int) -> list[str]:
        rows = [
            {
                "initials": "AB", "origin": f"{office}.78", "birth_date": f"199{n}-01-02",
                "sign_of_trafficking": False, "destination": office, "willingness": "SPK/1",
                "name": f"Contoh {office} {n}",
            }
            for n in range(number)
        ]  # fmt: skip
        path = "/operations/{operation}/beneficiaries"
        answer = await self.post(self.city, "intake", path, {"rows": rows}, operation="OP-1")
        people = [row["person"] for row in answer["rows"]] if answer else []
        for person, row in zip(people, rows, strict=True):
            self.ledger.identities[person] = Identity.model_validate(
                {"initials": "AB", "born": row["birth_date"], "name": row["name"]}
            )
        return people

    async def hand_over(self, handover: str, office: str, people: list[str]) -> None:
        chance, city, said = self.world.chance, self.city, {"handover": handover}
        await self.post(city, "issuer", "/handovers", {
            "handover": handover, "operation": "OP-1", "receiving_office": office,
            "planned_departure": "2019-10-04", "transport": "Kapal",
        })  # fmt: skip
        at = "/handovers/{handover}"
        await self.post(city, "issuer", f"{at}/entries", {"persons": people}, **said)
        await self.post(city, "issuer", f"{at}/submission", {}, **said)
        approval = {"signatory": "kepala", "deed_date": "2019-10-04"}
        await self.post(city, "approver", f"{at}/approval", approval, **said)
        await self.pause()
        await self.post(city, "issuer", f"{at}/issue", {"deed_number": f"BAST/{handover}"}, **said)
        await self.pause()
        if chance.random() < 0.3:
            withdrawal = f"{at}/entries/{{person}}/withdrawal"
            reason = {"reason": "Sakit"}
            await self.post(city, "issuer", withdrawal, reason, person=people[0], **said)
        if chance.random() < 0.15:
            back = "/beneficiaries/{person}/willingness-withdrawal"
            await self.post(city, "intake", back, {"reason": "Tidak jadi"}, person=people[-1])
        if chance.random() < 0.1:
            await self.post(city, "issuer", f"{at}/withdrawal", {"reason": "Batal"}, **said)
        await self.post(city, "issuer", f"{at}/departure", {}, **said)
        if chance.random() < 0.15:
            # Somebody sees a sign of trafficking when they have left already.
            shown = "/beneficiaries/{person}/protection-path"
            await self.post(city, "intake", shown, {}, person=people[-1])
        if chance.random() < 0.2:
            wrong = {"reason": "Kapal batal berangkat"}
            await self.post(city, "issuer", f"{at}/departure-correction", wrong, **said)
            await self.pause()
            await self.post(city, "issuer", f"{at}/departure", {}, **said)
        for _ in range(2):
            await asyncio.sleep(2.0)
            if await self.post(city, "issuer", f"{at}/closing", {}, **said) is not None:
                break
        if chance.random() < 0.4:
            await self.again(handover, office, people)

    async def again(self, handover: str, office: str, people: list[str]) -> None:
        """Who did not arrive is sent once more: a second handover that names the first."""
        city, said = self.city, {"handover": f"{handover}-B"}
        self.ledger.handovers[said["handover"]] = office
        await self.post(city, "issuer", "/handovers", {
            "handover": said["handover"], "operation": "OP-1", "receiving_office": office,
            "planned_departure": "2019-10-04", "transport": "Kapal", "predecessor": handover,
        })  # fmt: skip
        at = "/handovers/{handover}"
        body = {"persons": people, "partial": True}
        await self.post(city, "issuer", f"{at}/entries", body, **said)
        await self.post(city, "issuer", f"{at}/submission", {}, **said)
        approval = {"signatory": "kepala", "deed_date": "2019-10-04"}
        await self.post(city, "approver", f"{at}/approval", approval, **said)
        number = {"deed_number": f"BAST/{said['handover']}"}
        await self.post(city, "issuer", f"{at}/issue", number, **said)
        await self.post(city, "issuer", f"{at}/departure", {}, **said)

    async def bank(self, people: list[str]) -> None:
        chance = self.world.chance
        for person in people:
            await self.pause()
            amount = chance.choice((GRANT, GRANT // 2))
            first = f"B/{person}/1"
            await self.credit(person, first, "credited", amount)
            fate = chance.random()
            await self.pause()
            if fate < 0.25:
                await self.credit(person, first, "failed", amount)
                await self.credit(person, f"B/{person}/2", "credited", amount, replaces=first)
            elif fate < 0.5:
                await self.credit(person, first, "returned", amount // 3)
                await self.pause()
                await self.credit(person, first, "returned", amount // 6)

    async def credit(self, person: str, reference: str, status: str, amount: int,
                     **more: str) -> None:  # fmt: skip
        row = {
            "person": person, "reference": reference, "status": status,
            "amount_rupiah": amount, "credited_on": "2019-10-03", **more,
        }  # fmt: skip
        path = "/operations/{operation}/bank-file"
        if await self.post(self.city, "treasurer", path, {"rows": [row]}, operation="OP-1") is None:
            return
        credit = self.ledger.credits.setdefault(person, {}).setdefault(reference, {})
        credit[status] = credit.get(status, 0) + amount

    # What can't be applied, or not yet

    async def errand(self, errand: str, office: str, people: list[str]) -> None:
        """Steps that several provinces say at once, and words that the other end can't read."""
        chance, person = self.world.chance, self.world.chance.choice(people)
        said: list[tuple[str, int, Kind, str]] = []
        if self.world.errands and chance.random() < 0.6:
            steps = chance.randint(2, 4)
            self.ledger.errands[errand] = steps
            said += [(chance.choice(PROVINCES), n + 1, "step", CITY_CODE) for n in range(steps)]
        if self.world.unreadable and chance.random() < 0.5:
            kind: Kind = chance.choice(("of a newer version", "garbled"))
            ends = [(office, CITY_CODE), (CITY_CODE, office)][chance.randrange(2)]
            said.insert(chance.randint(0, len(said)), (ends[0], 1, kind, ends[1]))
        await asyncio.sleep(chance.choice((0, 1.0, 3.0)))
        # Each office says its own in order, and knows nothing of when the others say theirs.
        turns: dict[str, list[tuple[str, int, Kind, str]]] = {}
        for one in said:
            turns.setdefault(one[0], []).append(one)

        async def say_all(own: list[tuple[str, int, Kind, str]]) -> None:
            for one in own:
                await self.say(errand, person, *one)

        await asyncio.gather(*(say_all(own) for own in turns.values()))

    async def say(self, errand: str, person: str, by: str, step: int, kind: Kind, to: str) -> None:
        await self.pause()
        office = self.world.offices[by]

        async def carried_out(web: Process, key: str) -> Answer:
            now = office.clock()
            command = Say(by="pekerja", now=now, occurred_at=now, errand=errand, person=person,
                          step=step, kind=kind, to=to)  # fmt: skip
            return await _decided(web, command, key)

        await self.ask(office, "pekerja", f"say {errand} {step} {kind}", carried_out)

    # A province

    async def receive(self, office: Office) -> None:
        """Works on what was announced to this province, until the story has ended."""
        house = {"house": "RS-1", "name": "Rumah contoh", "capacity": 50}
        await self.post(office, "admin", "/houses", house)
        done: set[str] = set()
        while not self.story_ended or self.waiting(office, done):
            for handover in self.waiting(office, done):
                done.add(handover)
                await self.answer(office, handover)
            await asyncio.sleep(1.0)
        for person in list(self.ledger.identities):
            await self.confirm(office, person)

    def waiting(self, office: Office, done: set[str]) -> list[str]:
        known = office.database.streams
        mine = [h for h, code in self.ledger.handovers.items() if code == office.code]
        return [h for h in mine if h not in done and f"arrival-{h}" in known]

    async def answer(self, office: Office, handover: str) -> None:
        chance, said = self.world.chance, {"handover": handover}
        if chance.random() < 0.1:
            decline = {"reason": "capacity", "explanation": "Rumah penuh"}
            await self.post(office, "reception", "/arrivals/{handover}/decline", decline, **said)
            return
        at = "/arrivals/{handover}/entries/{person}"
        here = {"outcome": "arrived", "house": "RS-1", "willing": True}
        absent = {"outcome": "absent", "absence": "not_on_transport"}
        elsewhere = {"outcome": "diverted", "diverted_to": "53.71"}
        for person in [p for p in self.ledger.identities if self.on(office, handover, p)]:
            body = chance.choice((here, here, here, absent, elsewhere))
            answered = await self.post(office, "reception", f"{at}/answer", body, person=person,
                                       **said)  # fmt: skip
            await self.pause()
            if answered and chance.random() < 0.3:
                other = chance.choice([one for one in (here, absent) if one is not body])
                corrected = other | {"corrects": 1, "reason": "Salah catat"}
                await self.post(office, "reception", f"{at}/correction", corrected, person=person,
                                **said)  # fmt: skip
            elif answered and body is here:
                await self.work_with(office, person)
        if chance.random() < 0.4:
            await self.unlisted(office, handover)

    def on(self, office: Office, handover: str, person: str) -> bool:
        first = office.database.streams[f"arrival-{handover}"][0]
        return person.encode() in first[4]

    async def work_with(self, office: Office, person: str) -> None:
        said = {"person": person}
        await self.post(office, "pekerja", "/cases/{person}/taking", {}, **said)
        wishes = {"potential": "Menjahit", "wish": "Warung", "opportunity": "Pasar"}
        await self.post(office, "pekerja", "/cases/{person}/assessment", wishes, **said)
        if self.world.chance.random() < 0.3:
            await self.post(office, "pekerja", "/cases/{person}/leaving", {}, **said)

    async def unlisted(self, office: Office, handover: str) -> None:
        body = {"initials": "CD", "name": "Contoh Lain", "house": "RS-1", "willing": True}
        path = "/arrivals/{handover}/unlisted"
        answer = await self.post(office, "reception", path, body, handover=handover)
        if answer is None:
            return
        self.ledger.identities[answer["person"]] = Identity(initials="CD", name="Contoh Lain")
        await self.pause()
        if self.world.chance.random() < 0.3:
            path = "/arrivals/{handover}/unlisted/{person}/correction"
            reason = {"reason": "Salah orang"}
            await self.post(office, "reception", path, reason, handover=handover,
                            person=answer["person"])  # fmt: skip

    async def confirm(self, office: Office, person: str) -> None:
        for reference in list(self.ledger.credits.get(person, {})):
            known = office.database.streams.get(f"grant-{person}", ())
            if any(reference.encode() in event[4] for event in known):
                await self.pause()
                path = "/beneficiaries/{person}/grant-confirmations"
                if self.world.chance.random() < 0.2:
                    path = "/beneficiaries/{person}/grant-disputes"
                    body = {"reference": reference, "reason": "Tidak ada"}
                else:
                    body = {"reference": reference}
                await self.post(office, "pekerja", path, body, person=person)


async def _carry_out(
    web: Process, route: CommandRoute, body: Mapping[str, Any], values: dict[str, str],
    staff: str, key: str,
) -> dict[str, Any]:  # fmt: skip
    """One request, in the manner of the web's endpoint. Raises Problem."""
    office = web.office
    for _ in range(20):
        if answered := await web.store.answered(staff, key):
            return answered.response
        now = office.clock()
        settings: Any = SimpleNamespace(office=office.code, partners=office.partners)
        member: Any = SimpleNamespace(username=staff)
        desk = Desk(settings, web.handling, web.vault, office.service, member, now, now)
        form = (Import if route.is_import else route.form).model_validate(body)
        plan = await custody.sealed(desk, await route.plan(desk, form, values))
        answer = dict(plan.answer)

        def request(outcome: Outcome, answer: dict[str, Any] = answer, plan: Any = plan) -> Request:
            answer["events"] = [{"id": event.id} for event in outcome.events]
            if plan.per_unit:
                answer["rows"] = list(plan.per_unit)
            return Request(staff, key, b"", dict(answer))

        try:
            outcome = await web.handling.handle(
                plan.units, at=now, actor=staff, cause=key, planned_on=desk.planned_on,
                all_or_nothing=plan.all_or_nothing,
                request=request,
            )  # fmt: skip
        except StalePlan:
            await asyncio.sleep(0.01)
            continue
        if outcome.refused and (plan.all_or_nothing or not outcome.events):
            refused = outcome.refused[0].refused
            raise Problem(409, refused.code, refused.detail, refused.remedy)
        return answer
    raise Undecided(key)


async def _decided(web: Process, command: Say, key: str) -> Answer:
    """A command of the simulation's own, which no route of a service has."""
    if answered := await web.store.answered(command.by, key):
        return answered.response
    answer: Answer = {}

    def request(outcome: Outcome) -> Request:
        answer["events"] = [{"id": event.id} for event in outcome.events]
        return Request(command.by, key, b"", dict(answer))

    await web.handling.handle(
        [Unit([command])], at=command.now, actor=command.by, cause=key, request=request
    )
    return answer
