"""The four routes of the reference, with FastAPI, asyncpg and PyJWT. ../README.md explains their purpose."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
import jwt
import orjson
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

KEYS_ARE_FRESH_S = 60

Label = Annotated[str, Field(min_length=1, max_length=255)]

# The columns of a version: the current one (v.version = s.version) or another.
COLUMNS = """s.id, v.version, s.document, s.thread, s.stage, v.cms, v.created_by, v.created_at AS version_created_at,
    v.comment, s.tags, s.created_at, s.updated_at"""


class Failure(Exception):
    def __init__(self, status: int, code: str, message: str, details: dict[str, Any] | None = None):
        self.status, self.code, self.message, self.details = status, code, message, details


class Draft(BaseModel):
    model_config = ConfigDict(extra="forbid")

    document: Label
    thread: Label
    version: int = Field(0, ge=0)
    cms: str = Field(min_length=1, max_length=10_485_760)
    version_created_by: int | str | None = None
    version_comment: str | None = Field(None, max_length=4096)
    tags: list[Label] = Field([], max_length=64)
    stage: Label | None = None


@asynccontextmanager
async def lifespan(app: FastAPI):
    async def keep(_connection: asyncpg.Connection) -> None:
        """Resets nothing between requests, since no request changes its session."""

    async with asyncpg.create_pool(min_size=4, max_size=8, reset=keep) as pool:
        app.state.pool = pool
        app.state.keys = {}
        yield


app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)


def answer(content: Any, status: int = 200) -> Response:
    body = orjson.dumps({"status": True, "message": None, "content": content})
    return Response(body, status, media_type="application/json")


def failure(status: int, code: str, message: str, details: Any = None) -> Response:
    body = {"status": False, "message": message, "content": None, "code": code, "details": details}
    return Response(orjson.dumps(body), status, media_type="application/json")


@app.exception_handler(Failure)
async def refused(_request: Request, error: Failure) -> Response:
    return failure(error.status, error.code, error.message, error.details)


@app.exception_handler(RequestValidationError)
async def invalid(_request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    details = {"field": "/" + "/".join(str(part) for part in first["loc"][1:])}
    return failure(400, "invalid_parameter", first["msg"], details)


@app.exception_handler(HTTPException)
async def unknown(_request: Request, error: HTTPException) -> Response:
    return failure(error.status_code, f"http_{error.status_code}", str(error.detail))


async def find_key(kid: str) -> asyncpg.Record | None:
    found, fresh_until = app.state.keys.get(kid, (None, 0.0))
    if time.monotonic() > fresh_until:
        found = await app.state.pool.fetchrow("SELECT tenant_id, secret FROM keys WHERE kid = $1", kid)
        if found:
            app.state.keys[kid] = (found, time.monotonic() + KEYS_ARE_FRESH_S)
    return found


def tenant_with(scope: str) -> Any:
    """A dependency that returns the token's tenant and requires `scope`."""

    async def tenant(request: Request) -> int:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Failure(401, "missing_token", "A bearer token is needed.")
        try:
            key = await find_key(jwt.get_unverified_header(token).get("kid", ""))
            if key is None:
                raise Failure(401, "invalid_token", "The key is not known.")
            claims = jwt.decode(token, key["secret"], algorithms=["HS256"], options={"require": ["exp"]}, leeway=30)
        except jwt.PyJWTError as error:
            raise Failure(401, "invalid_token", str(error)) from error
        if scope not in claims.get("scope", "").split():
            raise Failure(403, "insufficient_scope", f"The token does not allow `{scope}`.")
        return key["tenant_id"]

    return Depends(tenant)


def shape(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "id": row["id"],
        "version": row["version"],
        "document": row["document"],
        "thread": row["thread"],
        "stage": row["stage"],
        "signature": row["cms"],
        "parent": row["version"] - 1 or None,
        "version_created_by": row["created_by"],
        "version_created_at": f"{row['version_created_at']:%Y-%m-%d %H:%M:%S}",
        "version_comment": row["comment"],
        "tags": row["tags"],
        "created_at": f"{row['created_at']:%Y-%m-%d %H:%M:%S}",
        "updated_at": f"{row['updated_at']:%Y-%m-%d %H:%M:%S}",
    }


