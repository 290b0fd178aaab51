"""Both offices' whole API against its own OpenAPI document, under every role.

schemathesis makes what the document allows and what it does not; each of it is sent with every
role's token, with a token that is nobody's, and without one, to an office that has a handover on
its way. Half of the time codes in the path are those of things that exist. Promises: no 5xx, no
status that the document does not name, the content type and the form that it names, and of every
refusal a whole problem document.

PULANG_FUZZ_EXAMPLES makes it look deeper than a run of all tests has time for.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.city.service import SERVICE as CITY
from services.province.service import SERVICE as PROVINCE
from shared.runtime.web import describe, make_app
from tests.system import story
from tests.system.offices import Desk, eventually

EXAMPLES = int(os.environ.get("PULANG_FUZZ_EXAMPLES", "2"))
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
BASE = "http://office"
OPEN = ("/health/live", "/health/ready", "/api/v1/sessions")
PROBLEM = {"type", "title", "status", "code", "detail", "remedy", "unchanged", "errors"}
METHODS = ("get", "post", "put", "patch", "delete")
_keys = count(1)


class Fuzz:
    """One office under fire: sends each case as everybody, and gathers what is not as it says."""

    def __init__(self, desk: Desk, known: dict[str, list[str]]) -> None:
        self.desk = desk
        self.known = known
        self.found: dict[str, str] = {}
        self.sent = 0
        self.statuses: dict[int, int] = {}
        self._loop = asyncio.get_running_loop()
        self._callers = {**desk.tokens, "nobody": "pulang_tidak-ada"}

    def run(self, document: dict[str, Any]) -> None:
        """Blocking: generates here, while the office answers in its own loop."""
        for result in schemathesis.openapi.from_dict(document).get_all_operations():
            if not isinstance(result, Ok):
                raise TypeError(f"a part of the document can't be read: {result}")
            operation = result.ok()
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                try:
                    self._fire(operation.as_strategy(generation_mode=mode))
                except Exception as error:
                    # Where nothing can be sent that would be wrong, there is nothing to send.
                    if mode is GenerationMode.POSITIVE or "Unsatisfiable" not in repr(error):
                        raise

    def _fire(self, cases: st.SearchStrategy[Case[Any]]) -> None:
        @seed(20191004)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases, existing=st.booleans(), pick=st.integers(0, 2))
        def check(case: Case[Any], existing: bool, pick: int) -> None:
            if existing:
                for name in case.path_parameters:
                    if values := self.known.get(name):
                        case.path_parameters[name] = values[pick % len(values)]
            answers = asyncio.run_coroutine_threadsafe(self._as_everybody(case), self._loop)
            for caller, answer in answers.result(timeout=60):
                self._judge(case, caller, answer)

        check()

    async def _as_everybody(self, case: Case[Any]) -> list[tuple[str, httpx.Response]]:
        prepared = requests.Request(**_without_session(case)).prepare()
        callers: dict[str, str | None] = {"no account": None}
        if case.path not in OPEN or case.method.upper() == "DELETE":
            callers |= self._callers
        answers = await asyncio.gather(*(self._send(prepared, token) for token in callers.values()))
        return list(zip(callers, answers, strict=True))

    async def _send(self, prepared: Any, token: str | None) -> httpx.Response:
        headers = {k.lower(): v for k, v in prepared.headers.items()}
        headers.pop("authorization", None)
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        if len(headers.get("idempotency-key", "")) >= 8:
            # Its own for each, or most would be told that the key is used already.
            headers["idempotency-key"] = f"fuzz-key-{next(_keys)}"
        return await self.desk.http.request(
            prepared.method, prepared.url, headers=headers, content=prepared.body
        )

    def _judge(self, case: Case[Any], caller: str, answer: httpx.Response) -> None:
        self.sent += 1
        self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
        what = f"{case.method.upper()} {case.path}"
        if answer.status_code >= 500:
            self._note(what, caller, answer, "a 5xx")
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                self._note(what, caller, answer, failure.title)
        if answer.status_code >= 400 and (fault := malformed(answer)):
            self._note(what, caller, answer, fault)

    def _note(self, what: str, caller: str, answer: httpx.Response, fault: str) -> None:
        self.found.setdefault(
            f"{what}: {answer.status_code}: {fault}",
            f"as {caller}: {answer.request.method} {answer.request.url}"
            f" {answer.request.content[:300]!r} → {answer.text[:300]}",
        )

    def verdict(self) -> str:
        return "\n".join(f"{one}\n    {example}" for one, example in sorted(self.found.items()))


def _without_session(case: Case[Any]) -> dict[str, Any]:
    given = case.as_transport_kwargs(base_url=BASE)
    return {k: v for k, v in given.items() if k in requests.Request.__init__.__code__.co_varnames}


def malformed(answer: httpx.Response) -> str | None:
    """What is wrong with a refusal as a problem document (RFC 9457)."""
    if answer.headers.get("content-type") != "application/problem+json":
        return "a refusal that is no problem document"
    problem = answer.json()
    if set(problem) != PROBLEM or problem["status"] != answer.status_code:
        return "a problem document that is not whole"
    if problem["type"] != f"urn:pulang:problem:{problem['code']}":
        return "a problem document whose type is not its code"
    if not all(problem[name] for name in ("title", "code", "detail", "remedy", "unchanged")):
        return "a problem document without a sentence"
    return None


async def fired_at(desk: Desk, known: dict[str, list[str]]) -> Fuzz:
    async def ready() -> bool:
        return (await desk.http.get("/health/ready")).is_success

    await eventually(ready)
    fuzz = Fuzz(desk, known)
    await asyncio.to_thread(fuzz.run, describe(desk.app))
    return fuzz


KNOWN = {"operation": ["OP-TEST"], "handover": ["HO-1"], "subject": ["HO-1", "OP-TEST"],
         "position": ["1", "2", "5"]}  # fmt: skip


@pytest.mark.timeout(1_800 if EXAMPLES > 2 else 120)
async def test_the_city_answers_everybody_as_its_document_says(city: Desk, province: Desk) -> None:
    persons = await story.issued(city)
    fuzz = await fired_at(city, KNOWN | {"person": persons})
    assert fuzz.sent > 500
    assert {200, 201, 401, 403, 409, 422} <= set(fuzz.statuses), fuzz.statuses
    assert not fuzz.found, fuzz.verdict()


@pytest.mark.timeout(1_800 if EXAMPLES > 2 else 120)
async def test_the_province_answers_everybody_as_its_document_says(
    city: Desk, province: Desk
) -> None:
    persons = await story.awaited(city, province, 3)
    await story.answer(province, persons[0], story.ARRIVED)
    fuzz = await fired_at(province, KNOWN | {"person": persons})
    assert fuzz.sent > 500
    assert {200, 201, 401, 403, 409, 422} <= set(fuzz.statuses), fuzz.statuses
    assert not fuzz.found, fuzz.verdict()


def test_a_refusal_that_says_too_little_is_noticed() -> None:
    whole: dict[str, Any] = dict.fromkeys(PROBLEM, "x") | {"status": 409, "code": "X"}
    whole["type"] = "urn:pulang:problem:X"

    def refusal(body: dict[str, Any], kind: str = "application/problem+json") -> httpx.Response:
        return httpx.Response(409, content=json.dumps(body), headers={"Content-Type": kind})

    assert malformed(refusal(whole)) is None
    assert malformed(refusal(whole, "application/json"))
    assert malformed(refusal(whole | {"status": 422}))
    assert malformed(refusal(whole | {"remedy": ""}))
    assert malformed(refusal(whole | {"value": "rahasia"}))


def _operations(service: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    app = make_app(lambda: None, service, with_worker=False, body_bytes=1024)
    for path, methods in describe(app)["paths"].items():
        for method, operation in methods.items():
            if method in METHODS:
                yield method, path, operation


def must_name(method: str, path: str, operation: dict[str, Any]) -> set[str]:
    """The statuses that can occur at an address, whoever asks and whatever the server's state."""
    statuses = {"413"}  # The gate counts what is sent, whether or not a body is wanted.
    if path == "/health/live":
        return statuses
    statuses.add("503")
    if path == "/health/ready":
        return statuses
    if (method, path) == ("post", "/api/v1/sessions"):
        return statuses | {"401", "422", "429"}
    statuses.add("401")
    if path.startswith("/api/v1/") or path == "/metrics":
        statuses.add("403")
    if operation.get("parameters") or "requestBody" in operation:
        statuses.add("422")
    if method == "post":
        # 200 is the answer to the same key again.
        statuses |= {"200", "201", "409"}
    return statuses


@pytest.mark.parametrize("service", [CITY, PROVINCE], ids=lambda one: one.kind)
def test_the_document_names_every_status_that_can_occur(service: Any) -> None:
    missing = {
        f"{method.upper()} {path}": sorted(lacking)
        for method, path, operation in _operations(service)
        if (lacking := must_name(method, path, operation) - set(operation["responses"]))
    }
    assert missing == {}


async def test_a_command_that_is_sent_again_and_one_too_long_are_answered_as_documented(
    city: Desk,
) -> None:
    responses = describe(city.app)["paths"]["/api/v1/operations"]["post"]["responses"]
    for _ in range(2):
        again = await city.send("issuer", "/operations", story.OPERATION, key="kunci-yang-sama")
        assert str(again.status_code) in responses
    assert again.json()["repeated"]
    long = await city.send("issuer", "/operations", content=b" " * (5 * 1024 * 1024))
    assert long.status_code == 413
    assert malformed(long) is None
    assert "413" in responses
