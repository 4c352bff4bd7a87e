"""Checks calls of webhooks: that Sigpersist made them, just now, and that nobody changed them (Standard Webhooks)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sigpersist._reading import read
from sigpersist.models import Event


class WebhookError(Exception):
    """A call that must not be believed. Answer it with 401."""


@dataclass(frozen=True)
class WebhookCall:
    """A call that Sigpersist made."""

    id: str
    """The event's id. A call may be repeated, always with the same id."""
    type: str
    """The event's type. Skip types that you do not know."""
    timestamp: str
    """When the event happened, in the words of RFC 3339."""
    event: Event
    """The event. Of a test its number is 0."""


class Webhook:
    """Checks the calls of one webhook."""

    def __init__(self, secret: str | Sequence[str], *, tolerance_s: int = 300) -> None:
        """Takes the secret that the server showed (`whsec_…`). While you rotate it, give the old and the new one.

        `tolerance_s` is how old a call may be, and how far in the future by another clock.
        """
        secrets = [secret] if isinstance(secret, str) else list(secret)
        if not secrets:
            raise ValueError("a webhook needs a secret")
        self._keys = [_key(text) for text in secrets]
        self._tolerance_s = tolerance_s

    def verify(self, headers: Mapping[str, str], body: bytes | str) -> WebhookCall:
        """Returns what a call tells, given its headers, in any case, and its body as it was received.

        Raises `WebhookError` if the call is not of Sigpersist, was changed, or is too old.
        """
        given = {name.lower(): value for name, value in headers.items()}
        try:
            call_id, sent, signatures = (given[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
            sent_s = int(sent)
        except (KeyError, ValueError):
            raise WebhookError("it lacks the headers of a webhook") from None
        body = body.encode() if isinstance(body, str) else body
        content = f"{call_id}.{sent}.".encode() + body
        expected = [base64.b64encode(hmac.digest(key, content, hashlib.sha256)) for key in self._keys]
        found = [text.removeprefix("v1,").encode() for text in signatures.split() if text.startswith("v1,")]
        # All pairs are compared, so that the time does not tell which one is right.
        if not any([hmac.compare_digest(one, other) for one in expected for other in found]):  # noqa: C419
            raise WebhookError("its signature is wrong")
        if abs(time.time() - sent_s) > self._tolerance_s:
            raise WebhookError("it is too old, or the clocks differ")
        try:
            message = json.loads(body)
            return WebhookCall(call_id, message["type"], message["timestamp"], read(Event, message["data"]))
        except (ValueError, KeyError, TypeError) as error:
            raise WebhookError("it does not tell of an event") from error

    def __repr__(self) -> str:
        return f"Webhook(<{len(self._keys)} secrets>)"


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    # With an empty key, anybody could sign. The error does not show the secret.
    if not key:
        raise ValueError("a secret of a webhook is `whsec_` and base64")
    return key