@app.get("/signature")
async def get_signature(
    document: Label, thread: Label, version: int | None = None, tenant: int = tenant_with("signatures:read")
) -> Response:
    row = await app.state.pool.fetchrow(
        f"""SELECT {COLUMNS} FROM signatures s JOIN versions v ON v.signature_id = s.id
            AND v.version = coalesce($4, s.version)
            WHERE s.tenant_id = $1 AND s.document = $2 AND s.thread = $3""",
        tenant, document, thread, version,
    )  # fmt: skip
    if row is None:
        raise Failure(404, "signature_not_found", "There is no such signature.")
    return answer({"signature": shape(row)})


@app.post("/signature")
async def save_signature(draft: Draft, tenant: int = tenant_with("signatures:write")) -> Response:
    created_by = None if draft.version_created_by is None else str(draft.version_created_by)
    async with app.state.pool.acquire() as connection, connection.transaction():
        if draft.version == 0:
            thread = await connection.fetchrow(
                """INSERT INTO signatures (tenant_id, document, thread, version, stage, tags)
                   VALUES ($1, $2, $3, 1, $4, $5) ON CONFLICT DO NOTHING RETURNING *""",
                tenant, draft.document, draft.thread, draft.stage, draft.tags,
            )  # fmt: skip
        else:
            thread = await connection.fetchrow(
                """UPDATE signatures SET version = version + 1, stage = $5, tags = $6, updated_at = now()
                   WHERE tenant_id = $1 AND document = $2 AND thread = $3 AND version = $4 RETURNING *""",
                tenant, draft.document, draft.thread, draft.version, draft.stage, draft.tags,
            )  # fmt: skip
        if thread is None:
            current = await connection.fetchval(
                "SELECT version FROM signatures WHERE tenant_id = $1 AND document = $2 AND thread = $3",
                tenant, draft.document, draft.thread,
            )  # fmt: skip
            raise Failure(409, "version_conflict", "It is at another version.", {"current_version": current or 0})
        version = await connection.fetchrow(
            """INSERT INTO versions (signature_id, version, cms, created_by, comment) VALUES ($1, $2, $3, $4, $5)
               RETURNING created_by, comment, created_at AS version_created_at""",
            thread["id"], thread["version"], draft.cms, created_by, draft.version_comment,
        )  # fmt: skip
    return answer({"signature": shape({**thread, **version, "cms": draft.cms})}, 201)


@app.delete("/signature")
async def delete_signature(document: Label, thread: Label, tenant: int = tenant_with("signatures:delete")) -> Response:
    deleted = await app.state.pool.fetchval(
        "DELETE FROM signatures WHERE tenant_id = $1 AND document = $2 AND thread = $3 RETURNING id",
        tenant, document, thread,
    )  # fmt: skip
    if deleted is None:
        raise Failure(404, "signature_not_found", "There is no such signature.")
    return Response(b'{"status":true}', media_type="application/json")


@app.get("/signatures")
async def list_signatures(
    document: Label | None = None,
    chain: Label | None = None,
    stage: Label | None = None,
    tags: Annotated[list[Label] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0)] = 0,
    count: bool = False,
    tenant: int = tenant_with("signatures:read"),
) -> Response:
    where = """s.tenant_id = $1 AND ($2::text IS NULL OR s.document = $2) AND ($3::text IS NULL OR s.thread = $3)
        AND ($4::text IS NULL OR s.stage = $4) AND ($5::text[] IS NULL OR s.tags && $5)"""
    filters = (tenant, document, chain, stage, tags)
    rows = await app.state.pool.fetch(
        f"""SELECT {COLUMNS} FROM signatures s JOIN versions v ON v.signature_id = s.id AND v.version = s.version
            WHERE {where} ORDER BY s.created_at DESC, s.id DESC LIMIT $6 OFFSET $7""",
        *filters, limit, offset,
    )  # fmt: skip
    content: dict[str, Any] = {"signatures": [{**shape(row), "chain": row["thread"]} for row in rows]}
    if count:
        content["nb_results"] = await app.state.pool.fetchval(f"SELECT count(*) FROM signatures s WHERE {where}", *filters)
    return answer(content)
