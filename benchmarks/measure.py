"""Taking turns, medians, and the counting of what goes over the wire."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from psycopg.pq import Trace
from psycopg_pool import AsyncConnectionPool

Turn = Callable[[], Awaitable[float]]
"""One measurement: things a second, or seconds, whatever the row's unit says."""


@dataclass(frozen=True)
class Row:
    """One line of the table: ours, the raw loop, and what they are."""

    name: str
    unit: str
    ours: float
    raw: float
    ratio: float
    raw_is: str


@dataclass(frozen=True)
class Trips:
    """What one step asks of PostgreSQL: statements executed, and answers waited for."""

    name: str
    statements: float
    round_trips: float


async def paired(
    name: str, unit: str, ours: Turn, raw: Turn, raw_is: str, *, rounds: int = 5
) -> Row:
    """Measures both by turns, the first one changing each round; medians of figures and ratios."""
    pairs: list[tuple[float, float]] = []
    for number in range(rounds):
        if number % 2:
            by_hand = await raw()
            pairs.append((await ours(), by_hand))
        else:
            pairs.append((await ours(), await raw()))
    return row_of(name, unit, pairs, raw_is)


def row_of(name: str, unit: str, pairs: Sequence[tuple[float, float]], raw_is: str) -> Row:
    return Row(
        name,
        unit,
        statistics.median(ours for ours, _ in pairs),
        statistics.median(raw for _, raw in pairs),
        statistics.median(ours / raw for ours, raw in pairs),
        raw_is,
    )


async def per_second(number: int, work: Awaitable[object]) -> float:
    """Things a second, where `work` does `number` of them."""
    started = time.perf_counter()
    await work
    return number / (time.perf_counter() - started)


@dataclass
class Wire:
    """Counts on a pool's connections, from libpq's own trace of the protocol."""

    path: Path
    trips: list[Trips] = field(default_factory=list)

    async def count(self, name: str, work: Awaitable[object], *, per: int = 1) -> None:
        """Runs `work` and notes what it cost, divided by `per`."""
        before = self._seen()
        await work
        after = self._seen()
        statements, answers = (now - then for now, then in zip(after, before, strict=True))
        self.trips.append(Trips(name, statements / per, answers / per))

    def _seen(self) -> tuple[int, int]:
        """Statements sent so far, and the messages after which the client waits for the server.

        A statement is a simple query or an execution with parameters. The server answers once to
        each query and to each Sync, which closes one execution or a whole pipeline of them.
        """
        lines = [line.split("\t") for line in self.path.read_text(errors="replace").splitlines()]
        sent = [line[2].strip() for line in lines if len(line) > 2 and line[0] == "F"]
        queries = sent.count("Query")
        return queries + sent.count("Execute"), queries + sent.count("Sync")


@asynccontextmanager
async def traced(pool: AsyncConnectionPool) -> AsyncIterator[Wire]:
    """Traces every connection of `pool`, which must stand at its full size, for a while."""
    with tempfile.NamedTemporaryFile("w", prefix="pulang-trace-") as file:
        async with AsyncExitStack() as stack:
            # Holding all of them at once is how one gets at each.
            connections = [
                await stack.enter_async_context(pool.connection()) for _ in range(pool.max_size)
            ]
            for connection in connections:
                connection.pgconn.trace(file.fileno())
                connection.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        try:
            yield Wire(Path(file.name))
        finally:
            for connection in connections:
                connection.pgconn.untrace()
