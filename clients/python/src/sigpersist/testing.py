"""A server in memory, for tests of programs that use Sigpersist.

    fake = FakeServer()
    client = Client("http://fake", "any token", transport=fake)

It keeps versions, refuses conflicts, answers identical requests as before, and tells events, as the real one does. It
does not read signatures: whatever you save is a signature, and nobody has signed it, unless you say so in
`inspections`. It has no hooks, policies, scopes or quotas; use `fail_next` to see how your program bears their answers.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import threading
import time
import urllib.parse
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import httpx

from sigpersist._many import MAX_MANY

_Answer = tuple[int, dict[str, Any]]
_Handler = Callable[[dict[str, Any], httpx.Request], _Answer]


# What a file may be, and the ending of its name.
_EXTENSIONS = {
    "application/pkcs7-signature": "p7s",
    "application/pkcs7-mime": "p7m",
    "application/xml": "xml",
    "text/xml": "xml",
    "application/octet-stream": "bin",
}
_TYPES = {
    "cms": ("application/pkcs7-signature", "application/pkcs7-mime"),
    "xml": ("application/xml", "text/xml"),
}


# Parameters of lists that only a real server knows.
NOT_FAKED = {
    "signer",
    "not_signed_by",
    "verdict",
    "created_since",
    "created_until",
    "updated_since",
    "updated_until",
    "order",
    "direction",
    "fields",
}


@dataclass
class _Thread:
    id: int
    created_at: str
    versions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    verdicts: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


class _Refused(Exception):  # noqa: N818
    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: dict[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.failure = {"code": code, "message": message, "details": details}
        self.retry_after = retry_after


class FakeServer(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport that answers as a server with one tenant would. Give it to `Client` or `AsyncClient`."""

    requests: list[httpx.Request]
    """The requests that it got, the latest last."""
    inspections: dict[str, dict[str, Any]]
    """What reading a signature gives, by its text as it was saved: the JSON of an `Inspection`, or a part of it."""
    longest_wait_s: float
    """How long a request for events waits at most, so that tests are quick."""

    def __init__(self, *, longest_wait_s: float = 0.05) -> None:
        self.requests = []
        self.inspections = {}
        self.longest_wait_s = longest_wait_s
        self._threads: dict[tuple[str, str], _Thread] = {}
        self._ids = 0
        self._events: list[dict[str, Any]] = []
        self._log = uuid.uuid4().hex
        self._failures: deque[httpx.Response] = deque()
        self._failures_of: dict[str, deque[_Refused]] = {}
        self._lost = 0
        self._lock = threading.Lock()
        self._routes: dict[str, _Handler] = {
            "POST /signature": self._save,
            "GET /signature": self._get,
            "DELETE /signature": self._delete,
            "GET /signature/versions": self._versions,
            "GET /signatures": self._list,
            "POST /signatures": lambda asked, request: self._many(self._save, asked, request),
            "POST /signatures/get": lambda asked, request: self._many(self._get, asked, request),
            "POST /signature/verify": self._record,
            "GET /signature/verdicts": self._verdicts,
            "POST /inspect": lambda asked, _: (200, {"inspection": self._inspection(_required(asked, "cms"))}),
            "POST /verify": lambda asked, _: (200, {"inspection": self._inspection(_required(asked, "cms"))}),
            "GET /hooks/decisions": lambda asked, _: (200, {"decisions": [], "next": None}),
            "GET /events": self._read_events,
        }

    def fail_next(
        self,
        status: int,
        code: str,
        message: str = "The test wants it so.",
        *,
        details: dict[str, Any] | None = None,
        retry_after: int | None = None,
        document: str | None = None,
    ) -> None:
        """Refuses the next request that has no refusal yet, and does nothing of it.

        With `document`, refuses one of many that are saved or read together: the next one of that document.
        """
        if document is not None:
            refused = _Refused(status, code, message, details, retry_after)
            self._failures_of.setdefault(document, deque()).append(refused)
            return
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        failure = {"status": False, "message": message, "content": None, "code": code, "details": details}
        self._failures.append(httpx.Response(status, headers=headers, json={**failure, "request_id": uuid.uuid4().hex}))

    def lose_next_answer(self) -> None:
        """Does what the next request asks, but its answer is lost. Call it twice for the next two."""
        self._lost += 1

    def add_event(self, kind: str, **members: Any) -> int:
        """Tells an event of any type, and returns its number."""
        with self._lock:
            return self._tell(kind, **members)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Is called by a sync client."""
        request.read()
        deadline = time.monotonic() + self._wait_s(request)
        while (response := self._answer(request, time.monotonic() < deadline)) is None:
            time.sleep(0.005)
        return response

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Is called by an async client."""
        await request.aread()
        deadline = time.monotonic() + self._wait_s(request)
        while (response := self._answer(request, time.monotonic() < deadline)) is None:
            await asyncio.sleep(0.005)
        return response

    def _wait_s(self, request: httpx.Request) -> float:
        return min(float(request.url.params.get("wait", 0)), self.longest_wait_s)

    def _answer(self, request: httpx.Request, may_wait: bool) -> httpx.Response | None:
        """Answers a request, or returns None if it waits for an event."""
        with self._lock:
            request_id = request.headers.get("x-request-id") or uuid.uuid4().hex
            status, answer = self._result(request)
            if may_wait and status == 200 and answer["content"]["events"] == []:
                return None
            # A copy, since the client changes the token of a request that it sends again.
            copy = httpx.Request(request.method, request.url, headers=request.headers, content=request.content)
            self.requests.append(copy)
            if self._failures:
                return self._failures.popleft()
            if self._lost:
                self._lost -= 1
                raise httpx.ReadTimeout("the answer is lost", request=request)
            if status >= 400:
                answer["request_id"] = request_id
            headers = {"x-request-id": request_id, **answer.pop("headers", {})}
            if "file" in answer:
                return httpx.Response(status, headers=headers, content=answer["file"])
            return httpx.Response(status, headers=headers, json=answer)

    def _result(self, request: httpx.Request) -> _Answer:
        if self._failures:
            return 500, {}
        try:
            if not request.headers.get("authorization", "").startswith("Bearer "):
                raise _Refused(401, "missing_token", "This request needs a token: send `Authorization: Bearer <JWT>`.")
            handle = self._routes.get(f"{request.method} {request.url.path}")
            if handle is None:
                raise _Refused(404, "route_not_found", "There is nothing at this path.")
            status, content = handle(_parameters(request), request)
        except _Refused as refused:
            return refused.status, {"status": False, "content": None, **refused.failure}
        if "file" in content:
            return status, content
        return status, {"status": True, "message": None, "content": content} if content else {"status": True}

    def _save(self, asked: dict[str, Any], request: httpx.Request) -> _Answer:
        key, cms, over = _key(asked), _required(asked, "cms"), asked.get("version") or 0
        stored = self._threads.get(key)
        versions = stored.versions if stored else []
        creator = asked.get("version_created_by")
        new = {
            "stage": asked.get("stage"),
            "signature": cms,
            "version_created_by": None if creator is None else str(creator),
            "version_comment": asked.get("version_comment"),
            "tags": list(dict.fromkeys(asked.get("tags", []))),
        }
        if stored and over < len(versions) and _same(versions[over], new):
            return 200, {"signature": self._shown(key, stored, over + 1)}
        if over != len(versions):
            message = f"The signature's current version is {len(versions)}, not the one that you signed over."
            raise _Refused(409, "version_conflict", message, {"current_version": len(versions)})
        if stored is None:
            self._ids += 1
            stored = self._threads[key] = _Thread(self._ids, _now())
        stored.versions.append({**new, "version_created_at": _now()})
        number = self._tell("version.saved", **self._members(key, stored, over + 1))
        content: dict[str, Any] = {"signature": self._shown(key, stored, over + 1)}
        if "wait=" in request.headers.get("prefer", ""):
            content["evidence"] = {"state": "logged", "number": number}
        return 201, content

    def _get(self, asked: dict[str, Any], request: httpx.Request) -> _Answer:
        key, stored, version = self._find(asked)
        shown = self._shown(key, stored, version)
        if content_type := _file_type(shown["signature"], request):
            name = f"{key[0]}-{key[1]}-{version}.{_EXTENSIONS[content_type]}"
            headers = {
                "Content-Type": content_type,
                "Content-Disposition": f"attachment; filename*=UTF-8''{urllib.parse.quote(name, safe='')}",
                "ETag": f'"{version}"',
            }
            return 200, {"file": _decoded(shown["signature"]), "headers": headers}
        content = {"signature": shown}
        if "true" in (asked.get("inspect"), asked.get("verify")):
            content["inspection"] = self._inspection(shown["signature"])
        return 200, content

    def _many(self, handle: _Handler, asked: dict[str, Any], request: httpx.Request) -> _Answer:
        parts: list[dict[str, Any]] = asked["signatures"]
        if not 1 <= len(parts) <= MAX_MANY:
            message = f"`signatures` must have 1 to {MAX_MANY} elements."
            raise _Refused(400, "invalid_parameter", message, {"field": "/signatures"})
        required = ("document", "thread", "cms") if handle == self._save else ("document", "thread")
        for place, part in enumerate(parts):
            for name in required:
                _required(part, name, f"/signatures/{place}")
        results: list[dict[str, Any]] = []
        failed: set[tuple[str, str]] = set()
        for part in parts:
            if handle == self._save and _key(part) in failed:
                message = "An earlier signature of this thread in the request was not saved, so this one was not tried."
                error = {"code": "earlier_failed", "message": message}
                results.append({"status": 424, "signature": None, "error": error})
                continue
            results.append(self._one_of_many(handle, part, request))
            if results[-1]["error"]:
                failed.add(_key(part))
        return 200, {"results": results}

    def _one_of_many(self, handle: _Handler, part: dict[str, Any], request: httpx.Request) -> dict[str, Any]:
        try:
            if failures := self._failures_of.get(part["document"]):
                raise failures.popleft()
            status, content = handle(part, request)
        except _Refused as refused:
            error = {**refused.failure, "retry_after": refused.retry_after}
            return {"status": refused.status, "signature": None, "error": error}
        signature = content["signature"]
        if handle == self._save:
            [signature] = _without_signature([signature], {"omit": ["signature"]})
        return {"status": status, "signature": signature, "error": None}

    def _delete(self, asked: dict[str, Any], request: httpx.Request) -> _Answer:
        key = _key(asked)
        current = len(self._threads[key].versions) if key in self._threads else 0
        if request.headers.get("if-match", f'"{current}"') != f'"{current}"':
            message = f"The request's precondition failed: the current version is {current}."
            raise _Refused(412, "precondition_failed", message, {"current_version": current})
        key, stored, version = self._find(asked)
        for event in self._events:
            if (event.get("document"), event.get("thread")) == key and event["type"] != "signature.deleted":
                kept = {name: event[name] for name in ("id", "number", "at")}
                event.clear()
                event.update(kept, type="erased")
        members = self._members(key, stored, version)
        del self._threads[key]
        self._tell("signature.deleted", **{name: members[name] for name in ("document", "thread", "version", "sha256")})
        return 200, {}

    def _versions(self, asked: dict[str, Any], _: httpx.Request) -> _Answer:
        key, stored, version = self._find(asked)
        shown = [self._shown(key, stored, number) for number in range(version, 0, -1)]
        items, cursor = _page(shown, asked, lambda signature: signature["version"])
        return 200, {"versions": _without_signature(items, asked), "next": cursor}

    def _list(self, asked: dict[str, Any], _: httpx.Request) -> _Answer:
        for name in sorted(NOT_FAKED & asked.keys()):
            message = f"The fake server does not know `{name}`: ask a real one."
            raise _Refused(400, "invalid_parameter", message, {"field": f"/{name}"})
        shown = [self._shown(key, stored, len(stored.versions)) for key, stored in self._threads.items()]
        matching = [signature for signature in shown if _matches(signature, asked)]
        matching.sort(key=lambda signature: signature["id"], reverse=True)
        items, cursor = _page(matching, asked, lambda signature: signature["id"])
        items = [{**item, "chain": item["thread"]} for item in items]
        content = {"signatures": _without_signature(items, asked), "next": cursor}
        return 200, {**content, "nb_results": len(matching)} if asked.get("count") == "true" else content

    def _record(self, asked: dict[str, Any], _: httpx.Request) -> _Answer:
        key, stored, version = self._find(asked)
        inspection = self._inspection(stored.versions[version - 1]["signature"])
        verdict: dict[str, Any] = {"format": inspection["format"], "problem": inspection["problem"], "signers": []}
        verdict |= {"left_out": 0, "version": version, "verified_at": _now()}
        stored.verdicts.append(verdict)
        self._tell("verdict.recorded", **self._members(key, stored, version), indications=[])
        return 200, {"verdict": verdict}

    def _verdicts(self, asked: dict[str, Any], _: httpx.Request) -> _Answer:
        _key, stored, version = self._find(asked)
        numbered = list(enumerate(stored.verdicts, 1))
        numbered.sort(key=lambda item: (item[1]["version"], item[0]), reverse=True)
        wanted = [item for item in numbered if "version" not in asked or item[1]["version"] == version]
        items, cursor = _page(wanted, asked, lambda item: item[0])
        return 200, {"verdicts": [verdict for _, verdict in items], "next": cursor}

    def _read_events(self, asked: dict[str, Any], _: httpx.Request) -> _Answer:
        after = len(self._events) if asked.get("after") == "now" else int(asked.get("after", 0))
        types = asked.get("types", [])
        found: list[dict[str, Any]] = []
        for event in self._events[after:]:
            if len(found) == int(asked.get("limit", 50)):
                break
            after = event["number"]
            if not types or any(event["type"] == kind or _is_of(event["type"], kind) for kind in types):
                found.append(dict(event))
        return 200, {"events": found, "next": after}

    def _find(self, asked: dict[str, Any]) -> tuple[tuple[str, str], _Thread, int]:
        key = _key(asked)
        stored = self._threads.get(key)
        version = int(asked.get("version") or (len(stored.versions) if stored else 0))
        if stored is None or not 1 <= version <= len(stored.versions):
            raise _Refused(404, "signature_not_found", "There is no such signature.")
        return key, stored, version

    def _shown(self, key: tuple[str, str], stored: _Thread, version: int) -> dict[str, Any]:
        return {
            "id": stored.id,
            "document": key[0],
            "thread": key[1],
            "version": version,
            "parent": version - 1 or None,
            "created_at": stored.created_at,
            "updated_at": stored.versions[-1]["version_created_at"],
            **stored.versions[version - 1],
        }

    def _members(self, key: tuple[str, str], stored: _Thread, version: int) -> dict[str, Any]:
        shown = self._shown(key, stored, version)
        members = {name: shown[name] for name in ("document", "thread", "version", "stage", "tags")}
        return {**members, "sha256": hashlib.sha256(_decoded(shown["signature"])).hexdigest()}

    def _tell(self, kind: str, **members: Any) -> int:
        number = len(self._events) + 1
        event = {"id": f"{self._log}-{number}", "number": number, "type": kind, "at": _now(), **members}
        self._events.append(event)
        return number

    def _inspection(self, cms: str) -> dict[str, Any]:
        data = _decoded(cms)
        read: dict[str, Any] = {
            "format": _format(data),
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "signers": [],
        }
        return {**read, "problem": None, **self.inspections.get(cms, {})}


