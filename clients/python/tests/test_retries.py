"""When a request is sent again, and what a program learns if that does not help."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from conftest import RealServer

from sigpersist import AsyncClient, Client, Draft, NoAnswerError, Saved, SigpersistError, models
from sigpersist.testing import FakeServer


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that clients would have slept."""
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("sigpersist._client.time.sleep", pauses.append)
    monkeypatch.setattr("sigpersist._async_client.asyncio.sleep", pause)
    return pauses


@pytest.fixture
def client(fake: FakeServer, slept: list[float]) -> Iterator[Client]:
    with Client("http://fake", "token", transport=fake) as client:
        yield client


def test_a_save_without_an_answer_is_sent_again_unchanged(client: Client, fake: FakeServer, slept: list[float]) -> None:
    fake.lose_next_answer()
    fake.lose_next_answer()
    saved = client.save("doc", "thread", "one", tags=["t"])
    assert (saved.is_new, saved.signature.version) == (False, 1)
    assert len({request.content for request in fake.requests}) == 1
    assert len({request.headers["x-request-id"] for request in fake.requests}) == 1
    assert [len(fake.requests), len(slept)] == [3, 2]
    assert 0 < slept[0] < slept[1] * 2 < 2
    assert len(list(client.versions("doc", "thread"))) == 1


def test_a_delete_without_an_answer_succeeds(client: Client, fake: FakeServer) -> None:
    client.save("doc", "thread", "one")
    fake.lose_next_answer()
    assert client.delete("doc", "thread") is False
    assert list(client.signatures()) == []


def test_a_verdict_is_not_recorded_again_without_an_answer(client: Client, fake: FakeServer) -> None:
    client.save("doc", "thread", "one")
    fake.lose_next_answer()
    with pytest.raises(NoAnswerError) as caught:
        client.record_verdict("doc", "thread")
    assert caught.value.attempts == 1
    assert len(list(client.verdicts("doc", "thread"))) == 1


def test_it_gives_up_after_some_attempts(client: Client, fake: FakeServer) -> None:
    for _ in range(5):
        fake.lose_next_answer()
    with pytest.raises(NoAnswerError) as caught:
        client.save("doc", "thread", "one")
    assert caught.value.attempts == 5
    assert caught.value.request_id == fake.requests[0].headers["x-request-id"]
    assert isinstance(caught.value.__cause__, httpx.ReadTimeout)
    assert "sent 5 times" in str(caught.value)


@pytest.mark.parametrize(("status", "code"), [(429, "rate_limited"), (503, "overloaded")])
def test_it_waits_as_long_as_the_server_says(
    client: Client, fake: FakeServer, slept: list[float], status: int, code: str
) -> None:
    fake.fail_next(status, code, retry_after=7)
    fake.fail_next(status, code, retry_after=2)
    assert client.save("doc", "thread", "one").is_new
    assert slept == [7, 2]


def test_it_does_not_wait_where_that_does_not_help(client: Client, fake: FakeServer, slept: list[float]) -> None:
    fake.fail_next(429, "quota_exceeded", "Too many bytes.", details={"quota": "max_bytes", "limit": 1, "used": 1})
    with pytest.raises(SigpersistError) as caught:
        client.save("doc", "thread", "one")
    assert isinstance(caught.value.details, models.QuotaExceededDetails)
    assert caught.value.retry_after is None
    fake.fail_next(503, "overloaded", retry_after=31)
    with pytest.raises(SigpersistError) as caught:
        client.save("doc", "thread", "one")
    assert caught.value.retry_after == 31
    assert (slept, len(fake.requests)) == ([], 2)


def test_a_verdict_waits_only_if_none_was_recorded(client: Client, fake: FakeServer, slept: list[float]) -> None:
    client.save("doc", "thread", "one")
    fake.fail_next(503, "overloaded", retry_after=1)
    client.record_verdict("doc", "thread")
    fake.fail_next(503, "database_unavailable", retry_after=1)
    with pytest.raises(SigpersistError, match="database_unavailable"):
        client.record_verdict("doc", "thread")
    assert slept == [1]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 422, 500])
def test_other_refusals_are_final(client: Client, fake: FakeServer, status: int) -> None:
    fake.fail_next(status, "some_code", "Some sentence.", retry_after=1)
    with pytest.raises(SigpersistError, match=r"^some_code: Some sentence\. \(HTTP"):
        client.save("doc", "thread", "one")
    assert len(fake.requests) == 1


