"""What holds for every decision of the city, whatever the aggregate."""

from datetime import date
from pathlib import Path

from services.city import domain

from ..every_decision import EveryDecision
from ..spec import ANN, BEA, NOW, aggregates
from . import test_advance, test_beneficiary, test_case, test_grant, test_handover
from .test_authority import FACTS as AUTHORITY
from .test_operation import FACTS as OPERATION
from .test_operation import SAID
from .test_treasury import FACTS as TREASURY


def any_of(facts):
    return {name: [value] for name, value in facts.items()}


VALUES = {
    "advance": test_advance.VALUES,
    "authority": any_of(AUTHORITY)
    | {"on": [NOW.date()], "valid_until": [date(2019, 10, 31), date(2019, 10, 15)]},
    "bank": {"reference": ["SP2D/1"], "person": [ANN, BEA]},
    "deed": {"deed_number": ["BAST/1"], "handover": ["HO-1", "HO-2"]},
    "beneficiary": test_beneficiary.VALUES,
    "case": test_case.VALUES,
    "grant": test_grant.VALUES,
    "handover": test_handover.VALUES,
    "operation": any_of(OPERATION | SAID)
    | {
        "subject": ["persons", "destination"],
        "destination": [None, "35"],
        "figure": range(1, 4),
        "discrepancy": ["persons"],
        "difference": range(3),
        "explanation": ["Belum menentukan", "Turun di pelabuhan singgah"],
    },
    "treasury": any_of(TREASURY) | {"bank_validation": ["VAL-1", "VAL-2"]},
}
PATHS = {"beneficiary": [test_beneficiary.PATH], "handover": [test_handover.PATH]}


class TestEveryDecision(EveryDecision):
    domain = domain
    here = Path(__file__).parent
    deciders = aggregates(domain)
    values = VALUES
    paths = PATHS
    named = r"pulang\.city\.[a-z-]+\.[a-z-]+\.v\d+"
