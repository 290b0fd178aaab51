"""What every office decides of what it keeps: looks, holds, erasure (UU PDP), parked messages,
forked histories, rebuilt read models, questions to partners, restored logs."""

from shared.custody import access, erasure, fork, parked, reconciliation, replay, restored

DECIDERS = (
    erasure.decider,
    access.looks,
    access.lookups,
    access.break_glass,
    parked.decider,
    fork.decider,
    replay.decider,
    reconciliation.decider,
    restored.decider,
)
