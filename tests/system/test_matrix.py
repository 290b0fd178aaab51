"""Who may do what: every address of both kinds of office, every role, decided by hand below.

The tables say for each address which roles it opens to. They are compared with what the running
offices offer, so that a new address fails here until somebody has decided about it. Whoever is
refused is refused before her body is looked at, and nothing is recorded. What a province holds of
its people opens to no other office's staff, and lies in nothing that another province gets.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from redis.asyncio import Redis

from shared.runtime import sessions, staff
from shared.runtime.staff import ROLES_OF, Kind
from tests import pdf
from tests.servers import Servers
from tests.system import story
from tests.system.offices import Desk, eventually, three_offices

pytestmark = pytest.mark.xdist_group("matrix")

# One line an address: the method, the address, and the roles that it opens to. "anybody" needs no
# account, "staff" is every account of the office.
SIGNING_IN = """
GET    /health/live                                             anybody
GET    /health/ready                                            anybody
GET    /masuk                                                   anybody
POST   /masuk                                                   anybody
GET    /masuk/oidc                                              anybody
POST   /masuk/oidc                                              anybody
GET    /masuk/oidc/kembali                                      anybody
GET    /periksa                                                 anybody
POST   /api/v1/sessions                                         anybody

GET    /                                                        staff
GET    /openapi.json                                            staff
GET    /metrics                                                 operator admin auditor
GET    /kata-sandi                                              staff
POST   /kata-sandi                                              staff
POST   /keluar                                                  staff
DELETE /api/v1/sessions                                         staff
DELETE /api/v1/sessions/current                                 staff
GET    /api/v1/status                                           staff
GET    /api/v1/links                                            staff
GET    /api/v1/deliveries                                       operator admin auditor
GET    /api/v1/parked                                           operator admin auditor
GET    /api/v1/history/{subject}                                admin auditor
GET    /api/v1/changes                                          admin auditor
"""
OVERSIGHT = """
POST   /api/v1/beneficiaries/{person}/erasure-approval          approver
POST   /api/v1/beneficiaries/{person}/erasure-rejection         approver
POST   /api/v1/beneficiaries/{person}/hold                      approver
POST   /api/v1/beneficiaries/{person}/hold-end                  approver
POST   /api/v1/break-glass/{break_glass}/review                 auditor
GET    /api/v1/break-glass                                      auditor approver
GET    /api/v1/break-glass/reasons                              auditor
GET    /api/v1/looks                                            auditor
GET    /api/v1/looks/alarms                                     auditor approver
GET    /api/v1/erasures                                         approver auditor admin
GET    /api/v1/erasures/{person}/certificate                    approver auditor admin
GET    /api/v1/holds                                            approver auditor admin
GET    /api/v1/equations                                        auditor
GET    /api/v1/retention                                        approver auditor admin

