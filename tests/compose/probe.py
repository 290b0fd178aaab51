"""Tries what an office must not be able to do, and prints what of it went through, as JSON.

`check.py` feeds it to Python inside a worker's container, so that it has that worker's settings,
networks and nothing more. Arguments: the office itself, a partner, and another office.
"""

from __future__ import annotations

import json
import os
import sys

import psycopg
import redis

own, partner, other = sys.argv[1:4]
client = redis.Redis.from_url(os.environ["PULANG_REDIS_URL"])
nobody = redis.Redis.from_url("redis://redis:6379/0")
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


def went_through(connection: redis.Redis, command: list[str]) -> bool:
    """Any other error than the refusal means that Redis would have done it."""
    try:
        connection.execute_command(*command)
    except redis.exceptions.NoPermissionError:
        return False
    except redis.exceptions.ResponseError:
        return True
    return True


# First what it may: without it the refusals below would prove nothing.
client.xdel(outgoing, client.xadd(f"pulang:{own}:nobody", {"x": "y"}))
client.xinfo_consumers(incoming, own)
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
sys.stdout.write(json.dumps(found) + "\n")