def _parameters(request: httpx.Request) -> dict[str, Any]:
    if request.content:
        return dict(json.loads(request.content))
    query = request.url.params
    lists = {"tags", "types", "omit", "signer", "not_signed_by", "verdict"}
    return {name: query.get_list(name) if name in lists else query[name] for name in query}


def _key(asked: dict[str, Any]) -> tuple[str, str]:
    return _required(asked, "document"), _required(asked, "thread")


def _required(asked: dict[str, Any], name: str, within: str = "") -> str:
    if not asked.get(name):
        raise _Refused(400, "invalid_parameter", f"`{name}` must not be empty.", {"field": f"{within}/{name}"})
    return str(asked[name])


def _same(stored: dict[str, Any], new: dict[str, Any]) -> bool:
    return all(
        sorted(stored[name]) == sorted(new[name]) if name == "tags" else stored[name] == new[name] for name in new
    )


def _matches(signature: dict[str, Any], asked: dict[str, Any]) -> bool:
    tags = set(asked.get("tags", []))
    common = tags & set(signature["tags"])
    exact = all(signature[name] == asked[name] for name in ("document", "thread", "stage") if name in asked)
    return exact and (common == tags if asked.get("tags_match") == "all" else not tags or bool(common))


def _page(items: list[Any], asked: dict[str, Any], place: Callable[[Any], int]) -> tuple[list[Any], str | None]:
    """Returns those after the cursor, which is the place of the last one before, and the next cursor."""
    if "cursor" in asked:
        places = [place(item) for item in items]
        items = items[places.index(int(asked["cursor"])) + 1 :]
    limit = int(asked.get("limit", 50))
    return items[:limit], str(place(items[limit - 1])) if len(items) > limit else None


