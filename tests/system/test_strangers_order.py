"""An office can have erased what it had to do with, and nobody else."""

from __future__ import annotations

from shared.custody import erasure
from shared.custody.eraser import Eraser
from shared.kernel.handling import Unit
from tests.system import story
from tests.system.offices import Desk, eventually


async def test_an_order_of_an_office_that_never_had_to_do_with_her_is_not_obeyed(
    city: Desk, province: Desk
) -> None:
    """It stands there for this office to decide; her data stay."""
    await story.open_operation(city)
    (person,) = await story.register(city, story.intake_row(destination="53"))
    now = province.office.clock()
    said = {"by": "x", "now": now, "occurred_at": now, "person": person}
    steps = [
        erasure.ProposeErasure(**said, erasure="ER-X", basis="court_order", reference="P/1"),
        erasure.ApproveErasure(**said | {"by": "y"}),
        erasure.BeginErasure(**said),
        erasure.ExecuteErasure(**said, epoch=2, offices=("53.71",)),
    ]
    await province.office.handling.handle(
        [Unit(steps)], at=now, actor="x", cause="a stranger's order"
    )

    async def ordered() -> bool:
        return [row["state"] for row in await city.get("approver", "/erasures")] == ["ordered"]

    await eventually(ordered)
    await Eraser(city.office.handling, city.office.vault).step(city.office.clock())
    seen = await city.look("intake", f"/beneficiaries/{person}/identity")
    assert seen["initials"] == "AB"
    assert city.office.keyring.epoch == 1
