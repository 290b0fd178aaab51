"""What holds for every decision of the province, whatever the aggregate."""

from pathlib import Path

from services.province import domain
from services.province.domain.case import AssessPerson, FollowUp

from ..every_decision import EveryDecision
from ..spec import aggregates
from . import test_arrival, test_case, test_grant, test_house

MODULES = (test_arrival, test_case, test_grant, test_house)
VALUES = {module.decider.category: module.VALUES for module in MODULES}
PATHS = {"arrival": [test_arrival.PATH], "case": [test_case.PATH]}


class TestEveryDecision(EveryDecision):
    domain = domain
    here = Path(__file__).parent
    deciders = aggregates(domain)
    values = VALUES
    paths = PATHS
    new_facts = (AssessPerson, FollowUp)
    named = r"pulang\.province\.[a-z-]+\.[a-z-]+\.v\d+"