POST   /bahasa                                                  staff
GET    /pemeriksaan                                             auditor admin
GET    /riwayat/{subject}                                       auditor admin
POST   /riwayat/{subject}                                       auditor admin
GET    /perubahan                                               auditor admin
GET    /persamaan                                               auditor
POST   /persamaan                                               auditor
GET    /pencocokan                                              auditor admin
POST   /pencocokan                                              auditor admin
GET    /bukti-log                                               operator auditor admin
GET    /penghapusan                                             approver auditor admin
GET    /penghapusan/{person}                                    approver auditor admin
POST   /penghapusan/{person}                                    approver auditor admin
GET    /penahanan                                               approver auditor admin
POST   /penahanan                                               approver auditor admin
GET    /masa-simpan                                             approver auditor admin
GET    /akses-darurat                                           approver auditor
POST   /akses-darurat                                           approver auditor
GET    /pembukaan                                               auditor
GET    /pencarian                                               auditor
GET    /pembukaan-tidak-biasa                                   approver auditor
GET    /tautan                                                  operator auditor admin
GET    /tautan/pesan                                            operator auditor admin
GET    /tautan/tertahan                                         operator auditor admin
POST   /tautan/tertahan                                         operator auditor admin
"""
AT_THE_CITY = """
GET    /baca                                                    staff
GET    /kabar                                                   staff
GET    /usul-penghapusan                                        intake issuer
POST   /usul-penghapusan                                        intake issuer
GET    /kegiatan                                                intake issuer approver treasurer auditor
POST   /kegiatan                                                intake issuer approver treasurer auditor
GET    /kegiatan/{operation}                                    intake issuer approver treasurer auditor
POST   /kegiatan/{operation}                                    intake issuer approver treasurer auditor
GET    /kegiatan/{operation}/orang                              intake issuer approver treasurer auditor
GET    /penerima-manfaat/{person}                               intake issuer approver treasurer auditor
POST   /penerima-manfaat/{person}                               intake issuer approver treasurer auditor
GET    /kegiatan/{operation}/daftarkan                          intake
POST   /kegiatan/{operation}/daftarkan                          intake
GET    /kegiatan/{operation}/impor                              intake
POST   /kegiatan/{operation}/impor                              intake
GET    /kegiatan/{operation}/impor/contoh                       intake
GET    /serah-terima                                            intake issuer approver treasurer auditor
GET    /serah-terima/baru                                       issuer
POST   /serah-terima/baru                                       issuer
GET    /serah-terima/{handover}/pilih                           issuer
POST   /serah-terima/{handover}/pilih                           issuer
GET    /serah-terima/{handover}                                 intake issuer approver treasurer auditor
POST   /serah-terima/{handover}                                 intake issuer approver treasurer auditor
GET    /kewenangan                                              intake issuer approver treasurer auditor admin
POST   /kewenangan                                              intake issuer approver treasurer auditor admin

GET    /uang                                                    treasurer approver auditor
GET    /penerima-manfaat/{person}/uang                          treasurer approver auditor
POST   /penerima-manfaat/{person}/uang                          treasurer approver auditor
GET    /uang/{operation}/bantuan                                treasurer approver auditor
GET    /uang/{operation}/bantuan/impor                          treasurer
POST   /uang/{operation}/bantuan/impor                          treasurer
GET    /uang/{operation}/bantuan/impor/contoh                   treasurer
GET    /uang/{operation}/tiket                                  treasurer approver auditor
GET    /uang/{operation}/tiket/cairkan                          treasurer
POST   /uang/{operation}/tiket/cairkan                          treasurer
GET    /uang/{operation}/tiket/cairkan/contoh                   treasurer
GET    /uang/{operation}/tiket/kuitansi                         treasurer
POST   /uang/{operation}/tiket/kuitansi                         treasurer
GET    /uang/{operation}/tiket/kuitansi/contoh                  treasurer
GET    /uang/{operation}/sts                                    treasurer approver auditor
POST   /uang/{operation}/sts                                    treasurer approver auditor

POST   /api/v1/operations                                       issuer
POST   /api/v1/operations/{operation}/claims                    issuer
POST   /api/v1/operations/{operation}/explanations              approver
POST   /api/v1/authorities                                      admin
POST   /api/v1/authority-ends                                   admin

POST   /api/v1/operations/{operation}/beneficiaries             intake
POST   /api/v1/beneficiaries/{person}/destination               intake
POST   /api/v1/beneficiaries/{person}/willingness               intake
POST   /api/v1/beneficiaries/{person}/willingness-withdrawal    intake
POST   /api/v1/beneficiaries/{person}/protection-path           intake
POST   /api/v1/lookups                                          intake
POST   /api/v1/beneficiaries/{person}/break-glass               intake issuer
POST   /api/v1/beneficiaries/{person}/erasure                   intake issuer

POST   /api/v1/handovers                                        issuer
POST   /api/v1/handovers/{handover}/entries                     issuer
POST   /api/v1/handovers/{handover}/entries/{person}/withdrawal issuer
POST   /api/v1/handovers/{handover}/submission                  issuer
POST   /api/v1/handovers/{handover}/return                      approver
POST   /api/v1/handovers/{handover}/approval                    approver
POST   /api/v1/handovers/{handover}/issue                       issuer
POST   /api/v1/handovers/{handover}/departure                   issuer
POST   /api/v1/handovers/{handover}/departure-correction        issuer
POST   /api/v1/handovers/{handover}/withdrawal                  issuer
POST   /api/v1/handovers/{handover}/closing                     issuer

