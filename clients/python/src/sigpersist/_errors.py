"""What may go wrong: the server refuses a request (`SigpersistError`), or does not answer it (`NoAnswerError`)."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from typing import Any

import httpx

from sigpersist import models
from sigpersist._reading import Model, read


class SigpersistError(Exception):
    """A request that the server refused.

    Decide by `code`, show `message` to people, and log `request_id`.
    """

    code: str
    """A stable word, such as those of `sigpersist.models.Code`; newer servers may have more. `http_502` and the like
    if the answer is not of the server, but of something in between."""
    status: int
    """The HTTP status."""
    message: str
    """A sentence for people."""
    details: models.Details | Mapping[str, Any] | None
    """Facts for programs, of the type that is named after the code: `VersionConflictDetails` for `version_conflict`.
    A plain mapping if this client does not know the code."""
    request_id: str | None
    """Identifies the request in the server's log."""
    retry_after: float | None
    """The number of seconds after which it helps to send the same request again; None if waiting does not help."""

    def __init__(
        self,
        code: str,
        status: int,
        message: str,
        details: models.Details | Mapping[str, Any] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, status, message, details, request_id, retry_after)
        self.code = code
        self.status = status
        self.message = message
        self.details = details
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.code}: {self.message}{self._reasons()} (HTTP {self.status}, request {self.request_id})"

    def _reasons(self) -> str:
        """What each hook said, if hooks rejected the request."""
        if not isinstance(self.details, models.HookRejectedDetails):
            return ""
        reasons = (
            f"{one.hook}: {one.code}{f' at {one.field}' if one.field else ''}: {one.message}"
            for one in self.details.rejections
        )
        return f" {'; '.join(reasons)}"


class NoAnswerError(Exception):
    """A request that got no answer: the server can't be reached, or took too long. The cause has the reason.

    Whether the server has done it is not known. All requests of this client that save or delete may be sent again.
    """

    request_id: str
    """Identifies the request in the server's log, if it got there."""
    attempts: int
    """The number of times that it was sent."""

    def __init__(self, request_id: str, attempts: int) -> None:
        super().__init__(request_id, attempts)
        self.request_id = request_id
        self.attempts = attempts

    def __str__(self) -> str:
        return f"no answer to request {self.request_id}, sent {self.attempts} times: {self.__cause__!r}"


def refusal(response: httpx.Response) -> SigpersistError:
    """Reads the error that an answer tells."""
    try:
        failure: dict[str, Any] = response.json()
        code, message = str(failure["code"]), str(failure["message"])
    except (ValueError, KeyError, TypeError):
        failure, code, message = {}, f"http_{response.status_code}", response.reason_phrase
    return SigpersistError(
        code,
        response.status_code,
        message,
        _details(code, failure.get("details")),
        failure.get("request_id") or response.headers.get("x-request-id"),
        _retry_after(response.headers.get("retry-after")),
    )


def refusal_of_one(outcome: dict[str, Any], request_id: str | None) -> SigpersistError:
    """Reads the error of one of many."""
    error: dict[str, Any] = outcome["error"]
    code = str(error["code"])
    details, retry_after = _details(code, error.get("details")), error.get("retry_after")
    return SigpersistError(code, outcome["status"], error["message"], details, request_id, retry_after)


def _details(code: str, details: dict[str, Any] | None) -> models.Details | Mapping[str, Any] | None:
    model = getattr(models, code.title().replace("_", "") + "Details", None)
    if details is not None and isinstance(model, type) and issubclass(model, Model):
        try:
            return read(model, details)  # type: ignore[return-value]
        except ValueError:
            pass
    return details


def _retry_after(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
