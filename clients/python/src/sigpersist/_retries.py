"""Decides whether a request is sent again, and when. Nothing here sleeps."""

from __future__ import annotations

import logging
import random
from typing import Any

import httpx

from sigpersist._errors import NoAnswerError, SigpersistError, refusal
from sigpersist._requests import Request

log = logging.getLogger("sigpersist")

# Failures of httpx that are the caller's: sending again can't help.
MISTAKES = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)


class Retries:
    """The attempts of one request.

    Each method says after how many seconds to send it again, or raises what the caller should know.
    """

    def __init__(self, request: Request[Any], request_id: str, attempts: int, longest_wait_s: float) -> None:
        self._request = request
        self._request_id = request_id
        self._attempts = attempts
        self._longest_wait_s = longest_wait_s
        self._sent = 0

    def after_silence(self, error: httpx.TransportError) -> float:
        """After a request that got no answer, so that nobody knows whether it was done."""
        self._sent += 1
        if isinstance(error, MISTAKES):
            raise error
        never_sent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
        if self._sent >= self._attempts or not (self._request.repeatable or never_sent):
            raise NoAnswerError(self._request_id, self._sent) from error
        return self._pause(backoff_s(self._sent), type(error).__name__)

    def after_refusal(self, response: httpx.Response) -> float:
        """After an answer that is not a success."""
        self._sent += 1
        error = refusal(response)
        wait_s = self._wait_s(error)
        if wait_s is None or wait_s > self._longest_wait_s or self._sent >= self._attempts:
            raise error
        return self._pause(wait_s, error.code)

    def _wait_s(self, error: SigpersistError) -> float | None:
        # Nothing was done, except perhaps if the database went away in the middle.
        may_repeat = self._request.repeatable or error.code != "database_unavailable"
        if error.status in (429, 503) and error.retry_after is not None:
            return error.retry_after if may_repeat else None
        # Something in between lost the server; whether the request was done is not known.
        if error.code in ("http_502", "http_503", "http_504") and self._request.repeatable:
            return backoff_s(self._sent)
        return None

    def _pause(self, wait_s: float, why: str) -> float:
        log.info(
            "Sending %s %s again in %.1f s: %s (request %s)",
            self._request.method, self._request.path, wait_s, why, self._request_id,
        )  # fmt: skip
        return wait_s


def backoff_s(failures: int, longest_s: float = 30) -> float:
    """Returns how long to wait after so many failures. Clients that failed together do not come back together."""
    return min(longest_s, 0.2 * 2.0 ** min(failures, 16)) * random.uniform(0.5, 1)
