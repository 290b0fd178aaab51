"""What every office decides of what it keeps: looks, holds, erasure (UU PDP), parked messages,
forked histories, rebuilt read models, restored logs."""

from shared.custody import access, erasure, fork, parked, replay, restored

DECIDERS = (
    erasure.decider,
    access.looks,
    access.lookups,
    access.break_glass,
    parked.decider,
    fork.decider,
    replay.decider,
    restored.decider,
)