def answering(*answers: httpx.Response | Exception) -> tuple[httpx.MockTransport, list[httpx.Request]]:
    """A transport that gives these answers, the last of them forever."""
    left, seen = list(answers), list[httpx.Request]()

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return httpx.MockTransport(handle), seen


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_that_lost_the_server_is_asked_again(slept: list[float], status: int) -> None:
    transport, seen = answering(httpx.Response(status, text="<html>"))
    with Client("http://fake", "token", transport=transport) as client:
        with pytest.raises(SigpersistError) as caught:
            client.get("doc", "thread")
        assert (caught.value.code, caught.value.status) == (f"http_{status}", status)
        assert len(seen) == 5
        with pytest.raises(SigpersistError):
            client.record_verdict("doc", "thread")
        assert len(seen) == 6


def test_a_date_in_retry_after_is_read(slept: list[float]) -> None:
    soon = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 10))
    transport, _ = answering(httpx.Response(429, headers={"Retry-After": soon}), httpx.Response(200, json={}))
    with Client("http://fake", "token", transport=transport) as client:
        client.request("GET", "/x")
    assert 8 < slept[0] <= 10


@pytest.mark.parametrize("answer", [
    httpx.Response(200, text="<html>"), httpx.Response(200, json=[]), httpx.Response(200, json={"content": None}),
    httpx.Response(200, json={"content": {"signature": {"version": 1}}}),
])  # fmt: skip
def test_an_answer_of_something_else_is_an_error(answer: httpx.Response) -> None:
    transport, seen = answering(answer)
    with Client("http://fake", "token", transport=transport) as client:
        with pytest.raises(SigpersistError, match="unreadable_answer"):
            client.get("doc", "thread")
    assert len(seen) == 1


def test_a_request_that_was_never_sent_can_always_be_sent_again(slept: list[float]) -> None:
    transport, seen = answering(httpx.ConnectError("refused"))
    with Client("http://fake", "token", transport=transport, attempts=3) as client, pytest.raises(NoAnswerError):
        client.record_verdict("doc", "thread")
    assert len(seen) == 3


def test_a_wrong_url_is_the_callers_mistake() -> None:
    with Client("127.0.0.1", "token") as client, pytest.raises(httpx.UnsupportedProtocol):
        client.get("doc", "thread")


def test_nothing_at_the_address_is_no_answer(slept: list[float]) -> None:
    with Client("http://127.0.0.1:1", "token", attempts=2) as client:
        with pytest.raises(NoAnswerError, match="ConnectError"):
            client.get("doc", "thread")


def versions(outcomes: list[Saved | SigpersistError]) -> list[int | str]:
    return [outcome.signature.version if isinstance(outcome, Saved) else outcome.code for outcome in outcomes]


def sizes(fake: FakeServer) -> list[int]:
    return [len(json.loads(request.content)["signatures"]) for request in fake.requests]


def test_many_without_an_answer_are_sent_again_unchanged(client: Client, fake: FakeServer) -> None:
    fake.lose_next_answer()
    outcomes = client.save_many([Draft("a", "thread", "one"), Draft("b", "thread", "one")])
    assert [isinstance(outcome, Saved) and outcome.is_new for outcome in outcomes] == [False, False]
    assert len({request.content for request in fake.requests}) == 1


def test_only_those_that_wait_are_sent_again(client: Client, fake: FakeServer, slept: list[float]) -> None:
    fake.fail_next(429, "quota_exceeded", retry_after=3, document="b")
    fake.fail_next(503, "overloaded", retry_after=7, document="c")
    fake.fail_next(429, "quota_exceeded", retry_after=2, document="c")
    fake.fail_next(429, "quota_exceeded", document="d")
    fake.fail_next(422, "hook_rejected", details={"hook": "h", "reason": "r"}, document="e")
    outcomes = client.save_many([Draft(document, "thread", "one") for document in "abcde"])
    assert versions(outcomes) == [1, 1, 1, "quota_exceeded", "hook_rejected"]
    assert isinstance(outcomes[4], SigpersistError)
    assert outcomes[4].status == 422
    assert (sizes(fake), slept) == ([5, 2, 1], [7, 2])


