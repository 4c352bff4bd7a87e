"""What every request carries: token, trace, id, and query."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import httpx
import pytest
from conftest import RealServer

from sigpersist import AsyncClient, Client, Draft, SigpersistError, TenantKey, __version__
from sigpersist.testing import FakeServer


def last(fake: FakeServer) -> httpx.Request:
    return fake.requests[-1]


def test_trace_and_request_id_are_passed_on() -> None:
    fake = FakeServer()
    trace = ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None]
    ids = iter(["first", "second"])
    with Client(
        "http://fake/", "token", transport=fake, traceparent=lambda: trace.pop(0), request_id=lambda: next(ids)
    ) as client:
        client.save("doc", "thread", "x")
        assert last(fake).headers["traceparent"].startswith("00-4bf92f3577b34da6a3ce929d0e0e4736")
        assert last(fake).headers["x-request-id"] == "first"
        with pytest.raises(SigpersistError) as caught:
            client.get("doc", "elsewhere")
        assert "traceparent" not in last(fake).headers
        assert caught.value.request_id == "second"
    assert last(fake).headers["user-agent"] == f"sigpersist-python/{__version__}"
    assert str(last(fake).url) == "http://fake/signature?document=doc&thread=elsewhere"


def test_the_text_of_a_rejection_has_the_reasons_of_the_hooks() -> None:
    fake = FakeServer()
    rejections = [
        {"hook": "keeps", "code": "signer-dropped", "message": "It drops a signer.", "field": "/cms"},
        {"hook": "tags", "code": "no-tag", "message": "A tag is missing."},
    ]
    fake.fail_next(422, "hook_rejected", "Hooks refused this request.", details={"rejections": rejections})
    fake.fail_next(422, "hook_rejected", "Hooks refused this request.", details={"unknown": 1})
    with Client("http://fake", "token", transport=fake, request_id=lambda: "id") as client:
        with pytest.raises(SigpersistError) as caught:
            client.save("doc", "thread", "x")
        assert str(caught.value) == (
            "hook_rejected: Hooks refused this request. keeps: signer-dropped at /cms: It drops a signer.; "
            "tags: no-tag: A tag is missing. (HTTP 422, request " + str(caught.value.request_id) + ")"
        )
        # Details of an unknown form are left out.
        with pytest.raises(SigpersistError, match=r"refused this request\. \(HTTP 422"):
            client.save("doc", "thread", "x")


def test_the_server_logs_the_id_of_the_request(real: RealServer) -> None:
    with Client(real.url, real.new_key(), request_id=lambda: "my-id:1") as client:
        with pytest.raises(SigpersistError) as caught:
            client.get("doc", "thread")
    assert caught.value.request_id == "my-id:1"


def test_a_token_may_come_from_a_callable() -> None:
    fake, tokens = FakeServer(), iter(["one", "two"])
    with Client("http://fake", lambda: next(tokens), transport=fake) as client:
        list(client.signatures())
        assert last(fake).headers["authorization"] == "Bearer one"
        list(client.signatures())
        assert last(fake).headers["authorization"] == "Bearer two"


def test_a_fresh_token_is_tried_once(run: Callable[..., None]) -> None:
    fake, tokens = FakeServer(), iter(["old", "new", "old", "new", "newer"])

    async def story() -> None:
        async with AsyncClient("http://fake", lambda: next(tokens), transport=fake) as client:
            fake.fail_next(401, "expired_token")
            fake.fail_next(401, "invalid_token")
            with pytest.raises(SigpersistError, match="invalid_token"):
                await client.get("doc", "thread")

    with Client("http://fake", lambda: next(tokens), transport=fake) as client:
        fake.fail_next(401, "expired_token")
        assert client.save("doc", "thread", "x").is_new
    run(story())
    sent = [request.headers["authorization"] for request in fake.requests]
    assert sent == ["Bearer old", "Bearer new"] * 2


def test_the_token_that_the_server_does_not_take_is_not_sent_again() -> None:
    fake = FakeServer()
    for token in ("text", TenantKey("acme-1", "s3cret")):
        with Client("http://fake", token, transport=fake) as client:
            fake.fail_next(401, "invalid_token")
            with pytest.raises(SigpersistError, match="invalid_token"):
                client.get("doc", "thread")
    assert len(fake.requests) == 2


def test_an_async_client_takes_coroutine_functions(run: Callable[..., None]) -> None:
    fake = FakeServer()

    async def token() -> str:
        return "of a coroutine"

    async def story() -> None:
        async with AsyncClient("http://fake", token, transport=fake) as client:
            assert [one async for one in client.signatures()] == []
        async with AsyncClient("http://fake", lambda: "of a function", transport=fake) as client:
            assert [one async for one in client.signatures()] == []

    run(story())
    sent = [request.headers["authorization"] for request in fake.requests]
    assert sent == ["Bearer of a coroutine", "Bearer of a function"]


def decoded(part: str) -> dict[str, object]:
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def test_a_key_signs_tokens_and_keeps_them_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_000.0]
    monkeypatch.setattr("sigpersist._tokens.time.time", lambda: now[0])
    key = TenantKey("acme-1", "s3cret", subject="crm", scopes=["signatures:read", "events:read"])
    token = key()
    head, claims, mac = token.split(".")
    assert decoded(head) == {"alg": "HS256", "typ": "JWT", "kid": "acme-1"}
    expected = {"sub": "crm", "scope": "signatures:read events:read", "iat": 1_000_000, "exp": 1_000_300}
    assert decoded(claims) == expected
    digest = hmac.new(b"s3cret", f"{head}.{claims}".encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == mac
    now[0] += 260
    assert key() == token
    now[0] += 20
    assert decoded(key().split(".")[1])["exp"] == 1_000_580
    assert "s3cret" not in repr(key)


def test_a_token_for_one_document_is_refused_for_others(real: RealServer) -> None:
    key_id, secret = real.new_secret()
    key = TenantKey(key_id, secret, subject="page", document="mine", thread="t")
    claims = decoded(key().split(".")[1])
    assert claims["sigpersist_document"] == "mine"
    assert claims["sigpersist_thread"] == "t"
    assert claims["scope"] == "signatures:read signatures:write"
    with Client(real.url, key) as client:
        assert client.save("mine", "t", "x").signature.version == 1
        for document, thread in (("other", "t"), ("mine", "other")):
            with pytest.raises(SigpersistError, match="token_bound"):
                client.save(document, thread, "x")


def test_the_server_refuses_a_token_of_another_secret(real: RealServer) -> None:
    key_id, _ = real.new_secret()
    with Client(real.url, TenantKey(key_id, "another")) as client:
        with pytest.raises(SigpersistError, match="invalid_token"):
            client.get("doc", "thread")
    with Client(real.url, real.new_key(scopes=("signatures:read",))) as client:
        with pytest.raises(SigpersistError) as caught:
            client.save("doc", "thread", "x")
    assert caught.value.code == "insufficient_scope"
    assert getattr(caught.value.details, "scope", None) == "signatures:write"


def test_times_in_a_query_are_in_utc(real: RealServer) -> None:
    fake = FakeServer()
    almaty = datetime(2026, 11, 30, 2, 0, 0, 5, tzinfo=timezone(timedelta(hours=5)))
    with Client("http://fake", "token", transport=fake) as client:
        list(client.decisions(since=almaty, hook="signer-tags", verdict="rejected"))
    assert last(fake).url.params["since"] == "2026-11-29T21:00:00.000005+00:00"
    with Client(real.url, real.new_key()) as client:
        assert list(client.decisions(since=almaty, until=datetime.now(timezone.utc))) == []


def test_one_text_is_no_list_of_texts() -> None:
    with Client("http://fake", "token", transport=FakeServer()) as client:
        with pytest.raises(TypeError, match="a list of texts"):
            client.save("doc", "thread", "x", tags="customer_1")
        with pytest.raises(TypeError, match="a list of texts"):
            Draft("doc", "thread", "x", tags="customer_1")
        with pytest.raises(TypeError):
            client.save("doc", "thread", "x", tag=["customer_1"])  # type: ignore[call-arg] # pyright: ignore


def test_a_draft_does_not_show_its_signature() -> None:
    shown = repr(Draft("doc", "thread", "a-signature", content=b"its-content"))
    assert "doc" in shown
    assert "a-signature" not in shown
    assert "its-content" not in shown


@pytest.mark.parametrize(("header", "name"), [
    ('attachment; filename="doc-thread-1.p7s"', "doc-thread-1.p7s"),
    ("attachment; filename=\"d__-t-1.p7s\"; filename*=UTF-8''d%20%C3%A4%2Dt%2D1%2Ep7s", "d ä-t-1.p7s"),
    ("attachment; filename*=UTF-8''..%2F..%2Fetc%5Cpasswd", ".._.._etc_passwd"),
])  # fmt: skip
def test_the_name_of_a_file_has_no_folder(header: str, name: str) -> None:
    headers = {"Content-Type": "application/pkcs7-signature", "Content-Disposition": header, "ETag": '"1"'}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, content=b"x"))
    with Client("http://fake", "token", transport=transport) as client:
        assert client.get_file("doc", "thread").filename == name


def test_a_client_does_not_show_its_token() -> None:
    with Client("http://fake", "s3cret") as client:
        assert repr(client) == "Client('http://fake')"
