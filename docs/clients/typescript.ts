// A client of Sigpersist, and a story that shows how an application lives with the server.
//
// Needs Node 20 or later and nothing else. Copy the first half, and run the second:
//
//     npm ci && SIGPERSIST_KEY_ID=… SIGPERSIST_SECRET=… npm start

import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const SCOPES = "signatures:read signatures:write signatures:delete";
const TOKEN_LIFETIME_S = 300;
const ATTEMPTS = 5;
// Longer than the server lets anything wait.
const TIMEOUT_MS = 60_000;
const LONGEST_WAIT_S = 30;

/** A version. Times are UTC, `YYYY-MM-DD HH:MM:SS`. */
export interface Signature {
  id: number;
  version: number;
  document: string;
  thread: string;
  stage: string | null;
  /** The CMS (base64) or XML, byte for byte as it was saved. */
  signature: string;
  /** The version that this one was signed over. */
  parent: number | null;
  version_created_by: string | null;
  version_created_at: string;
  version_comment: string | null;
  tags: string[];
  created_at: string;
  updated_at: string;
}

/** A version in a list, where the signature itself is left out. */
export type Listed = Omit<Signature, "signature"> & { chain: string };

/** Who signed, and whether it holds. There is more in it: docs/signatures.md. */
export interface Inspection {
  format: string;
  problem: string | null;
  signers: {
    certificate: { iin: string | null; bin: string | null } | null;
    verdict: {
      indication: "TOTAL_PASSED" | "INDETERMINATE" | "TOTAL_FAILED";
      sub_indication: string | null;
      explanation: string;
      intact: boolean | null;
    };
  }[];
}

/** What a save may bring besides the signature. */
export interface SaveOptions {
  tags?: string[];
  stage?: string;
  version_created_by?: string;
  version_comment?: string;
}

export interface Filter {
  tags?: string[];
  tags_match?: "any" | "all";
  document?: string;
  thread?: string;
  stage?: string;
}

interface Failure {
  code?: string;
  message?: string;
  request_id?: string;
  details?: Record<string, unknown>;
}

type Query = Record<string, string | number | boolean | string[] | undefined>;

/** A request that the server refused. Decide by `code`, which is stable; the message is for people. */
export class SigpersistError extends Error {
  readonly httpStatus: number;
  readonly code: string;
  readonly details: Record<string, unknown>;
  /** Name it to whoever runs the server: it is in the log. */
  readonly requestId: string | undefined;

  constructor(httpStatus: number, failure: Failure) {
    const code = failure.code ?? `http_${httpStatus}`;
    super(`${code}: ${failure.message} (request ${failure.request_id})`);
    this.httpStatus = httpStatus;
    this.code = code;
    this.details = failure.details ?? {};
    this.requestId = failure.request_id;
  }
}

/** What a tenant's application asks of the server. */
export class Sigpersist {
  readonly #url: string;
  readonly #keyId: string;
  readonly #secret: string;
  #token = "";
  #tokenExpires = 0;

  constructor(url: string, keyId: string, secret: string) {
    this.#url = url.replace(/\/$/, "");
    this.#keyId = keyId;
    this.#secret = secret;
  }

  /**
   * Saves `cms` as the version after `over`, the one that it was signed over; 0 for a first signature.
   * `isNew` is false where an identical request has saved it before.
   */
  async save(
    document: string,
    thread: string,
    over: number,
    cms: string,
    options: SaveOptions = {},
  ): Promise<{ signature: Signature; isNew: boolean }> {
    const body = { document, thread, version: over, cms, ...options };
    const { status, content } = await this.#request<{ signature: Signature }>("POST", "/signature", {}, body);
    return { signature: content.signature, isNew: status === 201 };
  }

