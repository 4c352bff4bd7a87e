"""What tests share."""

from __future__ import annotations

import asyncio
import base64
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sigpersist import AsyncClient, TenantKey
from sigpersist.testing import FakeServer

DATA = Path(__file__).parents[3] / "tests" / "data"
BY_AIGERIM = (DATA / "first.cms.b64").read_text().strip()
BY_BOTH = (DATA / "countersigned.cms.b64").read_text().strip()
DETACHED = base64.b64decode("".join((DATA / "detached.cms.pem").read_text().splitlines()[1:-1]))
CONTENT = b"A contract between two people who do not exist.\n"


@dataclass
class Service:
    """A server, and what a client of it needs."""

    url: str
    token: str | TenantKey
    fake: FakeServer | None


class Blocking:
    """An async client with the methods of the sync one."""

    def __init__(self, make: Callable[[], AsyncClient]) -> None:
        self._loop = asyncio.new_event_loop()

        async def made() -> AsyncClient:
            return make()

        self._client = self._loop.run_until_complete(made())

    def __getattr__(self, name: str) -> Any:
        return self._blocking(getattr(self._client, name))

    def close(self) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.close()

    def _blocking(self, value: Any) -> Any:
        if isinstance(value, Awaitable):
            return self._loop.run_until_complete(value)
        if isinstance(value, AsyncIterator):
            return BlockingIterator(self._loop, value)
        if callable(value):
            return lambda *given, **named: self._blocking(
                value(*map(_in_async, given), **{name: _in_async(one) for name, one in named.items()})
            )
        if type(value).__name__ == "AsyncEvents":
            return BlockingPart(self._blocking, value)
        return value


class BlockingPart:
    def __init__(self, blocking: Callable[[Any], Any], part: Any) -> None:
        self._blocking = blocking
        self._part = part

    def __getattr__(self, name: str) -> Any:
        return self._blocking(getattr(self._part, name))


class BlockingIterator:
    def __init__(self, loop: asyncio.AbstractEventLoop, items: AsyncIterator[Any]) -> None:
        self._loop = loop
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        async def one() -> Any:
            return await self._items.__anext__()

        try:
            return self._loop.run_until_complete(one())
        except StopAsyncIteration:
            raise StopIteration from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._items, name)


def _in_async(value: Any) -> Any:
    """Makes a callback of a test a coroutine function. It can't use the client itself, whose loop is running."""
    if not inspect.isfunction(value):
        return value

    async def called(*given: Any) -> Any:
        return value(*given)

    return called


def eventually(found: Callable[[], Any]) -> Any:
    """Returns the first result that is not false. Events appear half a second after what they tell of."""
    deadline = time.monotonic() + 10
    while not (result := found()):
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.05)
    return result
