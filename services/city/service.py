"""The city's manifest: everything that its web, worker, command line and tests run from."""

from __future__ import annotations

from services.city import publisher, reactor
from services.city.domain import (
    advance,
    authority,
    bank,
    beneficiary,
    case,
    corrections,
    deed,
    grant,
    handover,
    operation,
    treasury,
)
from services.city.equations.persons import CitySums
from services.city.projections import board, handovers, ledger
from services.city.web.commands import COMMANDS
from services.city.web.imports import IMPORTS
from services.city.web.reads import (
    PAPERS,
    READS,
    TEXTS,
    acknowledged,
    evidence,
    is_here,
    may_find,
    may_read,
    retained,
)
from services.city.web.screens import SCREENS, TEMPLATES
from shared.runtime.manifest import Service
from shared.runtime.screens import oversight

SERVICE = Service(
    kind="city",
    deciders=(
        operation.decider,
        authority.decider,
        bank.decider,
        beneficiary.decider,
        handover.decider,
        deed.decider,
        grant.decider,
        advance.decider,
        treasury.decider,
        case.decider,
    ),
    publisher=publisher.publish,
    reactor=reactor.react,
    projections=(board.projection, handovers.projection, ledger.projection),
    commands=COMMANDS + IMPORTS,
    reads=READS,
    texts=TEXTS,
    is_here=is_here,
    may_find=may_find,
    may_read=may_read,
    acknowledged=acknowledged,
    retained=retained,
    papers=PAPERS,
    evidence=evidence,
    corrections=corrections.CORRECTIONS,
    sums=CitySums,
    screens=SCREENS + oversight.screens("city"),
    templates=TEMPLATES,
)