POST   /api/v1/operations/{operation}/bank-file                 treasurer
POST   /api/v1/operations/{operation}/advances                  treasurer
POST   /api/v1/operations/{operation}/fares                     treasurer
POST   /api/v1/beneficiaries/{person}/fares                     treasurer
POST   /api/v1/beneficiaries/{person}/fare-corrections          treasurer
POST   /api/v1/beneficiaries/{person}/receipt-files             treasurer
GET    /api/v1/beneficiaries/{person}/receipt-file              treasurer approver
POST   /api/v1/beneficiaries/{person}/grant-failures            treasurer
POST   /api/v1/beneficiaries/{person}/grant-returns             treasurer
POST   /api/v1/treasury-returns                                 treasurer

GET    /api/v1/operations                                       intake issuer approver treasurer auditor
GET    /api/v1/operations/{operation}/board                     intake issuer approver treasurer auditor
GET    /api/v1/operations/{operation}/beneficiaries             intake issuer approver treasurer auditor
GET    /api/v1/handovers                                        intake issuer approver treasurer auditor
GET    /api/v1/handovers/{handover}                             intake issuer approver treasurer auditor
GET    /api/v1/operations/{operation}/ledger                    treasurer approver auditor
GET    /api/v1/authorities                                      intake issuer approver treasurer auditor admin
GET    /api/v1/operations/{operation}/grants                    treasurer approver auditor
GET    /api/v1/operations/{operation}/credits                   treasurer approver auditor
GET    /api/v1/operations/{operation}/advances                  treasurer approver auditor
GET    /api/v1/operations/{operation}/movements                 treasurer approver auditor
GET    /api/v1/operations/{operation}/treasury-returns          treasurer approver auditor
GET    /api/v1/handovers/{handover}/deed                        intake issuer approver treasurer auditor
GET    /api/v1/handovers/{handover}/deed/identities             issuer
GET    /api/v1/operations/{operation}/expenditure-report        treasurer approver auditor
GET    /api/v1/operations/{operation}/treasury-return           treasurer approver auditor
GET    /api/v1/beneficiaries/{person}/identity                  intake issuer treasurer
GET    /api/v1/events/{position}/texts                          intake issuer approver treasurer auditor
"""  # noqa: E501 — a table
AT_A_PROVINCE = """
GET    /baca                                                    staff
GET    /kabar                                                   staff
GET    /kedatangan                                              reception case_worker auditor
GET    /kedatangan/{handover}                                   reception case_worker auditor
POST   /kedatangan/{handover}                                   reception case_worker auditor
GET    /kedatangan/{handover}/tidak-terdaftar                   reception
POST   /kedatangan/{handover}/tidak-terdaftar                   reception
GET    /kedatangan/{handover}/lembar                            reception
POST   /kedatangan/{handover}/lembar                            reception
GET    /kasus                                                   case_worker auditor
GET    /kasus/{person}                                          case_worker auditor
POST   /kasus/{person}                                          case_worker auditor
GET    /penugasan                                               admin
POST   /penugasan                                               admin
GET    /bantuan                                                 case_worker auditor
POST   /bantuan                                                 case_worker auditor
GET    /rumah-singgah                                           reception case_worker auditor admin
POST   /rumah-singgah                                           reception case_worker auditor admin
GET    /penerima-manfaat/{person}                               reception case_worker auditor
POST   /penerima-manfaat/{person}                               reception case_worker auditor
GET    /usul-penghapusan                                        reception case_worker
POST   /usul-penghapusan                                        reception case_worker

POST   /api/v1/arrivals/{handover}/entries/{person}/answer      reception
POST   /api/v1/arrivals/{handover}/entries/{person}/correction  reception
POST   /api/v1/arrivals/{handover}/unlisted                     reception
POST   /api/v1/arrivals/{handover}/unlisted/{person}/correction reception
POST   /api/v1/arrivals/{handover}/decline                      reception
POST   /api/v1/arrivals/{handover}/sheet                        reception
POST   /api/v1/houses                                           admin
POST   /api/v1/lookups                                          reception case_worker
POST   /api/v1/beneficiaries/{person}/break-glass               reception case_worker
POST   /api/v1/beneficiaries/{person}/erasure                   reception case_worker

