"""The requests: what is sent, and how the answer is read. Nothing here sends anything."""

from __future__ import annotations

import base64
import re
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, Generic, Literal, TypedDict, TypeVar

import httpx

from sigpersist import models
from sigpersist._errors import SigpersistError, refusal_of_one
from sigpersist._reading import read

T = TypeVar("T")

Signed = str | bytes | None
"""A new signature, or None to leave the current version as it is."""
AsyncSigned = Awaitable[Signed]
"""The same from a coroutine function."""

VersionOf = tuple[str, str] | tuple[str, str, int | None]
"""A document, a thread, and a version; the current one if it is left out or None."""

Query = Mapping[str, "str | int | bool | datetime | Sequence[str] | None"]

FILE_TYPES = ("application/pkcs7-signature", "application/xml", "application/octet-stream")
"""The types that a file has: CMS, XML, and anything else."""


class SaveOptions(TypedDict, total=False):
    """What a save may have beside the signature."""

    tags: Sequence[str]
    """Tags of the new version. It does not inherit those of the version before it."""
    stage: str | None
    """The stage of the new version."""
    version_created_by: str | int | None
    """Who signed, in your own words."""
    version_comment: str | None
    """A comment."""
    content: bytes | None
    """The content of a detached signature: the signature is verified against it. It is not stored."""
    certificates: str | None
    """Certificates in PEM that the verification needs and the signature lacks."""
    wait_s: int | None
    """Waits up to this many seconds, 25 at most, until the version is in the tenant's log; see `Saved.evidence`."""


class SignatureFilters(TypedDict, total=False):
    """Which signatures to list. All of them if nothing is given."""

    document: str | None
    """Those of this document."""
    thread: str | None
    """Those of this thread."""
    stage: str | None
    """Those whose current version has this stage."""
    tags: Sequence[str]
    """Those whose current version has one of these tags."""
    tags_match: Literal["any", "all"]
    """With `all`, only those that have all of `tags`."""
    signer: Sequence[str]
    """Those that one of these signed in any version.

    That is `iin:`, `bin:` or `sha256:` and a value, or `serial:` and a serial number, a comma and the issuer.
    """
    not_signed_by: Sequence[str]
    """Those that none of these signed."""
    verdict: Sequence[Literal["passed", "indeterminate", "failed"]]
    """Those whose current version has one of these verdicts."""
    created_since: datetime | None
    """Those whose first version was saved at this time or later."""
    created_until: datetime | None
    """Those whose first version was saved before this time."""
    updated_since: datetime | None
    """Those whose current version was saved at this time or later, in the order of these times."""
    updated_until: datetime | None
    """Those whose current version was saved before this time, in the order of these times."""
    order: Literal["created", "updated"]
    """The time that orders them."""
    direction: Literal["desc", "asc"]
    """Whether the newest come first, which is the default, or the oldest."""


class DecisionFilters(TypedDict, total=False):
    """Which decisions of hooks to list. All of them if nothing is given."""

    document: str | None
    """Those about this document."""
    thread: str | None
    """Those about this thread."""
    hook: str | None
    """Those of this hook."""
    verdict: models.HookVerdict | None
    """Those with this verdict."""
    since: datetime | None
    """Those at this time or later."""
    until: datetime | None
    """Those before this time."""


@dataclass(frozen=True)
class Draft:
    """A signature to save, one of many."""

    document: str
    """The document's id."""
    thread: str
    """The process in which the document is signed."""
    cms: str | bytes = field(repr=False)
    """CMS in base64, XML, or the bytes of either."""
    version: int = 0
    """The version that was signed; 0 for a first signature."""
    _: KW_ONLY
    tags: Sequence[str] = ()
    """Tags of the new version. It does not inherit those of the version before it."""
    stage: str | None = None
    """The stage of the new version."""
    version_created_by: str | int | None = None
    """Who signed, in your own words."""
    version_comment: str | None = None
    """A comment."""
    content: bytes | None = field(default=None, repr=False)
    """The content of a detached signature: the signature is verified against it. It is not stored."""
    certificates: str | None = None
    """Certificates in PEM that the verification needs and the signature lacks."""

    def __post_init__(self) -> None:
        _list(self.tags)

    def body(self) -> dict[str, Any]:
        """Returns it as JSON."""
        return _present(
            document=self.document,
            thread=self.thread,
            version=self.version,
            cms=_cms(self.cms),
            tags=list(self.tags),
            stage=self.stage,
            version_created_by=self.version_created_by,
            version_comment=self.version_comment,
            content=_base64(self.content),
            certificates=self.certificates,
        )


