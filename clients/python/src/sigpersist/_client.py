# Generated from _async_client.py by generate.py: change that file.
"""The client. `_client.py` is generated from `_async_client.py`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from sigpersist import _requests, models
from sigpersist._errors import SigpersistError
from sigpersist._events import Events
from sigpersist._many import batches
from sigpersist._requests import (
    FILE_TYPES,
    Draft,
    Inspected,
    Page,
    Query,
    Request,
    Saved,
    Signed,
    StoredFile,
    VersionOf,
)
from sigpersist._retries import Retries
from sigpersist._tokens import Bearer, Token
from sigpersist._version import __version__

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")


class Client:
    """What an application asks of Sigpersist, for one tenant. Keep one client: it keeps connections open.

    Every method raises `SigpersistError` if the server refuses, and `NoAnswerError` if it does not answer. Requests
    without an answer are sent again unchanged, and those answered 429 or 503 after as long as `Retry-After` says.
    """

    def __init__(
        self,
        url: str,
        token: Token,
        *,
        timeout_s: float = 60,
        attempts: int = 5,
        longest_wait_s: float = 30,
        traceparent: Callable[[], str | None] | None = None,
        request_id: Callable[[], str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Makes a client of the server at `url`.

        - `token`: a token, a callable that returns one, or a `TenantKey`.
        - `timeout_s`: how long to wait for an answer; 5 seconds at most to connect.
        - `attempts`: how often a request is sent at most; 1 to never send it again.
        - `longest_wait_s`: if `Retry-After` is longer, the error is raised at once.
        - `traceparent`: returns the current trace in the words of W3C Trace Context.
        - `request_id`: returns an id for the next request, up to 128 letters, digits and `-_.:`; random otherwise.
        - `transport`: for certificates, proxies or tests: an `httpx` transport, or a `sigpersist.testing.FakeServer`.
        """
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._longest_wait_s = longest_wait_s
        self._traceparent = traceparent
        self._request_id = request_id
        self._http = httpx.Client(
            auth=Bearer(token), transport=transport, headers={"User-Agent": f"sigpersist-python/{__version__}"}
        )
        self.events = Events(self._send)
        """What happened to the tenant."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def save(
        self, document: str, thread: str, cms: str | bytes, version: int = 0, **options: Unpack[_requests.SaveOptions]
    ) -> Saved:
        """Saves a signature over `version`, the one that was signed; 0 for a first signature.

        `cms` is CMS in base64, XML, or the bytes of either. Raises `version_conflict` if `version` is not the current
        one. Never save a signature over a version that its signer has not seen: use `countersign`.
        """
        return self._send(_requests.save(document, thread, cms, version, **options))

    def save_many(self, drafts: Iterable[Draft]) -> list[Saved | SigpersistError]:
        """Saves many signatures, 100 in a request, and returns what became of each, in their order.

        An error of one of them is returned and not raised. Those of one thread are saved in their order. Those that
        are told to wait (429, 503) are sent again after `retry_after`, `attempts` times in all; what still has to wait
        is an error with `retry_after`. An error of a whole request is raised, perhaps after others were saved: call it
        again with all of them, since nothing is saved twice.
        """
        return self._many(_requests.save_many, (draft.body() for draft in drafts))

    def countersign(
        self,
        document: str,
        thread: str,
        sign: Callable[[models.Signature], Signed],
        *,
        rounds: int = 5,
        **options: Unpack[_requests.SaveOptions],
    ) -> models.Signature:
        """Saves what `sign` makes of the current version, and returns what is stored then.

        If another writer was faster, `sign` is asked again, with what that one saved, `rounds` times at most; then
        `version_conflict` is raised. `sign` returns None to leave the current version as it is.
        """
        while True:
            rounds -= 1
            previous = self.get(document, thread)
            cms = sign(previous)
            if cms is None:
                return previous
            try:
                saved = self.save(document, thread, cms, previous.version, **options)
            except SigpersistError as error:
                if error.code != "version_conflict" or rounds < 1:
                    raise
            else:
                return saved.signature

    def get(self, document: str, thread: str, version: int | None = None) -> models.Signature:
        """Returns the current version, or an earlier one. Raises `signature_not_found` if there is none."""
        return self._send(_requests.get(document, thread, version))

    def get_many(self, versions: Iterable[VersionOf]) -> list[models.Signature | SigpersistError]:
        """Reads many versions, 100 in a request, and returns each in their order, or why it can't be read."""
        return self._many(_requests.get_many, map(_requests.version_of, versions))

    def get_file(
        self, document: str, thread: str, version: int | None = None, *, content_types: Sequence[str] = FILE_TYPES
    ) -> StoredFile:
        """Returns the current version, or an earlier one, as a file: CMS as DER or BER, XML as it was saved.

        With `content_types`, only if the signature is of one of them; otherwise raises `not_acceptable`.
        """
        return self._send(_requests.get_file(document, thread, version, content_types))

    def get_inspected(
        self, document: str, thread: str, version: int | None = None, *, verify: bool = False
    ) -> Inspected:
        """Returns a version and who signed it; with `verify`, also whether each signature holds."""
        return self._send(_requests.get_inspected(document, thread, version, verify))

    def delete(self, document: str, thread: str, *, version: int | None = None) -> bool:
        """Deletes a thread with all its versions. Returns False if there was none, as after an earlier delete.

        With `version`, only if that is the current one; otherwise raises `precondition_failed`.
        """
        try:
            self._send(_requests.delete(document, thread, version))
        except SigpersistError as error:
            gone = isinstance(error.details, models.PreconditionFailedDetails) and error.details.current_version == 0
            if error.code != "signature_not_found" and not gone:
                raise
            return False
        return True

    def versions(
        self, document: str, thread: str, *, include_signature: bool = False, page_size: int = 50
    ) -> Iterator[models.Signature]:
        """Iterates over the versions of a thread, newest first. `signature` is None unless you include it."""
        return self._all(_requests.versions(document, thread, include_signature, page_size))

    def signatures(
        self, *, include_signature: bool = False, page_size: int = 50, **filters: Unpack[_requests.SignatureFilters]
    ) -> Iterator[models.Signature]:
        """Iterates over current versions, newest first. `signature` is None unless you include it."""
        return self._all(_requests.signatures(include_signature, page_size, **filters))

    def signature_page(
        self,
        *,
        cursor: str | None = None,
        limit: int = 50,
        count: bool = False,
        include_signature: bool = False,
        **filters: Unpack[_requests.SignatureFilters],
    ) -> models.SignaturePage:
        """Returns one page of current versions, and the cursor of the next; with `count`, also how many match."""
        return self._send(_requests.signature_page(include_signature, limit, cursor, count, **filters))

    def verdicts(
        self, document: str, thread: str, version: int | None = None, *, page_size: int = 50
    ) -> Iterator[models.RecordedVerdict]:
        """Iterates over the recorded verdicts of a thread, or of one version, newest first."""
        return self._all(_requests.verdicts(document, thread, version, page_size))

    def record_verdict(
        self,
        document: str,
        thread: str,
        version: int | None = None,
        *,
        content: bytes | None = None,
        certificates: str | None = None,
    ) -> models.RecordedVerdict:
        """Verifies a stored version, and records the verdict with it. If no answer comes, it is not sent again."""
        return self._send(_requests.record_verdict(document, thread, version, content, certificates))

    def inspect(self, cms: str | bytes) -> models.Inspection:
        """Reads who signed, without judging or storing anything."""
        return self._send(_requests.inspect(cms))

    def verify(
        self, cms: str | bytes, *, content: bytes | None = None, certificates: str | None = None
    ) -> models.Inspection:
        """Reads who signed and judges each signature, without storing anything.

        `content` is what a detached signature signs; `certificates` are in PEM, and are not trusted.
        """
        return self._send(_requests.verify(cms, content, certificates))

    def decisions(
        self, *, page_size: int = 50, **filters: Unpack[_requests.DecisionFilters]
    ) -> Iterator[models.Decision]:
        """Iterates over what hooks decided, newest first. Needs a token with the scope `decisions:read`."""
        return self._all(_requests.decisions(page_size, **filters))

    def request(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: dict[str, Any] | None = None,
        *,
        repeatable: bool | None = None,
    ) -> Any:
        """Calls any route of the server, and returns the `content` of its answer.

        If no answer comes, it is sent again if it is `repeatable`; if you do not say, all but POST are.
        """
        repeatable = method != "POST" if repeatable is None else repeatable
        return self._send(_requests.any_route(method, path, query or {}, body, repeatable))

    def _all(self, request: Request[Page[T]]) -> Iterator[T]:
        while True:
            page = self._send(request)
            for item in page.items:
                yield item
            if page.next is None:
                return
            request = request.at(page.next)

    def _many(
        self,
        request: Callable[[list[dict[str, Any]]], Request[list[T | SigpersistError]]],
        bodies: Iterable[dict[str, Any]],
    ) -> list[T | SigpersistError]:
        outcomes: list[T | SigpersistError] = []
        saves = request is _requests.save_many
        for batch in batches(bodies, self._attempts, self._longest_wait_s, saves=saves):
            while left := batch.left:
                try:
                    answered = self._send(request(left))
                except SigpersistError as error:
                    batch.locate(error)
                    raise
                if pause_s := batch.take(answered):
                    time.sleep(pause_s)
            outcomes += batch.outcomes
        return outcomes

    def _send(self, request: Request[T]) -> T:
        request_id = self._request_id() if self._request_id else uuid.uuid4().hex
        headers = {**request.headers, "X-Request-Id": request_id}
        if self._traceparent and (traceparent := self._traceparent()):
            headers["traceparent"] = traceparent
        retries = Retries(request, request_id, self._attempts, self._longest_wait_s)
        while True:
            try:
                response = self._http.request(
                    request.method,
                    self._url + request.path,
                    params=request.parameters(),
                    json=request.body,
                    headers=headers,
                    timeout=httpx.Timeout(self._timeout_s + request.wait_s, connect=min(5, self._timeout_s)),
                )
            except httpx.TransportError as error:
                pause_s = retries.after_silence(error)
            else:
                if response.is_success:
                    return request.read(response)
                pause_s = retries.after_refusal(response)
            time.sleep(pause_s)