POST   /api/v1/cases/{person}/assignment                        admin
POST   /api/v1/cases/{person}/taking                            case_worker
POST   /api/v1/cases/{person}/assessment                        case_worker
POST   /api/v1/cases/{person}/offers                            case_worker
POST   /api/v1/cases/{person}/choice                            case_worker
POST   /api/v1/cases/{person}/completed-trainings               case_worker
POST   /api/v1/cases/{person}/readiness                         case_worker
POST   /api/v1/cases/{person}/family-return                     case_worker
POST   /api/v1/cases/{person}/family-decline                    case_worker
POST   /api/v1/cases/{person}/leaving                           case_worker
POST   /api/v1/cases/{person}/follow-ups                        case_worker
POST   /api/v1/cases/{person}/closing                           case_worker
POST   /api/v1/beneficiaries/{person}/grant-confirmations       case_worker
POST   /api/v1/beneficiaries/{person}/grant-disputes            case_worker

GET    /api/v1/arrivals                                         reception case_worker auditor
GET    /api/v1/arrivals/{handover}                              reception case_worker auditor
GET    /api/v1/houses                                           reception case_worker auditor
GET    /api/v1/grants                                           case_worker auditor
GET    /api/v1/cases                                            case_worker auditor
GET    /api/v1/cases/{person}                                   case_worker auditor
GET    /api/v1/cases/{person}/notes                             case_worker
GET    /api/v1/arrivals/{handover}/identities                   reception
GET    /api/v1/arrivals/{handover}/acknowledgement              reception case_worker auditor
GET    /api/v1/arrivals/{handover}/sheet                        reception case_worker auditor
GET    /api/v1/arrivals/{handover}/sheet/identities             reception
GET    /api/v1/beneficiaries/{person}/identity                  reception case_worker
GET    /api/v1/events/{position}/texts                          reception case_worker approver
"""
Address = tuple[str, str]


def table(kind: Kind) -> dict[Address, frozenset[str]]:
    """Who may at this kind of office, as it is written above."""
    written = SIGNING_IN + OVERSIGHT + (AT_THE_CITY if kind == "city" else AT_A_PROVINCE)
    decided: dict[Address, frozenset[str]] = {}
    for line in filter(None, written.splitlines()):
        method, path, *roles = line.split()
        assert (method, path) not in decided, line
        known = ROLES_OF[kind] | {"anybody", "staff"}
        assert roles, line
        assert set(roles) <= known, line
        decided[method, path] = ROLES_OF[kind] if roles == ["staff"] else frozenset(roles)
    return decided


KINDS: tuple[Kind, ...] = ("city", "province")
NAMES = {"35": "Contoh Timur", "53": "Contoh Selatan"}
"""What the names of those who go to one province begin with: easily told apart, and searched for.
"""


@dataclass
class World:
    """A city and two provinces, with people on their way to each."""

    city: Desk
    east: Desk
    south: Desk
    redis: Redis
    persons: dict[str, list[str]] = field(default_factory=dict)

    def desk(self, kind: Kind) -> Desk:
        return self.city if kind == "city" else self.east


def row(office: str, number: int) -> dict[str, Any]:
    """Somebody on the way to that province, with every personal field filled in."""
    return story.intake_row(
        destination=office,
        initials="QX",
        birth_date="1990-01-02",
        name=f"{NAMES[office]} {number}",
        nik=f"{office}99990201900{number:03}",
        contact=f"0811{office}9999{number:03}",
        account=f"BRI {office}9999{number:05}",
    )


def marks(office: str, numbers: Iterator[int] | range = range(1, 3)) -> list[str]:
    """Every value by which somebody on the way to that province could be known."""
    names = ("name", "nik", "contact", "account")
    return [row(office, number)[name] for number in numbers for name in names]


@pytest.fixture(scope="module")
async def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with three_offices(servers, tmp_path_factory.mktemp("matrix")) as offices:
        made = World(*offices)
        await fill(made)
        yield made


async def fill(world: World) -> None:
    """People on their way to both provinces, arrived, with a case, a grant and free texts."""
    await story.open_operation(world.city)
    for office, province in (("35", world.east), ("53", world.south)):
        persons = await story.register(world.city, row(office, 1), row(office, 2))
        world.persons[office] = persons
        await story.draft(world.city, persons, f"HO-{office}", receiving_office=office)
        await story.issue(world.city, f"HO-{office}")
        credit = {
            "person": persons[0],
            "reference": f"KREDIT-{office}",
            "status": "credited",
            "amount_rupiah": 6_000_000,
            "credited_on": "2019-10-02",
        }
        bank = "/operations/OP-TEST/bank-file"
        await world.city.post("treasurer", bank, {"rows": [credit]})
        await story.expected(province, f"HO-{office}")
        await story.open_house(province)
        for person in persons:
            path = f"/arrivals/HO-{office}/entries/{person}/answer"
            await province.post("reception", path, story.ARRIVED)
        texts = dict.fromkeys(("potential", "wish", "opportunity"), f"{NAMES[office]} catatan")
        await province.post("case_worker", f"/cases/{persons[0]}/taking")
        await province.post("case_worker", f"/cases/{persons[0]}/assessment", texts)
        reason = {"reason": f"{NAMES[office]} alasan"}
        await province.post("reception", f"/beneficiaries/{persons[0]}/break-glass", reason)
        hold = {"until": "2099-01-01", "reason": f"{NAMES[office]} ditahan"}
        await province.post("approver", f"/beneficiaries/{persons[1]}/hold", hold)
        await world.city.post("approver", f"/beneficiaries/{persons[1]}/hold", hold)
    await story.in_sync(world.city, world.east, world.south)

    async def credited() -> bool:
        found = [await desk.get("auditor", "/grants") for desk in (world.east, world.south)]
        return all(one["credits"] for one in found)

    await eventually(credited)


def addresses(desk: Desk) -> list[Address]:
    return [
        (method, route.path)
        for route in desk.app.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods or ())
    ]


UNREADABLE = b"{ ini bukan JSON"


async def ask(desk: Desk, address: Address, token: str | None) -> httpx.Response:
    """That address with a body that nobody can parse: whoever is refused isn't told so."""
    method, path = address
    headers = {"Idempotency-Key": "matrix-key-1", "Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    named = re.sub(r"{\w+}", "PM-0000000000", path)
    return await desk.http.request(
        method,
        named,
        params={"purpose": "identity_check"},
        headers=headers,
        content=UNREADABLE if method == "POST" else None,
    )


def code_of(response: httpx.Response) -> str | None:
    """The code of a problem document; pages have none."""
    if response.headers.get("content-type") != "application/problem+json":
        return None
    code: str = response.json()["code"]
    return code


async def kept(desk: Desk) -> tuple[int, int]:
    """What a refused request must leave as it is: events, and answers that were recorded."""
    async with desk.office.pool.connection() as connection:
        cursor = await connection.execute("select count(*) from requests")
        row = await cursor.fetchone()
    assert row is not None
    return await desk.size(), row[0]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_address_is_decided_about(world: World, kind: Kind) -> None:
    offered = addresses(world.desk(kind))
    assert len(offered) == len(set(offered))
    assert set(offered) == set(table(kind))


@pytest.mark.parametrize("kind", KINDS)
async def test_each_role_opens_exactly_what_the_table_says(world: World, kind: Kind) -> None:
    desk = world.desk(kind)
    pairs = [
        (address, role, role in roles)
        for address, roles in table(kind).items()
        if "anybody" not in roles
        for role in sorted(ROLES_OF[kind])
    ]
    assert len({may for _, _, may in pairs}) == 2
    before: tuple[int, int] | None = await kept(desk)
    wrong: list[tuple[str, Address, int]] = []
    # Those who are refused come first: what opens may well be recorded.
    for address, role, may in sorted(pairs, key=lambda pair: pair[2]):
        if may and before is not None:
            assert await kept(desk) == before
            before = None
        response = await ask(desk, address, desk.tokens[role])
        refused = response.status_code == 403 and code_of(response) == "ROLE_MISSING"
        opened = not refused and response.status_code != 401
        if (opened, refused) != (may, not may):
            wrong.append((role, address, response.status_code))
    assert wrong == []


@pytest.mark.parametrize("kind", KINDS)
async def test_who_has_no_account_or_no_longer_one_opens_nothing(world: World, kind: Kind) -> None:
    desk = world.desk(kind)
    role = "intake" if kind == "city" else "reception"
    office = desk.office
    disabled = (await desk.account("sudah-pindah", role)).token
    account = await staff.by_username(office.pool, "sudah-pindah")
    assert account is not None
    of_disabled = await sessions.begin(office.pool, account, office.clock())
    await staff.disable(office.pool, "sudah-pindah")
    account = await staff.by_username(office.pool, role)
    assert account is not None
    ended = await sessions.begin(office.pool, account, office.clock() - timedelta(hours=9))
    idle = await sessions.begin(office.pool, account, office.clock() - timedelta(minutes=31))
    alive = await sessions.begin(office.pool, account, office.clock())
    assert of_disabled
    assert ended
    assert idle
    assert alive
    tokens = [None, disabled, of_disabled.token, ended.token, idle.token]
    before = await kept(desk)
    wrong: list[tuple[int, Address, int]] = []
    for address, roles in table(kind).items():
        for number, token in enumerate(tokens):
            response = await ask(desk, address, token)
            if (response.status_code == 401) != ("anybody" not in roles):
                wrong.append((number, address, response.status_code))
    assert wrong == []
    assert await kept(desk) == before
    # The sessions above are refused for their age and not for their shape.
    response = await ask(desk, ("GET", "/api/v1/status"), alive.token)
    assert response.status_code == 200


async def test_a_token_of_one_office_opens_nothing_at_another(world: World) -> None:
    desks = {"53.71": world.city, "35": world.east, "53": world.south}
    wrong: list[tuple[str, str, Address, int]] = []
    for here, desk in desks.items():
        before = await kept(desk)
        others = {
            f"{there} {role}": other.tokens[role]
            for there, other in desks.items()
            if there != here
            for role in sorted(ROLES_OF[other.office.service.kind])
        }
        for address, roles in table(desk.office.service.kind).items():
            if "anybody" in roles:
                continue
            # Commands are refused at the same gate: one token of each office must do.
            tried = others if address[0] == "GET" else dict(list(others.items())[::6])
            for whose, token in tried.items():
                response = await ask(desk, address, token)
                if response.status_code != 401:
                    wrong.append((here, whose, address, response.status_code))
        assert await kept(desk) == before
    assert wrong == []


def values(desk: Desk, persons: list[str], handovers: list[str]) -> dict[str, list[str]]:
    """What can stand in an address of this office: everything that the world has."""
    return {
        "{person}": persons,
        "{handover}": handovers,
        "{operation}": ["OP-TEST"],
        "{subject}": [*persons, *handovers, "OP-TEST"],
    }


async def reading(desk: Desk, role: str, known: dict[str, list[str]]) -> dict[str, str]:
    """Everything that a role gets to read at an office, by address, in every format."""
    positions = [str(number) for number in range(1, await desk.size() + 1)]
    known = known | {"{position}": positions}
    found: dict[str, str] = {}
    for method, path in addresses(desk):
        if method != "GET" or "/masuk" in path or path == "/openapi.json":
            continue
        names = re.findall(r"{\w+}", path)
        assert len(names) < 2, path
        paths = [path.replace(names[0], one) for one in known[names[0]]] if names else [path]
        for one in paths:
            paper = "/deed" in one or "/sheet" in one or "/certificate" in one
            formats = ("json", "pdf") if paper else ("json",)
            for format in ("json", "csv", "xlsx") if not names else formats:
                response = await desk.http.get(
                    one,
                    params={"purpose": "identity_check", "format": format},
                    headers={"Authorization": f"Bearer {desk.tokens[role]}"},
                )
                assert response.status_code < 500, (one, response.text)
                text = unzipped(response.content) + repr(response.headers)
                found[f"{response.status_code} {one} {format}"] = text
    return found


def unzipped(content: bytes) -> str:
    if content.startswith(b"%PDF"):
        return " ".join((read := pdf.Read(content)).pages + read.codes)
    if not content.startswith(b"PK"):
        return content.decode()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return "".join(archive.read(name).decode() for name in archive.namelist())


def places(hay: dict[str, str], needles: list[str]) -> list[tuple[str, str]]:
    return [(place, needle) for place, text in hay.items() for needle in needles if needle in text]


async def test_neither_operator_nor_admin_nor_auditor_reads_who_somebody_is(world: World) -> None:
    """The auditor reads reasons that people typed, for that is what she audits; nobody's name."""
    everybody = [person for persons in world.persons.values() for person in persons]
    handovers = ["HO-35", "HO-53"]
    for desk, office in ((world.city, ""), (world.east, "35"), (world.south, "53")):
        known = values(desk, everybody, handovers)
        offices = [office] if office else ["35", "53"]
        identities = [mark for one in offices for mark in marks(one)]
        texts = [f"{NAMES[one]} {what}" for one in offices for what in ("catatan", "ditahan")]
        for role, never in (
            ("operator", [*identities, *texts, '"QX"', "1990-01-02"]),
            ("admin", [*identities, *texts, '"QX"', "1990-01-02"]),
            ("auditor", [*identities, *texts, '"QX"', "1990-01-02"]),
        ):
            hay = await reading(desk, role, known)
            assert sum(place.startswith("200") for place in hay) > 5
            assert places(hay, never) == [], (role, office)
    # The same search finds them where they are to be read.
    hay = await reading(world.city, "intake", values(world.city, everybody, handovers))
    assert {needle for _, needle in places(hay, marks("35"))} == set(marks("35"))


async def test_one_province_gets_nothing_of_anothers_people(world: World) -> None:
    """Its staff, its streams, its database: no name, no code and no handover of the other's."""
    everybody = [person for persons in world.persons.values() for person in persons]
    for desk, own, other in ((world.east, "35", "53"), (world.south, "53", "35")):
        foreign = [*marks(other), NAMES[other], *world.persons[other], f"HO-{other}",
                   f"KREDIT-{other}"]  # fmt: skip
        mine = [*marks(own), *world.persons[own], f"HO-{own}", f"KREDIT-{own}"]
        seen: set[str] = set()
        for role in sorted(ROLES_OF["province"]):
            hay = await reading(desk, role, values(desk, everybody, ["HO-35", "HO-53"]))
            # An address repeats what was asked for; what was answered is what counts.
            assert [p for p in places(hay, foreign) if p[1] not in p[0]] == [], role
            asked_for = {place: text for place, text in hay.items() if place.startswith("200")}
            assert places(asked_for, foreign) == [], role
            seen |= {needle for _, needle in places(hay, mine)}
        # Contact and account are the case worker's to see, of her own cases.
        assert {*world.persons[own], f"HO-{own}", f"KREDIT-{own}", row(own, 1)["nik"]} <= seen
        stored = await everything_of(world, desk, own)
        assert places(stored, foreign) == []
        assert {needle for _, needle in places(stored, world.persons[own])} == set(
            world.persons[own]
        )


async def everything_of(world: World, desk: Desk, office: str) -> dict[str, str]:
    """What lies in that office's streams and database, and what it was ever sent."""
    found: dict[str, str] = {}
    for name in (f"pulang:53.71:{office}", f"pulang:{office}:53.71"):
        found[name] = repr(await world.redis.xrange(name))
    async with desk.office.pool.connection() as connection:
        for table_ in ("events", "inbox", "outbox", "parked", "requests", "person_keys"):
            cursor = await connection.execute(f"select * from {table_}".encode())
            found[table_] = repr(await cursor.fetchall())
    async with world.city.office.pool.connection() as connection:
        cursor = await connection.execute(
            "select body, personal from outbox where receiver = %s", (office,)
        )
        found["sent by the city"] = repr(await cursor.fetchall())
    return found
