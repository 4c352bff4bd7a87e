"""Checking calls of webhooks, those of a real server among them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import SCOPES, RealServer

from sigpersist import Client, Webhook, WebhookError

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
OTHER = "whsec_" + base64.b64encode(b"another secret, as long.").decode()
EVENT = {"id": "log-3", "number": 3, "type": "version.saved", "at": "2026-11-30 12:00:00", "document": "doc"}
BODY = json.dumps({"type": "version.saved", "timestamp": "2026-11-30T12:00:00.000000Z", "data": EVENT}).encode()


def headers(*secrets: str, body: bytes = BODY, age_s: int = 0) -> dict[str, str]:
    sent = str(int(time.time()) - age_s)
    content = b".".join([b"log-3", sent.encode(), body])
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    macs = [base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys]
    signatures = " ".join(f"v1,{mac}" for mac in macs)
    return {"Webhook-Id": "log-3", "Webhook-Timestamp": sent, "Webhook-Signature": signatures}


def test_a_call_tells_its_event() -> None:
    call = Webhook(SECRET).verify(headers(SECRET), BODY)
    assert (call.id, call.type, call.timestamp) == ("log-3", "version.saved", "2026-11-30T12:00:00.000000Z")
    assert (call.event.number, call.event.document) == (3, "doc")
    assert Webhook(SECRET).verify(headers(SECRET), BODY.decode()) == call


def test_the_published_example_of_standard_webhooks_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sigpersist.webhooks.time.time", lambda: 1614265330)
    given = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    # Its signature is right, but its body tells of no event of Sigpersist.
    with pytest.raises(WebhookError, match="does not tell of an event"):
        Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").verify(given, '{"test": 2432232314}')


def test_both_secrets_are_good_while_they_rotate() -> None:
    both = Webhook([OTHER, SECRET])
    for signed in (headers(SECRET), headers(OTHER), headers(SECRET, OTHER)):
        assert both.verify(signed, BODY).event.number == 3
    assert Webhook(OTHER).verify(headers(SECRET, OTHER), BODY).id == "log-3"


@pytest.mark.parametrize("change", [
    lambda given: given.update({"Webhook-Id": "log-4"}),
    lambda given: given.update({"Webhook-Timestamp": str(int(given["Webhook-Timestamp"]) + 1)}),
    lambda given: given.update({"Webhook-Timestamp": "soon"}),
    lambda given: given.update({"Webhook-Signature": given["Webhook-Signature"].replace("v1,", "v1a,")}),
    lambda given: given.update({"Webhook-Signature": given["Webhook-Signature"].removeprefix("v1,")}),
    lambda given: given.update({"Webhook-Signature": "v1,ä"}),
    lambda given: given.update({"Webhook-Signature": ""}),
    lambda given: given.pop("Webhook-Id"),
    lambda given: given.pop("Webhook-Signature"),
])  # fmt: skip
def test_a_call_with_other_headers_is_refused(change: Callable[[dict[str, str]], Any]) -> None:
    given = headers(SECRET)
    change(given)
    with pytest.raises(WebhookError):
        Webhook(SECRET).verify(given, BODY)


def test_a_call_with_another_body_or_secret_is_refused() -> None:
    with pytest.raises(WebhookError, match="signature is wrong"):
        Webhook(SECRET).verify(headers(SECRET), BODY.replace(b"doc", b"dog"))
    with pytest.raises(WebhookError, match="signature is wrong"):
        Webhook(OTHER).verify(headers(SECRET), BODY)


@pytest.mark.parametrize(("age_s", "good"), [(0, True), (290, True), (-290, True), (310, False), (-310, False)])
def test_an_old_call_is_refused(age_s: int, good: bool) -> None:
    webhook = Webhook(SECRET)
    if good:
        assert webhook.verify(headers(SECRET, age_s=age_s), BODY)
        return
    with pytest.raises(WebhookError, match="too old"):
        webhook.verify(headers(SECRET, age_s=age_s), BODY)
    assert Webhook(SECRET, tolerance_s=400).verify(headers(SECRET, age_s=age_s), BODY)


def test_a_wrong_secret_is_told_without_showing_it() -> None:
    wrongs: list[str | list[str]] = ["whsec_%%%", "whsec_ä", "whsec_", "", [], [SECRET, ""]]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="secret") as caught:
            Webhook(wrong)
        assert "%%%" not in str(caught.value)
    assert SECRET[6:] not in repr(Webhook(SECRET))


def test_calls_of_the_server_are_believed(real: RealServer) -> None:
    calls: list[tuple[dict[str, str], bytes]] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            calls.append((dict(self.headers.items()), self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    def wait_for(number: int) -> None:
        deadline = time.monotonic() + 20
        while len(calls) < number:
            assert time.monotonic() < deadline, "the server does not call"
            time.sleep(0.05)

    receiver = http.server.HTTPServer(("127.0.0.1", real.webhook_port), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    with Client(real.url, real.new_key((*SCOPES, "webhooks:read"))) as client, receiver:
        form = {"url": f"http://127.0.0.1:{real.webhook_port}/", "types": ["version.saved"]}
        made = client.request("POST", "/webhooks", body=form)
        saved = client.save("doc", "thread", "one", wait_s=10)
        wait_for(1)
        rotated = client.request("POST", f"/webhooks/{made['webhook']['id']}/rotate-secret")
        client.save("doc", "thread", "two", 1)
        wait_for(2)
        receiver.shutdown()
    assert saved.evidence is not None
    old, new = Webhook(made["secret"]), Webhook(rotated["secret"])
    first = old.verify(*calls[0])
    assert (first.event.number, first.event.document) == (saved.evidence.number, "doc")
    assert first.id == first.event.id
    assert new.verify(*calls[1]) == old.verify(*calls[1])
    with pytest.raises(WebhookError):
        new.verify(*calls[0])
