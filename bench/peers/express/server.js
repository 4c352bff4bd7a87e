// The four routes of the reference, with Express, pg and jsonwebtoken, on Node's cluster. ../README.md explains their purpose.

import cluster from "node:cluster";
import { createSecretKey } from "node:crypto";
import { availableParallelism } from "node:os";

import express from "express";
import jwt from "jsonwebtoken";
import pg from "pg";

const KEYS_ARE_FRESH_MS = 60_000;

pg.types.setTypeParser(pg.types.builtins.INT8, Number);

class Failure extends Error {
  constructor(status, code, message, details) {
    super(message);
    Object.assign(this, { status, code, details });
  }
}

const pool = new pg.Pool({ max: 8 });
// The pool replaces idle connections that break.
pool.on("error", (error) => console.error(error.message));
const keys = new Map();

async function findKey(kid) {
  const known = keys.get(kid);
  if (known && Date.now() < known.freshUntil) return known.key;
  const { rows } = await pool.query({
    name: "key",
    text: "SELECT tenant_id, secret FROM keys WHERE kid = $1",
    values: [kid],
  });
  if (!rows[0]) return undefined;
  // If the secret were text, jsonwebtoken would first try to parse a public key each time, which takes longer than all the rest.
  const key = { tenantId: rows[0].tenant_id, secret: createSecretKey(rows[0].secret, "utf8") };
  keys.set(kid, { key, freshUntil: Date.now() + KEYS_ARE_FRESH_MS });
  return key;
}

/** Middleware that requires a token with `scope`. */
function tenantWith(scope) {
  return async (request, _response, next) => {
    const [scheme, token] = (request.get("authorization") ?? "").split(" ");
    if (scheme.toLowerCase() !== "bearer" || !token) throw new Failure(401, "missing_token", "A bearer token is needed.");
    const key = await findKey(jwt.decode(token, { complete: true })?.header.kid ?? "");
    if (!key) throw new Failure(401, "invalid_token", "The key is not known.");
    let claims;
    try {
      claims = jwt.verify(token, key.secret, { algorithms: ["HS256"], clockTolerance: 30 });
    } catch (error) {
      throw new Failure(401, "invalid_token", error.message);
    }
    if (!claims.exp) throw new Failure(401, "invalid_token", "The token has no `exp`.");
    if (!(claims.scope ?? "").split(" ").includes(scope)) {
      throw new Failure(403, "insufficient_scope", `The token does not allow \`${scope}\`.`);
    }
    request.tenant = key.tenantId;
    next();
  };
}

const invalid = (field) => new Failure(400, "invalid_parameter", `\`${field}\` is not valid.`, { field: `/${field}` });

function label(from, name, required = true) {
  const value = from[name];
  if (value === undefined && !required) return null;
  if (typeof value !== "string" || value.length < 1 || value.length > 255) throw invalid(name);
  return value;
}

function integer(from, name, least, most, otherwise) {
  const value = from[name];
  if (value === undefined) return otherwise;
  const number = Number(value);
  if (!Number.isInteger(number) || number < least || number > most) throw invalid(name);
  return number;
}

function labels(from, name) {
  const value = from[name];
  if (value === undefined) return undefined;
  const list = Array.isArray(value) ? value : [value];
  if (list.length > 64) throw invalid(name);
  return list.map((_, index) => label(list, index));
}

const time = (date) => date.toISOString().slice(0, 19).replace("T", " ");

const shape = (row) => ({
  id: row.id,
  version: row.version,
  document: row.document,
  thread: row.thread,
  stage: row.stage,
  signature: row.cms,
  parent: row.version - 1 || null,
  version_created_by: row.created_by,
  version_created_at: time(row.version_created_at),
  version_comment: row.comment,
  tags: row.tags,
  created_at: time(row.created_at),
  updated_at: time(row.updated_at),
});

const COLUMNS = `s.id, v.version, s.document, s.thread, s.stage, v.cms, v.created_by, v.created_at AS version_created_at,
  v.comment, s.tags, s.created_at, s.updated_at`;

const answer = (response, content) => response.json({ status: true, message: null, content });

async function getSignature(request, response) {
  const { query, tenant } = request;
  const { rows } = await pool.query({
    name: "get",
    text: `SELECT ${COLUMNS} FROM signatures s JOIN versions v ON v.signature_id = s.id AND v.version = coalesce($4, s.version)
      WHERE s.tenant_id = $1 AND s.document = $2 AND s.thread = $3`,
    values: [tenant, label(query, "document"), label(query, "thread"), integer(query, "version", 1, 2 ** 31 - 1, null)],
  });
  if (!rows[0]) throw new Failure(404, "signature_not_found", "There is no such signature.");
  answer(response, { signature: shape(rows[0]) });
}