def test_those_over_one_that_waits_are_sent_again_with_it(client: Client, fake: FakeServer) -> None:
    fake.fail_next(429, "quota_exceeded", retry_after=1, document="a")
    drafts = [Draft("a", "thread", f"v{over}", over) for over in range(3)]
    drafts += [Draft("a", "other", "one"), Draft("a", "other", "late", 0)]
    assert versions(client.save_many(drafts)) == [1, 2, 3, 1, "version_conflict"]
    assert sizes(fake) == [5, 3]


def test_what_waits_too_long_or_too_often_is_told(client: Client, fake: FakeServer, slept: list[float]) -> None:
    for _ in range(6):
        fake.fail_next(429, "quota_exceeded", retry_after=1, document="a")
    fake.fail_next(429, "quota_exceeded", retry_after=31, document="b")
    waiting, too_long = client.get_many([("a", "thread"), ("b", "thread")])
    assert isinstance(waiting, SigpersistError)
    assert isinstance(too_long, SigpersistError)
    assert (waiting.code, waiting.retry_after, too_long.retry_after) == ("quota_exceeded", 1, 31)
    assert (sizes(fake), slept) == ([2, 1, 1, 1, 1], [1, 1, 1, 1])


def test_many_outcomes_of_something_else_are_an_error() -> None:
    transport, seen = answering(httpx.Response(200, json={"content": {"results": [{"status": 201}]}}))
    with Client("http://fake", "token", transport=transport) as client:
        for number in (1, 2):
            with pytest.raises(SigpersistError, match="unreadable_answer"):
                client.save_many([Draft("a", "thread", "one")] * number)
        with pytest.raises(SigpersistError, match="unreadable_answer"):
            client.get_file("a", "thread")
    assert len(seen) == 3


def test_a_real_server_saves_many_as_fast_as_the_tenant_may(real: RealServer) -> None:
    key = real.new_key(requests_per_second=5, request_burst=5)
    drafts = [Draft(f"doc {number // 3}", "thread", f"v{number}", number % 3) for number in range(12)]
    with Client(real.url, key) as client:
        assert versions(client.save_many(drafts)) == [1, 2, 3] * 4
        time.sleep(1)
    with Client(real.url, key, attempts=1) as impatient:
        waiting = [one for one in impatient.get_many([("doc 0", "thread")] * 12) if isinstance(one, SigpersistError)]
    assert {(one.code, one.status, one.retry_after) for one in waiting} == {("quota_exceeded", 429, 1)}


class Losing(httpx.HTTPTransport):
    """Loses the answer to every second request, after the server has done it."""

    requests = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        self.requests += 1
        if self.requests % 2 == 0:
            return response
        response.close()
        raise httpx.ReadError("cut off", request=request)


def test_a_real_server_does_once_what_it_is_asked_twice(real: RealServer) -> None:
    transport = Losing()
    with Client(real.url, real.new_key(), transport=transport) as client:
        first = client.save("doc", "thread", "one", tags=["t"])
        second = client.countersign("doc", "thread", lambda previous: f"{previous.signature}, two")
        assert (first.is_new, first.signature.version, second.version) == (False, 1, 2)
        assert [version.version for version in client.versions("doc", "thread")] == [2, 1]
        assert client.delete("doc", "thread") is False
        assert list(client.signatures()) == []
    assert transport.requests == 12


async def async_save(fake: FakeServer) -> bool:
    async with AsyncClient("http://fake", "token", transport=fake) as client:
        return (await client.save("doc", "thread", "one")).is_new


def test_the_async_client_does_the_same(fake: FakeServer, slept: list[float], run: Callable[..., bool]) -> None:
    fake.fail_next(429, "rate_limited", retry_after=3)
    fake.lose_next_answer()
    assert run(async_save(fake)) is False
    assert slept[0] == 3
    assert len(fake.requests) == 3


def test_the_log_tells_neither_signatures_nor_documents(
    client: Client, fake: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "sigpersist")
    fake.lose_next_answer()
    client.save("a-document", "a-thread", "a-signature", tags=["a-tag"])
    [record] = [record for record in caplog.records if record.name == "sigpersist"]
    assert "Sending POST /signature again in" in record.message
    assert "ReadTimeout" in record.message
    for secret in ("a-document", "a-thread", "a-signature", "a-tag", "token"):
        assert secret not in record.message
