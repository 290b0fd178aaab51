"""Tries what an office must not be able to do, and prints what of it went through, as JSON.

`check.py` feeds it to Python inside a worker's container, so that it has that worker's settings,
networks and nothing more. Arguments: the office itself, a partner, another office, and the
certificate of an authority that is none of this deployment's.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import psycopg
import redis
from psycopg.conninfo import make_conninfo

own, partner, other, foreign_authority = sys.argv[1:5]
REDIS_URL = os.environ["PULANG_REDIS_URL"]
DATABASE_URL = os.environ["PULANG_DATABASE_URL"]
TRUSTED = "/etc/pulang/ca.pem"
# Inside the container, in memory.
FOREIGN = Path("/tmp/foreign.pem")
# The office's own user and password, so that nothing but the encryption is left to refuse it.
WITHOUT_QUERY = REDIS_URL.partition("?")[0]
between = f"pulang:{partner}:{other}"
incoming = f"pulang:{partner}:{own}"
outgoing = f"pulang:{own}:{partner}"

MUST_FAIL = {
    "read what is meant for another": ["XRANGE", between, "-", "+"],
    "read it as a group": ["XREADGROUP", "GROUP", own, "x", "STREAMS", between, ">"],
    "make a group there": ["XGROUP", "CREATE", between, own, "0"],
    "acknowledge for another": ["XACK", between, other, "1-1"],
    "write into what it reads": ["XADD", incoming, "*", "__data__", "x"],
    "write as another": ["XADD", f"pulang:{other}:{partner}", "*", "__data__", "x"],
    "trim what it reads": ["XTRIM", incoming, "MAXLEN", "0"],
    "delete from what it reads": ["XDEL", incoming, "1-1"],
    "drop its own stream": ["DEL", outgoing],
    "remove a group": ["XGROUP", "DESTROY", incoming, own],
    "list the streams": ["KEYS", "*"],
    "write elsewhere": ["SET", "x", "y"],
    "see the configuration": ["CONFIG", "GET", "*"],
    "see the users": ["ACL", "LIST"],
    "run a script": ["EVAL", "return 1", "0"],
    "flush": ["FLUSHALL"],
}
# None of them would do anything if it were allowed; each is rolled back all the same.
MUST_BE_DENIED = [
    *(
        f"{statement} {table}{rest}"
        for table in ("events", "outbox", "inbox", "requests")
        for statement, rest in (("delete from", " where false"), ("truncate", ""))
    ),
    "update events set actor = actor where false",
    "update outbox set body = body where false",
    "update inbox set body = body where false",
    "update requests set response = response where false",
    "alter table events disable trigger all",
    "drop table events",
    "set role pulang",
    "create role another",
]


def went_through(connection: redis.Redis, command: list[str]) -> bool:
    """Any other error than the refusal means that Redis would have done it."""
    try:
        connection.execute_command(*command)
    except redis.exceptions.NoPermissionError:
        return False
    except redis.exceptions.ResponseError:
        return True
    return True


def through_redis(url: str, why: str) -> str | None:
    """What is wrong, unless no connection comes about for that reason."""
    try:
        redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5).ping()
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:
        return None if re.search(why, str(error)) else f"not refused for {why!r}: {error}"
    return "it went through"


def through_database(why: str, **changed: str) -> str | None:
    try:
        psycopg.connect(make_conninfo(DATABASE_URL, connect_timeout=5, **changed)).close()
    except psycopg.OperationalError as error:
        return None if why in str(error) else f"not refused for {why!r}: {error}"
    return "it went through"


def denied(connection: psycopg.Connection, statement: str) -> str | None:
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return None
    except psycopg.Error as error:
        return f"not refused for want of a right: {type(error).__name__}"
    return "it went through"


def with_options(url: str, **options: str) -> str:
    return f"{url}?{urlencode(options)}"


# First what it may: without it the refusals below would prove nothing.
client = redis.Redis.from_url(REDIS_URL)
client.xdel(outgoing, client.xadd(f"pulang:{own}:nobody", {"x": "y"}))
client.xinfo_consumers(incoming, own)
nobody = redis.Redis.from_url(with_options("rediss://redis:6379/0", ssl_ca_certs=TRUSTED))
nobody.ping()

found = [what for what, command in MUST_FAIL.items() if went_through(client, command)]
if went_through(nobody, ["XRANGE", incoming, "-", "+"]):
    found.append("read without a password")
try:
    psycopg.connect(f"postgresql://pulang@postgres-{partner}:5432/pulang", connect_timeout=3)
    found.append("reach another's database")
except psycopg.OperationalError as error:
    # That name exists on another office's network alone.
    if "resolve" not in str(error):
        found.append(f"reach another's database: {error}")

FOREIGN.write_text(foreign_authority)
host = urlsplit(REDIS_URL).hostname or ""
database_at = socket.gethostbyname(f"postgres-{own}")
tried = {
    "Redis in clear": through_redis(WITHOUT_QUERY.replace("rediss:", "redis:"), "reset|closed"),
    "Redis of a foreign authority": through_redis(
        with_options(WITHOUT_QUERY, ssl_ca_certs=str(FOREIGN)), "certificate verify failed"
    ),
    "Redis under another name": through_redis(
        REDIS_URL.replace(f"@{host}:", f"@{socket.gethostbyname(host)}:"), "IP address mismatch"
    ),
    "PostgreSQL in clear": through_database("no encryption", sslmode="disable"),
    "PostgreSQL of a foreign authority": through_database(
        "certificate verify failed", sslrootcert=str(FOREIGN)
    ),
    "PostgreSQL under another name": through_database(
        "does not match host name", host=f"postgres-{partner}", hostaddr=database_at
    ),
}
with psycopg.connect(DATABASE_URL, autocommit=True) as connection:
    connection.execute("select from events limit 1")
    for statement in MUST_BE_DENIED:
        tried[statement] = denied(connection, statement)
found += [f"{what}: {wrong}" for what, wrong in tried.items() if wrong]
sys.stdout.write(json.dumps(found) + "\n")
