"""An event loop whose time passes only when nobody is ready, and whose threads run inline."""

from __future__ import annotations

import asyncio
import contextvars
from asyncio import base_events
from collections.abc import Callable
from typing import Any

OWNER: contextvars.ContextVar[Any] = contextvars.ContextVar("owner", default=None)
"""The process that the running task belongs to; its tasks end with it."""


class Stuck(Exception):
    """Nothing is ready and nothing waits for a time: it would stand still for ever."""


class _Selector:
    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Stuck("no task is ready and no time is waited for")
        self._loop.passed += timeout
        return []

    def close(self) -> None:
        pass


class VirtualLoop(base_events.BaseEventLoop):
    """Tasks run in the order in which they became ready: nothing comes from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0
        self._selector = _Selector(self)
        self.set_task_factory(_task)

    def time(self) -> float:
        return self.passed

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def _task(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **more)
    context = more.get("context")
    owner = OWNER.get() if context is None else context.get(OWNER)
    if owner is not None:
        owner.tasks.append(task)
    return task
