"""Forms: what people send for a command, derived from the command itself.

A form has the command's own fields, less those in the path and those the office fills in; so a
field added to a command is in the API, its validation and its documentation at once.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from pydantic import create_model

from shared.contracts.values import FactTime, Value
from shared.kernel.decider import Command
from shared.kernel.handling import Unit
from shared.runtime.manifest import CommandRoute, Desk, Plan

MoreCommands = Callable[[Desk, Any], Awaitable[Sequence[Command]]]


class Form(Value):
    """A body. `occurred_at` is when it happened, with its offset; left out, it is now."""

    occurred_at: FactTime | None = None


def form_of(
    command: type[Command], left_out: frozenset[str], optional: frozenset[str] = frozenset()
) -> type[Form]:
    """The form of a command without the fields named in `left_out`."""
    fields: dict[str, Any] = {}
    for name, info in command.model_fields.items():
        if name in left_out or name in Command.model_fields:
            continue
        if name in optional:
            fields[name] = (info.rebuild_annotation() | None, None)
        else:
            fields[name] = (info.annotation, info)
    return create_model(f"{command.__name__}Form", __base__=Form, __doc__=command.__doc__, **fields)


def path_names(path: str) -> frozenset[str]:
    return frozenset(re.findall(r"{(\w+)}", path))


def command_route(
    path: str,
    summary: str,
    command: type[Command],
    roles: frozenset[str],
    *,
    draws: Mapping[str, Callable[[], str]] | None = None,
    before: MoreCommands | None = None,
    after: MoreCommands | None = None,
) -> CommandRoute:
    """A route for one command.

    `draws` names ids that the office draws where the form leaves them out. `before` and `after`
    give further commands that stand or fall with it.
    """
    drawn = dict(draws or {})

    async def plan(desk: Desk, form: Form, path_values: dict[str, str]) -> Plan:
        fields = form.model_dump(exclude={"occurred_at"}, exclude_unset=True)
        ids = {name: fields.get(name) or draw() for name, draw in drawn.items()}
        main = desk.command(command, **fields | ids | path_values)
        commands = [
            *(await before(desk, main) if before else ()),
            main,
            *(await after(desk, main) if after else ()),
        ]
        return Plan([Unit(commands)], ids | path_values)

    return CommandRoute(
        path, summary, roles, form_of(command, path_names(path), frozenset(drawn)), plan
    )
