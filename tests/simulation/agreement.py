"""What must be true when the faults are over: both ends of every link tell the same story."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.city.domain import grant as city_grant
from services.city.domain import handover as city_handover
from services.province.domain import arrival, grant
from shared.contracts.values import Identity
from tests.simulation import errands
from tests.simulation.office import CITY_CODE, PROVINCES, Process

if TYPE_CHECKING:
    from tests.simulation.world import World


def lagging(world: World) -> list[str]:
    """The links that are not confirmed in full."""
    found = []
    for code, office in world.offices.items():
        for receiver, recorded in office.database.outgoing.items():
            there, link = world.offices[receiver].database, office.database.link(receiver)
            applied = there.applied.get(code, (0, []))[0]
            if not recorded == applied == link.confirmed:
                found.append(f"{code}→{receiver}: {recorded} written, {applied} applied,"
                             f" {link.confirmed} confirmed")  # fmt: skip
            left = [
                row.sequence for row in there.messages_parked(code) if row.settled_as != "applied"
            ]
            if link.unapplied != left:
                found.append(f"{code}→{receiver}: {left} not applied, {link.unapplied} known")
    return found


def linked(world: World) -> bool:
    return not lagging(world)


async def check(world: World) -> None:
    """Folds the real deciders' states at both ends, and compares them."""
    city = Process(world.offices[CITY_CODE], "audit")
    for code in PROVINCES:
        province = Process(world.offices[code], "audit")
        await _handovers(world, city, province)
        await _money(world, city, province)
        await province.store.close()
    steps = await city.handling.states(errands.decider, world.load.ledger.errands)
    if steps != world.load.ledger.errands:
        world.fail(f"{CITY_CODE}: noted {steps} of {world.load.ledger.errands}")
    for person, credits in world.load.ledger.credits.items():
        state = (await city.handling.states(city_grant.decider, [person]))[person]
        own = {
            reference: 0 if "failed" in one else one["credited"] - one.get("returned", 0)
            for reference, one in credits.items()
        }
        kept = {reference: credit.standing_rupiah for reference, credit in state.credits.items()}
        if own != kept or state.standing_rupiah != sum(own.values()):
            world.fail(f"{CITY_CODE}: {person} has {kept}, by the bank's file {own}")


async def _handovers(world: World, city: Process, province: Process) -> None:
    code = province.office.code
    mine = [h for h, office in world.load.ledger.handovers.items() if office == code]
    here = await city.handling.states(city_handover.decider, mine)
    there = await province.handling.states(arrival.decider, mine)
    for handover in mine:
        sent, got = here[handover], there[handover]
        if (got.expected is not None) != bool(sent.manifest):
            world.fail(f"{code}: {handover} is {sent.phase} at the city, {got.phase} here")
            continue
        given = {p: (answer.answer, answer.outcome) for p, answer in got.answers.items()}
        if given != sent.answers.given:
            world.fail(f"{handover}: answered {given}, recorded {sent.answers.given}")
        if frozenset(got.unlisted) != sent.answers.unlisted:
            world.fail(f"{handover}: unlisted {set(got.unlisted)}, {set(sent.answers.unlisted)}")
        if sent.manifest and sent.phase != "withdrawn" and set(got.entries) != set(sent.entries):
            world.fail(f"{handover}: expected {set(got.entries)}, on it {set(sent.entries)}")
        if got.departed_at != sent.departed_at:
            world.fail(f"{handover}: departed {sent.departed_at}, noted {got.departed_at}")
        await _identities(world, province, got)


async def _identities(world: World, province: Process, got: arrival.State) -> None:
    """Who she is came over the link as it was written down at intake."""
    known = [(p, entry.identity) for p, entry in got.entries.items() if entry.identity]
    if len(known) != len(got.entries):
        world.fail(f"{province.office.code}: somebody's identity did not come")
    for (person, _), text in zip(known, await province.vault.open(known), strict=True):
        if text is None or Identity.model_validate_json(text) != world.load.ledger.identities.get(
            person
        ):
            world.fail(f"{province.office.code}: {person} is somebody else here")


async def _money(world: World, city: Process, province: Process) -> None:
    """To the rupiah: what was credited and went back is the same at both ends."""
    code = province.office.code
    people = list(world.load.ledger.credits)
    here = await city.handling.states(city_grant.decider, people)
    there = await province.handling.states(grant.decider, people)
    for person in people:
        sent, got = here[person], there[person]
        for reference, credit in got.credits.items():
            if sent.credits[reference].amount_rupiah != credit.amount_rupiah:
                world.fail(f"{code}: {reference} is of another amount here")
        if sent.office == code:
            told = {
                reference: 0 if fate == "failed" else (
                    got.credits[reference].amount_rupiah - got.returned.get(reference, 0)
                )
                for reference, fate in got.fates.items()
            }  # fmt: skip
            kept = {r: credit.standing_rupiah for r, credit in sent.credits.items()}
            if told != kept:
                world.fail(f"{code}: {person} has {told} here, {kept} at the city")
