"""Servers and clients for the tests: each contract test runs on the fake and on a real server, sync and async."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Blocking, Service

from sigpersist import AsyncClient, Client, TenantKey
from sigpersist.testing import FakeServer

SCOPES = ("signatures:read", "signatures:write", "signatures:delete", "events:read", "hooks:read", "webhooks:write")


class RealServer:
    """The program with an embedded database, and a port that it may call with webhooks."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program = program
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.webhook_port: int = free.getsockname()[1]
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
            "SIGPERSIST_DATA_DIR": str(folder / "data"),
            "SIGPERSIST_WEBHOOKS_ALLOW": f"127.0.0.1:{self.webhook_port}",
            "RUST_LOG": "warn",
        }
        self.run("key", "add", "--platform")
        scopes = [f"--scope={name}" for name in ("tenants:write", "keys:write")]
        token = json.loads(self.run("token", "issue", "--platform", *scopes))["token"]
        self.start(folder / "serving", "127.0.0.1:0")
        self.platform = Client(self.url, token)

    def start(self, serving: Path, address: str) -> None:
        with serving.open("w") as output:
            self.process = subprocess.Popen(
                [self.program, "serve", "--listen", address], stdout=output, env=self.environment
            )
        deadline = time.monotonic() + 60
        while "http://" not in serving.read_text():
            assert self.process.poll() is None, "the server has stopped"
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.05)
        self.url = "http://" + serving.read_text().split("http://")[1].strip()

    def run(self, *arguments: str) -> str:
        command = [self.program, "--json", *arguments]
        return subprocess.run(command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True).stdout

    def new_key(self, scopes: tuple[str, ...] = SCOPES, **quotas: int) -> TenantKey:
        """Makes a tenant of its own, and returns its key."""
        key_id, secret = self.new_secret(**quotas)
        return TenantKey(key_id, secret, scopes=scopes)

    def new_secret(self, **quotas: int) -> tuple[str, str]:
        name = f"t-{uuid.uuid4().hex[:12]}"
        self.platform.request("POST", "/tenants", body={"slug": name, "quotas": quotas})
        key = self.platform.request("POST", f"/tenants/{name}/keys", body={"algorithm": "HS256"})["key"]
        return key["kid"], key["secret"]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)


@pytest.fixture(scope="session")
def real() -> Iterator[RealServer]:
    program = os.environ.get("SIGPERSIST_PROGRAM")
    if program is None:
        pytest.skip("SIGPERSIST_PROGRAM does not name the server's program")
    with tempfile.TemporaryDirectory() as folder:
        # The user that runs Postgres must be able to enter the folder.
        Path(folder).chmod(0o755)
        server = RealServer(program, Path(folder))
        with server.platform:
            yield server
        server.stop()


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine to its end."""
    return asyncio.run


@pytest.fixture(params=["fake", "real"])
def service(request: pytest.FixtureRequest) -> Service:
    """A server with an empty tenant."""
    if request.param == "fake":
        return Service("http://fake", "token", FakeServer())
    server: RealServer = request.getfixturevalue("real")
    return Service(server.url, server.new_key(), None)


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest, service: Service) -> Iterator[Client]:
    """A client of it. The async one is driven so that tests can use it as the sync one."""
    if request.param == "sync":
        with Client(service.url, service.token, transport=service.fake) as client:
            yield client
    else:
        blocking = Blocking(lambda: AsyncClient(service.url, service.token, transport=service.fake))
        yield blocking  # type: ignore[misc]
        blocking.close()
