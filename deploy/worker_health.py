"""Is this office's worker at work? Exit 0 if so; the health check of a worker's container.

It asks those who would notice: the office's database, whether a worker holds the lock, and Redis,
how long ago that worker last asked each incoming link for messages (from Redis 7.2 on). Parked
messages, a silent partner or one with nothing to say make no worker unhealthy. A second worker
that stands by is as healthy as the one that is active.

It runs every few seconds in every worker's container and imports little for that reason: not the
application, whose start costs many times as much. So the names below are written twice; where they
stop agreeing with shared/runtime/worker.py and streams.py, every worker is unhealthy at once.
"""

from __future__ import annotations

import os
import sys

import psycopg
import redis

WORKER_LOCK = 53710003
CONSUMER = b"worker"
TIMEOUT_SECONDS = 5
# An active worker asks twice a second; while it commits a large batch it may be silent for longer.
SILENT_MILLISECONDS = 30_000


def trouble() -> str | None:
    office = os.environ["PULANG_OFFICE"]
    partners = [p for p in os.environ.get("PULANG_PARTNERS", "").split(",") if p]
    with psycopg.connect(
        os.environ["PULANG_DATABASE_URL"], connect_timeout=TIMEOUT_SECONDS
    ) as connection:
        held = connection.execute(
            "select exists (select from pg_locks l join pg_database d on d.oid = l.database"
            " where l.locktype = 'advisory' and l.objid = %s and l.granted"
            " and d.datname = current_database())",
            (WORKER_LOCK,),
        ).fetchone()
    if not held or not held[0]:
        return "no worker is active"
    with redis.Redis.from_url(
        os.environ["PULANG_REDIS_URL"],
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
    ) as client:
        for partner in partners:
            consumers = client.xinfo_consumers(f"pulang:{partner}:{office}", office)
            readers = [c for c in consumers if c["name"] == CONSUMER]
            if not readers:
                return f"nobody has read the link from {partner}"
            # Before 7.2 Redis counts a reader idle that asks and gets nothing, and has no
            # `inactive`: there only the lock can tell.
            silent = [c["idle"] for c in readers if "inactive" in c]
            if silent and min(silent) > SILENT_MILLISECONDS:
                return f"the link from {partner} was last read {min(silent)} ms ago"
    return None


def main() -> int:
    try:
        found = trouble()
    except (psycopg.Error, redis.RedisError, OSError) as error:
        # The kind alone: a message may repeat an address with its password.
        found = f"database or Redis: {type(error).__name__}"
    sys.stdout.write((found or "active") + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
