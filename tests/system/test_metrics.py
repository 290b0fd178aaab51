"""What Prometheus gathers: the same numbers as the status, for whom they are, of nobody."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from shared.runtime.office import VERSION
from tests.system import story
from tests.system.offices import Desk, eventually

Metrics = dict[tuple[str, frozenset[tuple[str, str]]], float]
NUMBERS = ("recorded", "sent", "confirmed", "applied")


async def scrape(desk: Desk, role: str = "operator") -> httpx.Response:
    """As Prometheus asks, whose `authorization` sends a bearer token."""
    headers = {"Authorization": f"Bearer {desk.tokens[role]}"}
    return await desk.http.get("/metrics", headers=headers)


def parsed(text: str) -> Metrics:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def told(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics[name, frozenset(labels.items())]


def numbers(found: Any) -> list[int]:
    return [row[name] for row in found["links"] for name in NUMBERS]


async def test_the_metrics_of_both_offices_are_what_their_status_says(
    city: Desk, province: Desk
) -> None:
    await story.issued(city)
    await story.expected(province)
    async with city.office.pool.connection() as connection:
        await connection.execute(
            "insert into parked (sender, sequence, reason, detail, raw, parked_at, times, digest)"
            " values ('35', 7, 'UNKNOWN_TYPE', '', 'x', now(), 1, 'x'),"
            " ('35', null, 'REPLAYED_FRAME', '', 'y', now(), 1, 'y')"
        )
    for desk in (city, province):

        async def still(desk: Desk = desk) -> tuple[Any, Metrics] | None:
            """A status that was the same before and after the scrape, once the links have begun."""
            before = await desk.get("operator", "/status")
            response = await scrape(desk)
            assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
            after = await desk.get("operator", "/status")
            same = numbers(before) == numbers(after)
            settled = all(row["lag"] == 0 for s in (before, after) for row in s["projections"])
            metrics = parsed(response.text)
            begun = not told(metrics, "pulang_worker_troubles") and not after["troubles"]
            return (after, metrics) if same and settled and begun else None

        found, metrics = await eventually(still)
        assert told(metrics, "pulang_log_events") == found["log"]["size"] > 0
        assert told(metrics, "pulang_worker_active") == 1
        assert told(metrics, "pulang_worker_troubles") == len(found["troubles"]) == 0
        for link in found["links"]:
            for name in NUMBERS:
                assert told(metrics, f"pulang_link_{name}", partner=link["partner"]) == link[name]
            waits = told(metrics, "pulang_link_oldest_unconfirmed_seconds", partner=link["partner"])
            assert (waits > 0) == (link["waiting_since"] is not None)
            witnessed = told(metrics, "pulang_link_witnessed_events", partner=link["partner"])
            assert 0 <= witnessed <= found["log"]["size"]
            assert told(metrics, "pulang_link_forked", partner=link["partner"]) == 0
            if link["heard_at"] is not None:
                silent = told(metrics, "pulang_link_silent_seconds", partner=link["partner"])
                assert 0 <= silent < 60
        for model in found["projections"]:
            assert told(metrics, "pulang_projection_lag_events", model=model["name"]) == 0
            assert told(metrics, "pulang_projection_behind_seconds", model=model["name"]) == 0
        counted = sum(
            value
            for (name, labels), value in metrics.items()
            if name == "pulang_parked_messages" and ("reason", "REPLAYED_FRAME") not in labels
        )
        assert counted == found["parked"] == (1 if desk is city else 0)
    metrics = parsed((await scrape(city)).text)
    assert told(metrics, "pulang_parked_messages", partner="35", reason="REPLAYED_FRAME") == 1
    assert told(metrics, "pulang_build_info", version=VERSION, office="53.71", kind="city") == 1


async def test_the_metrics_say_ready_as_the_health_page_does(city: Desk) -> None:
    async def ready(wanted: bool) -> bool:
        page = (await city.http.get("/health/ready")).is_success
        return page is wanted and told(parsed((await scrape(city)).text), "pulang_ready") == wanted

    async with city.office.pool.connection() as connection:
        await connection.execute("update projections set position = 99 where name = 'board'")
    await eventually(lambda: ready(False))
    metrics = parsed((await scrape(city)).text)
    assert told(metrics, "pulang_projection_lag_events", model="board") == -99


async def test_the_metrics_open_to_who_oversees_and_never_without_an_account(city: Desk) -> None:
    assert (await city.http.get("/metrics")).status_code == 401
    for role in city.tokens:
        wanted = 200 if role in ("operator", "admin", "auditor") else 403
        assert (await scrape(city, role)).status_code == wanted, role


async def test_nothing_in_the_metrics_tells_of_a_person_or_a_handover(
    city: Desk, province: Desk
) -> None:
    persons = await story.issued(city)
    await story.expected(province)
    for desk in (city, province):
        text = (await scrape(desk)).text
        assert not re.search(r"PM-|HO-", text)
        assert not [one for one in (*persons, *desk.tokens) if f'"{one}"' in text]
        labels = {name for _, pairs in parsed(text) for name, _ in pairs}
        assert labels <= {"version", "office", "kind", "partner", "reason", "model"}


def test_the_version_is_that_of_the_package() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text)["project"]["version"] == VERSION
