"""Following events while the server comes and goes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from conftest import RealServer
from support import Service

from sigpersist import AsyncClient, Client, Event, SigpersistError
from sigpersist.testing import FakeServer


def test_following_goes_on_after_the_server_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("sigpersist._events.time.sleep", slept.append)
    fake = FakeServer()
    with Client("http://fake", "token", transport=fake, attempts=1) as client:
        for number in range(4):
            client.save(f"doc {number}", "thread", "x")
        following = client.events.follow(0, limit=1)
        seen = [next(following).document]
        fake.lose_next_answer()
        seen.append(next(following).document)
        fake.fail_next(503, "overloaded", retry_after=9)
        fake.fail_next(500, "internal")
        fake.fail_next(502, "http_502")
        seen.append(next(following).document)
        assert slept[1] == 9
        assert len(slept) == 4
        fake.fail_next(401, "expired_token")
        with pytest.raises(SigpersistError, match="expired_token"):
            next(following)
        assert following.cursor == 3
        seen.append(next(following).document)
    assert seen == [f"doc {number}" for number in range(4)]


def test_following_waits_for_what_is_next(service: Service) -> None:
    with Client(service.url, service.token, transport=service.fake) as client:
        client.save("before", "thread", "x", wait_s=10)
        following = client.events.follow("now", types=["version."], wait_s=20)
        with pytest.raises(RuntimeError, match="from `now`"):
            _ = following.cursor
        found: list[Event] = []
        thread = threading.Thread(target=lambda: found.append(next(following)))
        thread.start()
        # It begins with the number of now, so this waits until it knows it.
        while following._after == "now":
            thread.join(0.01)
        client.save("after", "thread", "x")
        thread.join(15)
    assert [event.document for event in found] == ["after"]
    assert following.cursor == found[0].number


def test_a_failure_at_the_start_misses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeServer()
    fake.add_event("tenant.create")

    def save_meanwhile(_: float) -> None:
        fake.add_event("moon.rose")

    monkeypatch.setattr("sigpersist._events.time.sleep", save_meanwhile)
    with Client("http://fake", "token", transport=fake, attempts=1) as client:
        following = client.events.follow("now")
        # The first answer tells the number, the second is lost: what happens then is told.
        lost = iter([False, True])
        handle = fake.handle_request

        def flaky(request: httpx.Request) -> httpx.Response:
            if next(lost, False):
                raise httpx.ReadError("cut off")
            return handle(request)

        monkeypatch.setattr(fake, "handle_request", flaky)
        assert next(following).type == "moon.rose"
        assert "wait" not in fake.requests[0].url.params


def test_the_async_client_follows_while_others_work(real: RealServer, run: Callable[..., None]) -> None:
    async def story() -> None:
        async with AsyncClient(real.url, real.new_key()) as client:
            first = await client.save("doc", "thread", "1", wait_s=10)
            assert first.evidence is not None
            assert first.evidence.number is not None
            following = client.events.follow(first.evidence.number - 1)
            async for event in following:
                assert event.version is not None
                if event.version == 4:
                    break
                await client.save("doc", "thread", str(event.version + 1), event.version)

    run(asyncio.wait_for(story(), 30))


def test_following_survives_a_restart_of_the_server(real: RealServer, tmp_path: Path) -> None:
    with Client(real.url, real.new_key()) as client:
        client.save("before", "thread", "x", wait_s=10)
        following = client.events.follow(0, types=["version."])
        assert next(following).document == "before"
        found: list[Event] = []
        thread = threading.Thread(target=lambda: found.append(next(following)))
        thread.start()
        real.stop()
        real.start(tmp_path / "serving", real.url.removeprefix("http://"))
        client.save("after", "thread", "x")
        thread.join(40)
    assert [event.document for event in found] == ["after"]
