"""Events: a page of them, or all that happen. `_events.py` is generated from `_async_events.py`.

Following asks again and again for what comes after a number (long polling) instead of keeping a stream open. Both are
as fast, but these are ordinary requests: they pass every proxy, have timeouts and retries as all others, and the answer
tells the number to go on from even if none of its events is of the wanted types.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Literal

from sigpersist import _requests, models
from sigpersist._errors import NoAnswerError, SigpersistError
from sigpersist._requests import Request
from sigpersist._retries import backoff_s, log


class AsyncEvents:
    """What happened to the tenant, in order and without gaps. Needs a token with the scope `events:read`."""

    def __init__(self, send: Callable[[Request[Any]], Any]) -> None:
        self._send = send

    async def page(
        self, after: int | Literal["now"], *, types: Sequence[str] = (), limit: int = 100, wait_s: int = 0
    ) -> models.EventPage:
        """Returns events after a number. Store `next`: it is the `after` of the next page.

        With `wait_s`, 25 at most, waits so many seconds for an event if there is none yet.
        """
        page: models.EventPage = await self._send(_requests.events(after, types, limit, wait_s))
        return page

    def follow(
        self, after: int | Literal["now"], *, types: Sequence[str] = (), limit: int = 100, wait_s: int = 25
    ) -> AsyncFollowing:
        """Iterates over events after a number, and waits for further ones, without end.

        It goes on where it was if the server was away. Store `cursor` after you have handled an event:

            following = client.events.follow(after=stored)
            async for event in following:
                handle(event)
                store(following.cursor)

        A `type` that ends with a dot stands for all that begin so. Skip types that you do not know.
        """
        return AsyncFollowing(self, after, types, limit, wait_s)


class AsyncFollowing(AsyncIterator[models.Event]):
    """Events as they happen."""

    def __init__(
        self, events: AsyncEvents, after: int | Literal["now"], types: Sequence[str], limit: int, wait_s: int
    ) -> None:
        self._after: int | Literal["now"] = after
        self._events = events
        self._types = types
        self._limit = limit
        self._wait_s = wait_s
        self._read: deque[models.Event] = deque()
        self._next = 0

    @property
    def cursor(self) -> int:
        """The number to store once you have handled the last event that you got, and to pass as `after`."""
        if self._after == "now":
            raise RuntimeError("it is not known before the first event, since you follow from `now`")
        return self._after

    def __aiter__(self) -> AsyncFollowing:
        return self

    async def __anext__(self) -> models.Event:
        while not self._read:
            # `now` becomes a number before it waits, so that nothing is missed if a request fails.
            wait_s = 0 if self._after == "now" else self._wait_s
            page = await self._page(self._after, wait_s)
            self._read.extend(page.events)
            self._next = page.next
            if not page.events:
                self._after = page.next
        event = self._read.popleft()
        # The next page may begin after events of other types.
        self._after = event.number if self._read else self._next
        return event

    async def _page(self, after: int | Literal["now"], wait_s: int) -> models.EventPage:
        failures = 0
        while True:
            try:
                return await self._events.page(after, types=self._types, limit=self._limit, wait_s=wait_s)
            except NoAnswerError as error:
                failures += 1
                pause_s, why = backoff_s(failures), str(error)
            except SigpersistError as error:
                if error.status != 429 and error.status < 500:
                    raise
                failures += 1
                pause_s, why = error.retry_after or backoff_s(failures), str(error)
            log.warning("Asking for events after %s again in %.1f s: %s", after, pause_s, why)
            await asyncio.sleep(pause_s)