async function saveSignature(request, response) {
  const { body = {}, tenant } = request;
  const [document, thread, stage] = [label(body, "document"), label(body, "thread"), label(body, "stage", false)];
  const [over, tags] = [integer(body, "version", 0, 2 ** 31 - 2, 0), labels(body, "tags") ?? []];
  const { cms, version_created_by: createdBy = null, version_comment: comment = null } = body;
  if (typeof cms !== "string" || cms === "") throw invalid("cms");
  if (comment !== null && (typeof comment !== "string" || comment.length > 4096)) throw invalid("version_comment");
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    const saved = await client.query(
      over === 0
        ? {
            name: "create",
            text: `INSERT INTO signatures (tenant_id, document, thread, version, stage, tags)
              VALUES ($1, $2, $3, 1, $4, $5) ON CONFLICT DO NOTHING RETURNING *`,
            values: [tenant, document, thread, stage, tags],
          }
        : {
            name: "update",
            text: `UPDATE signatures SET version = version + 1, stage = $5, tags = $6, updated_at = now()
              WHERE tenant_id = $1 AND document = $2 AND thread = $3 AND version = $4 RETURNING *`,
            values: [tenant, document, thread, over, stage, tags],
          },
    );
    const signature = saved.rows[0];
    if (!signature) {
      const { rows } = await client.query(
        "SELECT version FROM signatures WHERE tenant_id = $1 AND document = $2 AND thread = $3",
        [tenant, document, thread],
      );
      const details = { current_version: rows[0]?.version ?? 0 };
      throw new Failure(409, "version_conflict", "It is at another version.", details);
    }
    const version = await client.query({
      name: "version",
      text: `INSERT INTO versions (signature_id, version, cms, created_by, comment) VALUES ($1, $2, $3, $4, $5)
        RETURNING created_by, comment, created_at AS version_created_at`,
      values: [signature.id, signature.version, cms, createdBy === null ? null : String(createdBy), comment],
    });
    await client.query("COMMIT");
    answer(response.status(201), { signature: shape({ ...signature, ...version.rows[0], cms }) });
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  } finally {
    client.release();
  }
}

async function deleteSignature(request, response) {
  const { query, tenant } = request;
  const { rowCount } = await pool.query({
    name: "delete",
    text: "DELETE FROM signatures WHERE tenant_id = $1 AND document = $2 AND thread = $3",
    values: [tenant, label(query, "document"), label(query, "thread")],
  });
  if (rowCount === 0) throw new Failure(404, "signature_not_found", "There is no such signature.");
  response.json({ status: true });
}

async function listSignatures(request, response) {
  const { query, tenant } = request;
  const where = `s.tenant_id = $1 AND ($2::text IS NULL OR s.document = $2) AND ($3::text IS NULL OR s.thread = $3)
    AND ($4::text IS NULL OR s.stage = $4) AND ($5::text[] IS NULL OR s.tags && $5)`;
  const names = ["document", "chain", "stage"];
  const filters = [tenant, ...names.map((name) => label(query, name, false)), labels(query, "tags") ?? null];
  const { rows } = await pool.query({
    name: "list",
    text: `SELECT ${COLUMNS} FROM signatures s JOIN versions v ON v.signature_id = s.id AND v.version = s.version
      WHERE ${where} ORDER BY s.created_at DESC, s.id DESC LIMIT $6 OFFSET $7`,
    values: [...filters, integer(query, "limit", 1, 1000, 50), integer(query, "offset", 0, 2 ** 31 - 1, 0)],
  });
  const content = { signatures: rows.map((row) => ({ ...shape(row), chain: row.thread })) };
  if (query.count === "true") {
    const text = `SELECT count(*) FROM signatures s WHERE ${where}`;
    content.nb_results = (await pool.query({ name: "count", text, values: filters })).rows[0].count;
  }
  answer(response, content);
}

function serve() {
  const app = express();
  app.disable("x-powered-by");
  // Versions identify answers, and hashing each answer would cost time.
  app.disable("etag");
  app.get("/signature", tenantWith("signatures:read"), getSignature);
  app.post("/signature", tenantWith("signatures:write"), express.json({ limit: "11mb" }), saveSignature);
  app.delete("/signature", tenantWith("signatures:delete"), deleteSignature);
  app.get("/signatures", tenantWith("signatures:read"), listSignatures);
  app.use(() => {
    throw new Failure(404, "route_not_found", "There is no such route.");
  });
  // Express recognizes an error handler by its four parameters.
  app.use((error, _request, response, _next) => {
    const status = error.status ?? 500;
    if (status === 500) console.error(error);
    const message = status === 500 ? "Something went wrong." : error.message;
    const code = error instanceof Failure ? error.code : `http_${status}`;
    response.status(status).json({ status: false, message, content: null, code, details: error.details });
  });
  app.listen(Number(process.env.PORT), "127.0.0.1");
}

if (cluster.isPrimary) {
  const workers = Number(process.env.WORKERS ?? availableParallelism());
  for (let worker = 0; worker < workers; worker++) cluster.fork();
} else {
  serve();
}