@dataclass(frozen=True)
class StoredFile:
    """A version as a file."""

    data: bytes = field(repr=False)
    """The signature: CMS as DER or BER, XML as it was saved."""
    content_type: str
    """Its media type, such as `application/pkcs7-signature`."""
    filename: str
    """The name that the server suggests. It has no folder in it."""
    version: int
    """The version."""


@dataclass(frozen=True)
class Saved:
    """What a save gave."""

    signature: models.Signature
    """The version. After `save_many` its `signature` is None."""
    is_new: bool
    """False if an identical request had saved it before."""
    evidence: models.Evidence | None
    """Its place in the tenant's log, if the save waited for that."""


@dataclass(frozen=True)
class Inspected:
    """A stored version, and what it contains."""

    signature: models.Signature
    """The version."""
    inspection: models.Inspection
    """Who signed it; with a verdict on each signer if you asked for it."""


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some items, and the cursor of the next page."""

    items: list[T]
    next: str | None


@dataclass(frozen=True)
class Request(Generic[T]):
    """A request, and how its answer is read."""

    method: str
    path: str
    parse: Callable[[httpx.Response, Any], T]
    query: Query = field(default_factory=dict[str, Any])
    body: dict[str, Any] | None = field(default=None, repr=False)
    headers: dict[str, str] = field(default_factory=dict[str, str])
    # Whether sending it twice does the same as sending it once.
    repeatable: bool = True
    # How long the server may wait before it answers.
    wait_s: float = 0
    # Whether the answer is a file, and not JSON.
    is_file: bool = False

    def at(self, cursor: str) -> Request[T]:
        """Returns the request for the page at `cursor`."""
        return replace(self, query={**self.query, "cursor": cursor})

    def parameters(self) -> httpx.QueryParams:
        """Returns the query, with lists repeated and absent values left out."""
        return httpx.QueryParams(
            [
                (name, _text(item))
                for name, value in self.query.items()
                if value is not None
                for item in ([value] if isinstance(value, (str, int, datetime)) else value)
            ]
        )

    def read(self, response: httpx.Response) -> T:
        """Reads a successful answer."""
        try:
            content = response.json().get("content") if response.content and not self.is_file else None
            return self.parse(response, content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            request_id = response.headers.get("x-request-id")
            message = f"the answer can't be read: {error}"
            raise SigpersistError("unreadable_answer", response.status_code, message, None, request_id) from error


def save(
    document: str,
    thread: str,
    cms: str | bytes,
    version: int,
    *,
    tags: Sequence[str] = (),
    stage: str | None = None,
    version_created_by: str | int | None = None,
    version_comment: str | None = None,
    content: bytes | None = None,
    certificates: str | None = None,
    wait_s: int | None = None,
) -> Request[Saved]:
    draft = Draft(
        document,
        thread,
        cms,
        version,
        tags=tags,
        stage=stage,
        version_created_by=version_created_by,
        version_comment=version_comment,
        content=content,
        certificates=certificates,
    )

    def parse(response: httpx.Response, answer: Any) -> Saved:
        saved = read(models.SignatureContent, answer)
        return Saved(saved.signature, response.status_code == 201, saved.evidence)

    headers = {"Prefer": f"wait={wait_s}"} if wait_s else {}
    return Request("POST", "/signature", parse, body=draft.body(), headers=headers, wait_s=wait_s or 0)


def save_many(bodies: list[dict[str, Any]]) -> Request[list[Saved | SigpersistError]]:
    def parse(result: dict[str, Any]) -> Saved:
        return Saved(read(models.Signature, result["signature"]), result["status"] == 201, None)

    return _many("/signatures", bodies, parse)


def get_many(bodies: list[dict[str, Any]]) -> Request[list[models.Signature | SigpersistError]]:
    return _many("/signatures/get", bodies, lambda result: read(models.Signature, result["signature"]))


def version_of(version: VersionOf) -> dict[str, Any]:
    """Returns the body of one of `get_many`."""
    document, thread, *number = version
    return _present(document=document, thread=thread, version=number[0] if number else None)


def _many(
    path: str, bodies: list[dict[str, Any]], parse_one: Callable[[dict[str, Any]], T]
) -> Request[list[T | SigpersistError]]:
    def parse(response: httpx.Response, answer: Any) -> list[T | SigpersistError]:
        results: list[dict[str, Any]] = answer["results"]
        if len(results) != len(bodies):
            raise ValueError(f"it has {len(results)} outcomes of {len(bodies)}")
        request_id = response.headers.get("x-request-id")
        return [refusal_of_one(one, request_id) if one.get("error") else parse_one(one) for one in results]

    return Request("POST", path, parse, body={"signatures": bodies})


def get(document: str, thread: str, version: int | None) -> Request[models.Signature]:
    query: Query = {"document": document, "thread": thread, "version": version}
    return Request("GET", "/signature", lambda _, answer: read(models.SignatureContent, answer).signature, query)


def get_file(document: str, thread: str, version: int | None, content_types: Sequence[str]) -> Request[StoredFile]:
    def parse(response: httpx.Response, _: Any) -> StoredFile:
        content_type = response.headers["content-type"].partition(";")[0]
        if content_type == "application/json":
            raise ValueError("it is not a file")
        version = int(response.headers["etag"].strip('"').partition("-")[0])
        return StoredFile(response.content, content_type, _filename(response), version)

    query: Query = {"document": document, "thread": thread, "version": version}
    headers = {"Accept": ", ".join(_list(content_types))}
    return Request("GET", "/signature", parse, query, headers=headers, is_file=True)


def get_inspected(document: str, thread: str, version: int | None, verify: bool) -> Request[Inspected]:
    def parse(_: httpx.Response, answer: Any) -> Inspected:
        stored = read(models.SignatureContent, answer)
        if stored.inspection is None:
            raise ValueError("it has no inspection")
        return Inspected(stored.signature, stored.inspection)

    what = "verify" if verify else "inspect"
    query: Query = {"document": document, "thread": thread, "version": version, what: True}
    return Request("GET", "/signature", parse, query)


def delete(document: str, thread: str, version: int | None) -> Request[None]:
    headers = {"If-Match": f'"{version}"'} if version is not None else {}
    query: Query = {"document": document, "thread": thread}
    return Request("DELETE", "/signature", lambda _, answer: None, query, headers=headers)


def versions(document: str, thread: str, include_signature: bool, page_size: int) -> Request[Page[models.Signature]]:
    def parse(_: httpx.Response, answer: Any) -> Page[models.Signature]:
        page = read(models.VersionPage, answer)
        return Page(page.versions, page.next)

    query: Query = {"document": document, "thread": thread, "limit": page_size, **_omit(include_signature)}
    return Request("GET", "/signature/versions", parse, query)


def signatures(include_signature: bool, page_size: int, **filters: Any) -> Request[Page[models.Signature]]:
    def parse(_: httpx.Response, answer: Any) -> Page[models.Signature]:
        page = read(models.SignaturePage, answer)
        # Without `fields`, they have all members.
        return Page([read(models.Signature, one) for one in answer["signatures"]], page.next)

    query = signature_page(include_signature, page_size, None, False, **filters).query
    return Request("GET", "/signatures", parse, query)


def signature_page(
    include_signature: bool,
    limit: int,
    cursor: str | None,
    count: bool,
    **filters: Any,
) -> Request[models.SignaturePage]:
    """The filters are `SignatureFilters`."""
    lists = {name: _list(filters.get(name, ())) for name in ("tags", "signer", "not_signed_by", "verdict")}
    query: Query = {
        **filters,
        **lists,
        "limit": limit,
        "cursor": cursor,
        "count": count or None,
        **_omit(include_signature),
    }
    return Request("GET", "/signatures", lambda _, answer: read(models.SignaturePage, answer), query)


def verdicts(document: str, thread: str, version: int | None, page_size: int) -> Request[Page[models.RecordedVerdict]]:
    def parse(_: httpx.Response, answer: Any) -> Page[models.RecordedVerdict]:
        page = read(models.RecordedVerdictPage, answer)
        return Page(page.verdicts, page.next)

    query: Query = {"document": document, "thread": thread, "version": version, "limit": page_size}
    return Request("GET", "/signature/verdicts", parse, query)


def record_verdict(
    document: str, thread: str, version: int | None, content: bytes | None, certificates: str | None
) -> Request[models.RecordedVerdict]:
    body = _present(
        document=document, thread=thread, version=version, content=_base64(content), certificates=certificates
    )

    def parse(_: httpx.Response, answer: Any) -> models.RecordedVerdict:
        return read(models.RecordedVerdictContent, answer).verdict

    # Each request records one more verdict.
    return Request("POST", "/signature/verify", parse, body=body, repeatable=False)


def inspect(cms: str | bytes) -> Request[models.Inspection]:
    return Request("POST", "/inspect", _inspection, body={"cms": _cms(cms)})


def verify(cms: str | bytes, content: bytes | None, certificates: str | None) -> Request[models.Inspection]:
    body = _present(cms=_cms(cms), content=_base64(content), certificates=certificates)
    return Request("POST", "/verify", _inspection, body=body)


def decisions(
    page_size: int,
    *,
    document: str | None = None,
    thread: str | None = None,
    hook: str | None = None,
    verdict: models.HookVerdict | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Request[Page[models.Decision]]:
    def parse(_: httpx.Response, answer: Any) -> Page[models.Decision]:
        page = read(models.DecisionPage, answer)
        return Page(page.decisions, page.next)

    query: Query = {
        "document": document,
        "thread": thread,
        "hook": hook,
        "verdict": verdict,
        "since": since,
        "until": until,
        "limit": page_size,
    }
    return Request("GET", "/hooks/decisions", parse, query)


def events(after: int | Literal["now"], types: Sequence[str], limit: int, wait_s: int) -> Request[models.EventPage]:
    query: Query = {"after": after, "types": _list(types), "limit": limit, "wait": wait_s or None}
    return Request("GET", "/events", lambda _, answer: read(models.EventPage, answer), query, wait_s=wait_s)


def any_route(method: str, path: str, query: Query, body: dict[str, Any] | None, repeatable: bool) -> Request[Any]:
    return Request(method, path, lambda _, answer: answer, query, body, repeatable=repeatable)


def _inspection(_: httpx.Response, answer: Any) -> models.Inspection:
    return read(models.InspectionContent, answer).inspection


def _filename(response: httpx.Response) -> str:
    """Reads `Content-Disposition` (RFC 6266). The name has the document's, which may look like a path."""
    given: str = response.headers["content-disposition"]
    extended = re.search(r"filename\*=UTF-8''([^;]+)", given)
    plain = re.search(r'filename="([^"]*)"', given)
    if extended:
        name = urllib.parse.unquote(extended[1])
    elif plain:
        name = plain[1]
    else:
        raise ValueError("it has no filename")
    return re.sub(r"[/\\]", "_", name)


def _cms(cms: str | bytes) -> str:
    return cms if isinstance(cms, str) else base64.b64encode(cms).decode()


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def _list(values: Iterable[str]) -> list[str]:
    if isinstance(values, str):
        raise TypeError("give a list of texts, not one text")
    return list(values)


def _omit(include_signature: bool) -> dict[str, str | None]:
    return {"omit": None if include_signature else "signature"}


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _text(value: str | int | bool | datetime) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        # Without a zone it is local time, as everywhere in Python.
        return value.astimezone(timezone.utc).isoformat()
    return str(value)
