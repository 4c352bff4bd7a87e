"""Many signatures in few requests: decides which are sent together and which again. Nothing here sends or sleeps."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import re
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

from sigpersist import models
from sigpersist._errors import SigpersistError

T = TypeVar("T")

log = logging.getLogger("sigpersist")

# The most that the server takes in one request.
MAX_MANY = 100


class Batch(Generic[T]):
    """Those of one request, until each has its outcome."""

    outcomes: list[T | SigpersistError]
    """What became of each, in their order; those that are sent again have what became of them last."""

    def __init__(
        self,
        start: int,
        bodies: list[dict[str, Any]],
        attempts: int,
        longest_wait_s: float,
        failed: set[tuple[str, str]] | None,
    ) -> None:
        """`failed` has the threads of which one was not saved, in this request or an earlier one; None for reading."""
        self.outcomes = [_earlier_failed() for _ in bodies]
        self._failed = failed
        self._start = start
        self._bodies = bodies
        self._attempts = attempts
        self._longest_wait_s = longest_wait_s
        self._sent = 0
        self._left = [place for place in range(len(bodies)) if self._thread(place) not in (failed or ())]

    @property
    def left(self) -> list[dict[str, Any]]:
        """Those that are to be sent."""
        return [self._bodies[place] for place in self._left]

    def take(self, outcomes: list[T | SigpersistError]) -> float:
        """Takes what became of those that were left, and returns after how many seconds to send the rest again."""
        self._sent += 1
        again: list[int] = []
        threads: set[tuple[str, str]] = set()
        wait_s = 0.0
        for place, outcome in zip(self._left, outcomes, strict=True):
            self.outcomes[place] = outcome
            if not isinstance(outcome, SigpersistError):
                continue
            thread = self._thread(place)
            if self._may_wait(outcome):
                wait_s = max(wait_s, outcome.retry_after or 0)
            # It came after one that has to wait, so the server did not try it.
            elif outcome.code != "earlier_failed" or thread not in threads:
                continue
            again.append(place)
            threads.add(thread)
        self._left = again if self._sent < self._attempts else []
        if self._failed is not None and not self._left:
            errors = (place for place, outcome in enumerate(self.outcomes) if isinstance(outcome, SigpersistError))
            self._failed.update(map(self._thread, errors))
        if self._left:
            log.info("Sending %d of %d again in %.1f s", len(self._left), len(self._bodies), wait_s)
        return wait_s if self._left else 0

    def locate(self, error: SigpersistError) -> None:
        """Changes the place that an error of the whole request names to that among all that the caller gave."""
        details = error.details
        if isinstance(details, models.InvalidParameterDetails) and (
            named := re.fullmatch(r"/signatures/(\d+)(/.*)?", details.field)
        ):
            place = self._start + self._left[int(named[1])]
            error.details = dataclasses.replace(details, field=f"/signatures/{place}{named[2] or ''}")

    def _thread(self, place: int) -> tuple[str, str]:
        return self._bodies[place]["document"], self._bodies[place]["thread"]

    def _may_wait(self, error: SigpersistError) -> bool:
        after = error.retry_after
        return error.status in (429, 503) and after is not None and after <= self._longest_wait_s


def _earlier_failed() -> SigpersistError:
    """What the server says of those that come after one of their thread that was not saved, in the same request."""
    message = "An earlier signature of this thread was not saved, so this one was not tried."
    return SigpersistError("earlier_failed", 424, message)


def batches(
    bodies: Iterable[dict[str, Any]], attempts: int, longest_wait_s: float, *, saves: bool
) -> Iterator[Batch[Any]]:
    """Iterates over what is sent together. After one that is not saved, none of its thread is sent."""
    bodies = iter(bodies)
    start = 0
    failed: set[tuple[str, str]] | None = set() if saves else None
    while batch := list(itertools.islice(bodies, MAX_MANY)):
        yield Batch(start, batch, attempts, longest_wait_s, failed)
        start += len(batch)
