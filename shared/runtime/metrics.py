"""What this office's own database says of it, as numbers that Prometheus can gather.

Everything is read at the scrape, from the same status that `pulang status` shows, so that the two
never differ and no process has to be asked twice. Labels are codes of offices, codes of reasons
and names of read models: nothing here tells of a person or of a handover.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from psycopg import AsyncConnection

from shared.kernel.projector import rows
from shared.runtime import status
from shared.runtime.office import VERSION, Office
from shared.runtime.staff import Role
from shared.runtime.worker import Worker

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
METRICS_ROLES: frozenset[Role] = frozenset({"operator", "admin", "auditor"})
LINK_NUMBERS = {
    "recorded": "Number of the last message recorded for this partner",
    "sent": "Number of the last message sent to this partner",
    "confirmed": "Number of the last message that this partner confirmed",
    "applied": "Number of this partner's last message that was applied here",
}


class _Read:
    """What was read, in the form that a registry asks for."""

    def __init__(self, families: Sequence[GaugeMetricFamily]) -> None:
        self._families = families

    def collect(self) -> Iterable[GaugeMetricFamily]:
        return self._families


async def exposition(office: Office, worker: Worker | None) -> bytes:
    """All metrics of this office, in Prometheus' text format."""
    async with office.pool.connection() as connection:
        found = await status.status(connection, office.settings.partners)
        parked = await _parked(connection)
    registry = CollectorRegistry()
    registry.register(
        _Read(
            [
                _family(
                    "pulang_build_info",
                    "Which software of which office this is; always 1",
                    ("version", "office", "kind"),
                    [((VERSION, office.settings.office, office.service.kind), 1)],
                ),
                _family(
                    "pulang_ready",
                    "Whether /health/ready of this process answers that all is well",
                    (),
                    [((), not status.troubles(found, worker))],
                ),
                *_families(found, datetime.now(UTC)),
                _family(
                    "pulang_parked_messages",
                    "Messages parked, by who sent them and why",
                    ("partner", "reason"),
                    [((one["sender"], one["reason"]), one["n"]) for one in parked],
                ),
            ]
        )
    )
    return generate_latest(registry)


async def _parked(connection: AsyncConnection[Any]) -> list[dict[str, Any]]:
    return await rows(
        connection,
        "select sender, reason, count(*)::int as n from parked where settled_at is null"
        " group by sender, reason order by sender, reason",
    )


def _families(found: dict[str, Any], now: datetime) -> list[GaugeMetricFamily]:
    """A status as numbers."""
    links, models = found["links"], found["projections"]
    return [
        _family(
            "pulang_worker_active",
            "Whether a worker holds the lock of this office",
            (),
            [((), found["worker"] == "active")],
        ),
        _family(
            "pulang_log_held",
            "Whether nothing is recorded, as the log was restored and may lack events",
            (),
            [((), found["held"] is not None)],
        ),
        _family("pulang_log_events", "Events in the log", (), [((), found["log"]["size"])]),
        *(
            _family(
                f"pulang_link_{name}",
                says,
                ("partner",),
                [((one["partner"],), one[name]) for one in links],
            )
            for name, says in LINK_NUMBERS.items()
        ),
        _family(
            "pulang_link_oldest_unconfirmed_seconds",
            "How long the oldest message that this partner has not confirmed has waited",
            ("partner",),
            [((one["partner"],), _seconds(one, now)) for one in links],
        ),
        _family(
            "pulang_link_witnessed_events",
            "How many events of this office's log this partner has witnessed",
            ("partner",),
            [((one["partner"],), one["witnessed_there"]) for one in links],
        ),
        _family(
            "pulang_link_forked",
            "Whether this partner's history is forked here, or this office's there",
            ("partner",),
            [((one["partner"],), one["forked"] or one["forked_there"]) for one in links],
        ),
        _family(
            "pulang_link_silent_seconds",
            "How long nothing was heard of this partner; its worker says every 5 s how far it is",
            ("partner",),
            [
                ((one["partner"],), max(0.0, (now - one["heard_at"]).total_seconds()))
                for one in links
                if one["heard_at"] is not None
            ],
        ),
        _family(
            "pulang_worker_troubles",
            "What troubles the active worker, as it says itself; `pulang status` has the sentence",
            (),
            [((), len(found["troubles"]) if found["worker"] == "active" else 0)],
        ),
        _family(
            "pulang_projection_lag_events",
            "Events that this read model has not seen; below 0 it is ahead of the log",
            ("model",),
            [((one["name"],), one["lag"]) for one in models],
        ),
        _family(
            "pulang_projection_behind_seconds",
            "How long the next event of this read model has waited",
            ("model",),
            [((one["name"],), _seconds(one, now)) for one in models],
        ),
    ]


def _seconds(row: dict[str, Any], now: datetime) -> float:
    """How long it has waited; 0 where nothing waits."""
    since = row["waiting_since"]
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())


def _family(
    name: str,
    says: str,
    labels: Sequence[str],
    values: Iterable[tuple[tuple[str, ...], float]],
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, says, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family