def _without_signature(items: list[dict[str, Any]], asked: dict[str, Any]) -> list[dict[str, Any]]:
    if "signature" not in asked.get("omit", []):
        return items
    return [{name: value for name, value in item.items() if name != "signature"} for item in items]


def _is_of(kind: str, prefix: str) -> bool:
    return prefix.endswith(".") and kind.startswith(prefix)


def _format(data: bytes) -> str:
    return "xml" if data.lstrip().startswith(b"<") else "cms" if data.startswith(b"\x30") else "unknown"


def _file_type(cms: str, request: httpx.Request) -> str | None:
    """Returns the type of file that the client wants of a signature; None if it wants JSON."""
    wanted = [part.partition(";")[0].strip() for part in request.headers.get("accept", "").split(",")]
    if not any(name in _EXTENSIONS for name in wanted):
        return None
    of_format = _TYPES.get(_format(_decoded(cms)), ())
    given = (*of_format, "application/octet-stream", "application/json")
    found = next((name for name in wanted if name in given), None)
    if found is None:
        message = f"The signature is not of a type that `Accept` names: this one can be had as {', '.join(given)}."
        raise _Refused(406, "not_acceptable", message)
    return None if found == "application/json" else found


def _decoded(cms: str) -> bytes:
    try:
        return base64.b64decode("".join(cms.split()), validate=True)
    except (binascii.Error, ValueError):
        return cms.encode()


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