  /** The current version, or an earlier one. */
  async read(document: string, thread: string, version?: number): Promise<Signature> {
    const query = { document, thread, version };
    return (await this.#request<{ signature: Signature }>("GET", "/signature", query)).content.signature;
  }

  /** The current version, who signed it, and a verdict on each. */
  async verify(document: string, thread: string): Promise<{ signature: Signature; inspection: Inspection }> {
    const query = { document, thread, verify: true };
    return (await this.#request<{ signature: Signature; inspection: Inspection }>("GET", "/signature", query)).content;
  }

  /** All current versions, newest first, page by page. */
  async *list(filter: Filter, limit = 100): AsyncGenerator<Listed> {
    let cursor: string | undefined;
    do {
      const query = { ...filter, limit, omit: "signature", cursor };
      const { content } = await this.#request<{ signatures: Listed[]; next: string | null }>(
        "GET",
        "/signatures",
        query,
      );
      yield* content.signatures;
      cursor = content.next ?? undefined;
    } while (cursor !== undefined);
  }

  /** Deletes a thread with all its versions. Where there is none, it was deleted before: its answer may have been lost. */
  async delete(document: string, thread: string): Promise<void> {
    try {
      await this.#request("DELETE", "/signature", { document, thread });
    } catch (error) {
      if (!(error instanceof SigpersistError && error.code === "signature_not_found")) throw error;
    }
  }

  /**
   * Saves what `sign` makes of the current version. Where another writer is faster, `sign` is asked again with what
   * that one saved: it signs that, or returns null to leave it as it is.
   */
  async countersign(
    document: string,
    thread: string,
    sign: (current: Signature, inspection: Inspection) => Promise<string | null>,
    options: SaveOptions = {},
  ): Promise<Signature> {
    for (;;) {
      const { signature: current, inspection } = await this.verify(document, thread);
      const cms = await sign(current, inspection);
      if (cms === null) return current;
      try {
        return (await this.save(document, thread, current.version, cms, options)).signature;
      } catch (error) {
        if (!(error instanceof SigpersistError && error.code === "version_conflict")) throw error;
      }
    }
  }

  /** Every request here can be repeated: the server answers an identical save with what it has saved already. */
  async #request<Content>(
    method: string,
    path: string,
    query: Query,
    body?: object,
  ): Promise<{ status: number; content: Content }> {
    const url = new URL(this.#url + path);
    for (const [name, value] of Object.entries(query)) {
      for (const item of Array.isArray(value) ? value : [value]) {
        if (item !== undefined) url.searchParams.append(name, String(item));
      }
    }
    for (let attempt = 1; ; attempt++) {
      let response: Response;
      let text: string;
      try {
        response = await fetch(url, {
          method,
          headers: {
            authorization: `Bearer ${this.#bearer()}`,
            ...(body && { "content-type": "application/json" }),
          },
          body: body ? JSON.stringify(body) : null,
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
        text = await response.text();
      } catch (error) {
        // The answer is lost; whether anything was done is not known.
        if (attempt === ATTEMPTS) throw error;
        await sleep(100 * 2 ** attempt);
        continue;
      }
      // 429 and 503 may be repeated as they were. Without Retry-After, waiting does not help.
      const waitS = Number(response.headers.get("retry-after") ?? NaN);
      if ([429, 503].includes(response.status) && waitS <= LONGEST_WAIT_S && attempt < ATTEMPTS) {
        await sleep(1000 * waitS);
        continue;
      }
      const answer = parse(text);
      if (!response.ok) throw new SigpersistError(response.status, answer ?? { message: response.statusText });
      return { status: response.status, content: (answer as { content: Content }).content };
    }
  }

  /** A JSON Web Token (HS256), signed here: the secret never travels. One serves for some minutes. */
  #bearer(): string {
    const now = Math.floor(Date.now() / 1000);
    if (this.#tokenExpires - now < 30) {
      this.#tokenExpires = now + TOKEN_LIFETIME_S;
      const header = { alg: "HS256", typ: "JWT", kid: this.#keyId };
      const claims = { sub: "example-ts", scope: SCOPES, iat: now, exp: this.#tokenExpires };
      const base64url = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
      const signed = `${base64url(header)}.${base64url(claims)}`;
      const mac = createHmac("sha256", this.#secret).update(signed).digest("base64url");
      this.#token = `${signed}.${mac}`;
    }
    return this.#token;
  }
}

/** An answer's JSON; nothing where it is not the server's, but of something in between. */
function parse(text: string): Failure | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function setting(name: string): string {
  const value = process.env[name];
  assert(value, `${name} must be set`);
  return value;
}

async function main(): Promise<void> {
  const data = process.env.SIGPERSIST_EXAMPLE_DATA ?? "../../tests/data";
  const cms = (name: string) => readFileSync(join(data, `${name}.cms.b64`), "utf8").trim();
  const [byAigerim, byBoth] = [cms("first"), cms("countersigned")];
  const client = new Sigpersist(
    process.env.SIGPERSIST_URL ?? "http://127.0.0.1:8080",
    setting("SIGPERSIST_KEY_ID"),
    setting("SIGPERSIST_SECRET"),
  );
  const run = randomUUID().slice(0, 8);
  const [document, thread] = [`contract-${run}`, "approval"];

  console.log("Aigerim signs: the first version, over version 0");
  const options = { tags: [run], version_created_by: "aigerim" };
  const first = await client.save(document, thread, 0, byAigerim, options);
  assert(first.isNew && first.signature.version === 1);

  console.log("The answer is lost, and the same is sent again: still version 1, stored once");
  const again = await client.save(document, thread, 0, byAigerim, options);
  assert(!again.isNew);
  assert.deepEqual(again.signature, first.signature);

  console.log("Daulet countersigns version 1 at his desk, but his telephone is faster");
  const tags = [run, "signed"];
  // Where a person looks at the current version and signs it.
  const sign = async (_current: Signature, { signers }: Inspection) => {
    if (signers.some(({ certificate }) => certificate?.iin === "123456789022")) return null; // he has signed already
    await client.save(document, thread, 1, byBoth, { tags, version_comment: "on the telephone" });
    return byBoth;
  };
  const current = await client.countersign(document, thread, sign, { tags, version_comment: "at the desk" });
  assert.equal(current.version, 2);
  assert.equal(current.version_comment, "on the telephone");

  console.log("Saving over version 1 once more is refused");
  await assert.rejects(client.save(document, thread, 1, byAigerim), (error) => {
    assert(error instanceof SigpersistError);
    assert.equal(error.code, "version_conflict");
    assert.equal(error.details.current_version, 2);
    return true;
  });

  console.log("Both versions are there, byte for byte");
  assert.equal((await client.read(document, thread)).signature, byBoth);
  assert.equal((await client.read(document, thread, 1)).signature, byAigerim);

  console.log("Verified: both signatures are intact");
  const { signers } = (await client.verify(document, thread)).inspection;
  for (const { certificate, verdict } of signers) {
    // INDETERMINATE unless the tenant trusts the authority that issued the certificate.
    console.log(`  IIN ${certificate?.iin}: ${verdict.indication}`);
  }
  assert.deepEqual(signers.map(({ verdict }) => verdict.intact), [true, true]);

  console.log("Five threads of one tag, listed in pages of two");
  for (const number of [0, 1, 2, 3]) {
    await client.save(`annex-${number}-${run}`, thread, 0, byAigerim, { tags: [run] });
  }
  const listed: string[] = [];
  for await (const signature of client.list({ tags: [run] }, 2)) listed.push(signature.document);
  assert.deepEqual(listed, [...[3, 2, 1, 0].map((number) => `annex-${number}-${run}`), document]);

  console.log("Deleted; doing it again does no harm");
  for (const name of listed) await client.delete(name, thread);
  await client.delete(document, thread);
  await assert.rejects(client.read(document, thread), { code: "signature_not_found" });
}

await main();
