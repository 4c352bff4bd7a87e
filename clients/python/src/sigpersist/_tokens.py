"""Tokens: text, a callable that gives one, or a tenant's key that signs them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import inspect
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence

import httpx

Token = str | Callable[[], str]
"""A token, or a callable that returns one. It is called before each request, so it should keep a token for a while."""
AsyncToken = str | Callable[[], str | Awaitable[str]]
"""As `Token`. The callable may also be a coroutine function."""

SCOPES = ("signatures:read", "signatures:write", "signatures:delete", "events:read")
SCOPES_OF_DOCUMENT = ("signatures:read", "signatures:write")
RENEW_S = 30


class TenantKey:
    """Signs tokens with a shared secret of a tenant (HS256), as `sigpersist key add` shows it. Give it as `token`.

    A token serves for `lifetime_s`; the server caches those that it has verified. The secret is not sent.

    With `document`, and perhaps `thread`, tokens are refused for everything else, which suits browsers. They serve for
    15 minutes at most, and their `scopes` are to read and save signatures unless you give others.
    """

    def __init__(
        self,
        key_id: str,
        secret: str,
        *,
        subject: str = "sigpersist-python",
        scopes: Sequence[str] | None = None,
        document: str | None = None,
        thread: str | None = None,
        lifetime_s: int = 300,
    ) -> None:
        if scopes is None:
            scopes = SCOPES if document is None else SCOPES_OF_DOCUMENT
        self._key_id = key_id
        self._secret = secret
        self._claims: dict[str, object] = {"sub": subject, "scope": " ".join(scopes)}
        if document is not None:
            self._claims["sigpersist_document"] = document
        if thread is not None:
            self._claims["sigpersist_thread"] = thread
        self._lifetime_s = lifetime_s
        self._token: tuple[str, float] = ("", 0)

    def __call__(self) -> str:
        """Returns a token that is good for a while."""
        token, expires = self._token
        now = int(time.time())
        if expires - now < min(RENEW_S, self._lifetime_s / 2):
            expires = now + self._lifetime_s
            token = self._signed({**self._claims, "iat": now, "exp": expires})
            self._token = (token, expires)
        return token

    def __repr__(self) -> str:
        return f"TenantKey({self._key_id!r})"

    def _signed(self, claims: dict[str, object]) -> str:
        header = {"alg": "HS256", "typ": "JWT", "kid": self._key_id}
        signed = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        return f"{signed}.{_base64url(hmac.digest(self._secret.encode(), signed.encode(), hashlib.sha256))}"


class Bearer(httpx.Auth):
    """Adds the token to each request. If the server does not take it, and there is another by now, tries that one."""

    def __init__(self, token: AsyncToken) -> None:
        self._token = token

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Is called by a sync client of httpx."""
        token = self._next()
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == 401 and (fresh := self._next()) != token:
            request.headers["Authorization"] = f"Bearer {fresh}"
            yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Is called by an async client of httpx."""
        token = await self._next_async()
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == 401 and (fresh := await self._next_async()) != token:
            request.headers["Authorization"] = f"Bearer {fresh}"
            yield request

    def _next(self) -> str:
        token = self._token() if callable(self._token) else self._token
        if not isinstance(token, str):
            raise TypeError("a Client takes tokens from ordinary functions; use AsyncClient for coroutine functions")
        return token

    async def _next_async(self) -> str:
        token = self._token() if callable(self._token) else self._token
        return await token if inspect.isawaitable(token) else token


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
