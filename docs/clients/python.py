#!/usr/bin/env python3
"""A client of Sigpersist, and a story that shows how an application lives with the server.

Needs Python 3.9 or later, and `pip install requests`. Copy the first half, and run the second:

    SIGPERSIST_KEY_ID=… SIGPERSIST_SECRET=… python3 python.py
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any, Callable, Iterator

import requests

SCOPES = "signatures:read signatures:write signatures:delete"
TOKEN_LIFETIME_S = 300
ATTEMPTS = 5
# To connect, and to wait for an answer. The second is longer than the server lets anything wait.
TIMEOUT_S = (5, 60)
LONGEST_WAIT_S = 30


class SigpersistError(Exception):
    """A request that the server refused. Decide by `code`, which is stable; the message is for people."""

    def __init__(self, http_status: int, failure: dict[str, Any]):
        self.http_status = http_status
        self.code: str = failure.get("code") or f"http_{http_status}"
        self.details: dict[str, Any] = failure.get("details") or {}
        # Name it to whoever runs the server: it is in the log.
        self.request_id: str | None = failure.get("request_id")
        super().__init__(f"{self.code}: {failure.get('message')} (request {self.request_id})")


class Sigpersist:
    """What a tenant's application asks of the server."""

    def __init__(self, url: str, key_id: str, secret: str):
        self._url = url.rstrip("/")
        self._key_id = key_id
        self._secret = secret
        self._token = ""
        self._token_expires = 0
        self._session = requests.Session()  # keeps connections open

    def save(self, document: str, thread: str, over: int, cms: str, **more: Any) -> tuple[dict, bool]:
        """Saves `cms` as the version after `over`, the one that it was signed over; 0 for a first signature.

        Returns the version, and whether it is new: not so where an identical request has saved it before. `more` are
        `tags`, `stage`, `version_created_by` and `version_comment`.
        """
        body = {"document": document, "thread": thread, "version": over, "cms": cms, **more}
        status, content = self._request("POST", "/signature", json=body)
        return content["signature"], status == 201

    def read(self, document: str, thread: str, version: int | None = None, verify: bool = False) -> dict:
        """The current version or an earlier one; `verify` adds who signed it, with a verdict on each, as `inspection`."""
        query = {"document": document, "thread": thread, "version": version, "verify": "true" if verify else None}
        content = self._request("GET", "/signature", params=query)[1]
        return {**content["signature"], "inspection": content.get("inspection")}

    def list(self, limit: int = 100, **filters: Any) -> Iterator[dict]:
        """All current versions, newest first, page by page. Filters: `tags`, `tags_match`, `document`, `thread`, `stage`."""
        query = {**filters, "limit": limit, "omit": "signature"}
        while True:
            content = self._request("GET", "/signatures", params=query)[1]
            yield from content["signatures"]
            if content["next"] is None:
                return
            query["cursor"] = content["next"]

    def delete(self, document: str, thread: str) -> None:
        """Deletes a thread with all its versions. Where there is none, it was deleted before: its answer may have been lost."""
        try:
            self._request("DELETE", "/signature", params={"document": document, "thread": thread})
        except SigpersistError as error:
            if error.code != "signature_not_found":
                raise

    def countersign(self, document: str, thread: str, sign: Callable[[dict], str | None], **more: Any) -> dict:
        """Saves what `sign` makes of the current version. Where another writer is faster, `sign` is asked again with
        what that one saved: it signs that, or returns None to leave it as it is."""
        while True:
            current = self.read(document, thread, verify=True)
            cms = sign(current)
            if cms is None:
                return current
            try:
                return self.save(document, thread, current["version"], cms, **more)[0]
            except SigpersistError as error:
                if error.code != "version_conflict":
                    raise

    def _request(self, method: str, path: str, **arguments: Any) -> tuple[int, Any]:
        """Every request here can be repeated: the server answers an identical save with what it has saved already."""
        attempt = 0
        while True:
            attempt += 1
            headers = {"Authorization": f"Bearer {self._bearer()}"}
            try:
                response = self._session.request(
                    method, self._url + path, headers=headers, timeout=TIMEOUT_S, **arguments
                )
            except (requests.ConnectionError, requests.Timeout):
                # The answer is lost; whether anything was done is not known.
                if attempt == ATTEMPTS:
                    raise
                time.sleep(2**attempt / 10)
                continue
            # 429 and 503 may be repeated as they were. Without Retry-After, waiting does not help.
            wait_s = response.headers.get("Retry-After", "")
            if (
                response.status_code in (429, 503)
                and wait_s.isdigit()
                and int(wait_s) <= LONGEST_WAIT_S
                and attempt < ATTEMPTS
            ):
                time.sleep(int(wait_s))
                continue
            try:
                answer = response.json()
            except ValueError:  # not of the server, but of something in between
                answer = {"message": response.reason}
            if not response.ok:
                raise SigpersistError(response.status_code, answer)
            return response.status_code, answer.get("content")

    def _bearer(self) -> str:
        """A JSON Web Token (HS256), signed here: the secret never travels. One serves for some minutes."""
        now = int(time.time())
        if self._token_expires - now < 30:
            self._token_expires = now + TOKEN_LIFETIME_S
            header = {"alg": "HS256", "typ": "JWT", "kid": self._key_id}
            claims = {"sub": "example-py", "scope": SCOPES, "iat": now, "exp": self._token_expires}
            signed = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
            mac = hmac.new(self._secret.encode(), signed.encode(), hashlib.sha256).digest()
            self._token = f"{signed}.{_base64url(mac)}"
        return self._token


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def main() -> None:
    data = Path(os.environ.get("SIGPERSIST_EXAMPLE_DATA") or Path(__file__).parents[2] / "tests" / "data")
    by_aigerim = (data / "first.cms.b64").read_text().strip()
    by_both = (data / "countersigned.cms.b64").read_text().strip()
    client = Sigpersist(
        os.environ.get("SIGPERSIST_URL", "http://127.0.0.1:8080"),
        os.environ["SIGPERSIST_KEY_ID"],
        os.environ["SIGPERSIST_SECRET"],
    )
    run = uuid.uuid4().hex[:8]
    document, thread = f"contract-{run}", "approval"

    print("Aigerim signs: the first version, over version 0")
    first, is_new = client.save(document, thread, 0, by_aigerim, tags=[run], version_created_by="aigerim")
    assert is_new and first["version"] == 1

    print("The answer is lost, and the same is sent again: still version 1, stored once")
    again, is_new = client.save(document, thread, 0, by_aigerim, tags=[run], version_created_by="aigerim")
    assert not is_new and again == first

    print("Daulet countersigns version 1 at his desk, but his telephone is faster")

    def sign(current: dict) -> str | None:
        """Where a person looks at the current version and signs it."""
        signers = [signer["certificate"]["iin"] for signer in current["inspection"]["signers"]]
        if "123456789022" in signers:
            return None  # he has signed already
        client.save(document, thread, 1, by_both, tags=[run, "signed"], version_comment="on the telephone")
        return by_both

    current = client.countersign(document, thread, sign, tags=[run, "signed"], version_comment="at the desk")
    assert current["version"] == 2 and current["version_comment"] == "on the telephone"

    print("Saving over version 1 once more is refused")
    try:
        client.save(document, thread, 1, by_aigerim)
        raise AssertionError("it was saved")
    except SigpersistError as error:
        assert error.code == "version_conflict" and error.details["current_version"] == 2, error

    print("Both versions are there, byte for byte")
    assert client.read(document, thread)["signature"] == by_both
    assert client.read(document, thread, version=1)["signature"] == by_aigerim

    print("Verified: both signatures are intact")
    signers = client.read(document, thread, verify=True)["inspection"]["signers"]
    for signer in signers:
        # INDETERMINATE unless the tenant trusts the authority that issued the certificate.
        print(f"  IIN {signer['certificate']['iin']}: {signer['verdict']['indication']}")
    assert [signer["verdict"]["intact"] for signer in signers] == [True, True]

    print("Five threads of one tag, listed in pages of two")
    for number in range(4):
        client.save(f"annex-{number}-{run}", thread, 0, by_aigerim, tags=[run])
    listed = [signature["document"] for signature in client.list(tags=run, limit=2)]
    assert listed == [f"annex-{number}-{run}" for number in (3, 2, 1, 0)] + [document], listed

    print("Deleted; doing it again does no harm")
    for name in listed:
        client.delete(name, thread)
    client.delete(document, thread)
    try:
        client.read(document, thread)
        raise AssertionError("it is still there")
    except SigpersistError as error:
        assert error.code == "signature_not_found", error


if __name__ == "__main__":
    main()
