"""What the law asks of every office that keeps personal data: looks, holds, erasure (UU PDP)."""

from shared.custody import access, erasure, parked

DECIDERS = (erasure.decider, access.looks, access.lookups, access.break_glass, parked.decider)
