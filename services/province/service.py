"""The province's manifest: everything that its web, worker, command line and tests run from."""

from __future__ import annotations

from services.province import publisher, reactor
from services.province.domain import arrival, case, corrections, grant, house
from services.province.equations import ProvinceSums
from services.province.projections import arrivals, cases, grants, houses
from services.province.web.commands import COMMANDS
from services.province.web.imports import IMPORTS
from services.province.web.reads import (
    PAPERS,
    READS,
    TEXTS,
    evidence,
    is_here,
    may_find,
    may_read,
    retained,
)
from services.province.web.screens import SCREENS, TEMPLATES
from shared.runtime.manifest import Service
from shared.runtime.screens import oversight

SERVICE = Service(
    kind="province",
    deciders=(arrival.decider, house.decider, grant.decider, case.decider),
    publisher=publisher.publish,
    reactor=reactor.react,
    projections=(
        arrivals.projection,
        houses.projection,
        cases.projection,
        grants.projection,
    ),
    commands=COMMANDS + IMPORTS,
    reads=READS,
    texts=TEXTS,
    is_here=is_here,
    may_find=may_find,
    may_read=may_read,
    retained=retained,
    papers=PAPERS,
    evidence=evidence,
    corrections=corrections.CORRECTIONS,
    sums=ProvinceSums,
    screens=SCREENS + oversight.screens("province"),
    templates=TEMPLATES,
)
