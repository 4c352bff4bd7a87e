/**
 * A server in memory, for tests of applications: versions, conflicts, identical retries, lists, deletions and events as the
 * real one has them. The tests of this package run on both. It does not read signatures (unless you give it `inspect`), knows
 * no scopes, hooks or policies, and takes any token.
 */

import { bytesOf, digest, FakeStore, NOT_FOUND, type FakeRefusal, type Sent, type Stored } from "./fake-store.js";
import { MOST } from "./many.js";
import type { Inspection, Thread } from "./types.js";

const REFUSED = "The test wants this request to fail.";

/** Options of a fake server. */
export interface FakeOptions {
  /** Stands in for reading and verifying signatures. If left out, none can be read. */
  inspect?: ((cms: string, verify: boolean) => Inspection | Promise<Inspection>) | undefined;
}

/** A refusal to come. */
export interface FakeFailure {
  /** Refuses one of many that are saved or read together: the next one of this document. Any whole request if left out. */
  document?: string | undefined;
  status: number;
  code: string;
  message?: string | undefined;
  details?: unknown;
  /** The seconds of `Retry-After`. */
  retryAfter?: number | undefined;
}

type Parameters = Record<string, unknown>;
type Reply = FakeRefusal | { status: number; content?: object } | FakeFile;

/** A version as a file. */
interface FakeFile {
  status: number;
  file: Uint8Array<ArrayBuffer>;
  headers: Record<string, string>;
}

/** The types that a file of a format may have, beside the type of all files. */
const TYPES: Record<string, readonly string[]> = {
  cms: ["application/pkcs7-signature", "application/pkcs7-mime"],
  xml: ["application/xml", "text/xml"],
};
const ENDINGS: Record<string, string> = {
  "application/pkcs7-signature": "p7s",
  "application/pkcs7-mime": "p7m",
  "application/xml": "xml",
  "text/xml": "xml",
  "application/octet-stream": "bin",
};

/** The parameters of each route that are required, and all of them. */
const THREAD = ["document", "thread"] as const;
const LIST = ["limit", "cursor", "omit"];
const ROUTES: Record<string, { required: readonly string[]; optional: readonly string[] }> = {
  "GET /signature": { required: THREAD, optional: ["version", "inspect", "verify"] },
  "POST /signature": {
    required: [...THREAD, "cms"],
    optional: ["version", "content", "certificates", "version_created_by", "version_comment", "tags", "stage"],
  },
  "DELETE /signature": { required: THREAD, optional: [] },
  "GET /signature/versions": { required: THREAD, optional: LIST },
  "GET /signatures": {
    required: [],
    optional: [...THREAD, "chain", "stage", "tags", "tags_match", "offset", "count", ...LIST],
  },
  "POST /signatures": { required: ["signatures"], optional: [] },
  "POST /signatures/get": { required: ["signatures"], optional: [] },
  "POST /inspect": { required: ["cms"], optional: [] },
  "POST /verify": { required: ["cms"], optional: ["content", "certificates"] },
  "GET /events": { required: [], optional: ["after", "limit", "types", "wait"] },
  "GET /whoami": { required: [], optional: [] },
  "GET /hooks/decisions": {
    required: [],
    optional: [...THREAD, "hook", "verdict", "since", "until", "cursor", "limit"],
  },
};

/**
 * A server in memory. Each has one tenant.
 *
 * ```ts
 * const server = new FakeServer();
 * const sigpersist = new Sigpersist({ url: "http://fake", token: "any", fetch: server.fetch });
 * ```
 */
export class FakeServer {
  readonly #store = new FakeStore();
  readonly #options: FakeOptions;
  readonly #failures: FakeFailure[] = [];
  readonly #failuresOfOne: FakeFailure[] = [];
  #answersToLose = 0;
  #requests = 0;

  constructor(options: FakeOptions = {}) {
    this.#options = options;
  }

  /** Give it to the client as `fetch`. */
  readonly fetch: typeof fetch = async (input, init) => {
    init?.signal?.throwIfAborted();
    const request = new Request(input, init);
    const requestId = request.headers.get("x-request-id") ?? `fake-${++this.#requests}`;
    const failure = this.#failures.shift();
    const reply: Reply = failure ? { message: REFUSED, ...failure } : await this.#reply(request, init?.signal);
    init?.signal?.throwIfAborted();
    if (this.#answersToLose > 0) {
      this.#answersToLose--;
      throw new TypeError("fetch failed");
    }
    return response(reply, requestId, failure?.retryAfter);
  };

  /** Refuses the next request, or the next few, without doing anything. */
  failNext(failure: FakeFailure, times = 1): void {
    const failures = failure.document === undefined ? this.#failures : this.#failuresOfOne;
    for (let time = 0; time < times; time++) failures.push(failure);
  }

  /** Does what the next requests ask, but loses its answers, as a broken connection does. */
  loseNextAnswer(times = 1): void {
    this.#answersToLose += times;
  }

  async #reply(request: Request, signal: AbortSignal | null | undefined): Promise<Reply> {
    if (!request.headers.has("authorization")) {
      return { status: 401, code: "missing_token", message: "This request needs a token." };
    }
    const url = new URL(request.url);
    const route = `${request.method} ${url.pathname}`;
    const known = ROUTES[route];
    if (!known) return { status: 404, code: "route_not_found", message: "There is nothing at this path." };
    const given = request.method === "POST" ? ((await request.json()) as Parameters) : parametersOf(url);
    const refusal = invalid(given, known);
    if (refusal) return refusal;
    switch (route) {
      case "GET /signature":
        return this.#get(given, request.headers.get("accept"));
      case "POST /signatures":
        return this.#many(given, "POST /signature", (part) => this.#save(part, null));
      case "POST /signatures/get":
        return this.#many(given, "GET /signature", (part) => this.#get(part, null));
      case "POST /signature":
        return this.#save(given, request.headers.get("prefer"));
      case "DELETE /signature":
        return (await this.#store.delete(threadOf(given), tagged(request.headers.get("if-match")))) ?? { status: 200 };
      case "GET /signature/versions":
        return this.#versions(given);
      case "GET /signatures":
        return this.#list(given);
      case "POST /inspect":
      case "POST /verify":
        return {
          status: 200,
          content: { inspection: await this.#inspect(text(given, "cms"), route.endsWith("verify")) },
        };
      case "GET /events":
        return this.#events(given, signal);
      case "GET /hooks/decisions":
        return { status: 200, content: { decisions: [], next: null } };
      default:
        return { status: 200, content: { caller: { tenant: "fake", subject: null, key: "fake", scopes: [] } } };
    }
  }

  async #many(given: Parameters, route: string, handle: (part: Parameters) => Promise<Reply>): Promise<Reply> {
    const parts = given["signatures"] as Parameters[];
    if (parts.length > MOST) return parameter("signatures", `\`signatures\` must have 1 to ${MOST} elements`);
    for (const [place, part] of parts.entries()) {
      const refusal = invalid(part, ROUTES[route] ?? { required: [], optional: [] }, `/signatures/${place}`);
      if (refusal) return refusal;
    }
    const results: object[] = [];
    const failed = new Set<string>();
    for (const part of parts) {
      const thread = JSON.stringify(threadOf(part));
      if (route === "POST /signature" && failed.has(thread)) {
        const message = "An earlier signature of this thread in the request was not saved, so this one was not tried.";
        results.push({ status: 424, signature: null, error: { code: "earlier_failed", message } });
        continue;
      }
      const index = this.#failuresOfOne.findIndex(({ document }) => document === part["document"]);
      const [failure] = index < 0 ? [] : this.#failuresOfOne.splice(index, 1);
      const reply: Reply = failure ? { message: REFUSED, ...failure } : await handle(part);
      const { status } = reply;
      if ("code" in reply) {
        const { code, message, details } = reply;
        const error = { code, message, details, retry_after: failure?.retryAfter };
        failed.add(thread);
        results.push({ status, signature: null, error });
      } else {
        const { signature } = (reply as { content: { signature: Stored } }).content;
        const given = route === "POST /signature" ? { omit: "signature" } : {};
        results.push({ status, signature: shown(signature, given), error: null });
      }
    }
    return { status: 200, content: { results } };
  }

  async #get(given: Parameters, accept: string | null): Promise<Reply> {
    const versions = this.#store.find(threadOf(given))?.versions;
    const number = given["version"] === undefined ? versions?.length : Number(given["version"]);
    const signature = versions?.[(number ?? 0) - 1];
    if (signature === undefined) return NOT_FOUND;
    const file = fileOf(signature, accept);
    if (file) return file;
    const verify = given["verify"] === "true";
    if (!verify && given["inspect"] !== "true") return { status: 200, content: { signature } };
    return { status: 200, content: { signature, inspection: await this.#inspect(signature.signature, verify) } };
  }

  async #save(given: Parameters, prefer: string | null): Promise<Reply> {
    const saved = await this.#store.save({ ...(given as unknown as Sent), version: Number(given["version"] ?? 0) });
    if ("code" in saved) return saved;
    const waits = prefer !== null && /\bwait=/.test(prefer);
    return {
      status: saved.created ? 201 : 200,
      content: {
        signature: saved.version,
        ...(waits ? { evidence: { state: "logged", number: saved.number } } : {}),
      },
    };
  }

  #versions(given: Parameters): Reply {
    const versions = this.#store.find(threadOf(given))?.versions.slice().reverse();
    if (versions === undefined) return NOT_FOUND;
    const before = given["cursor"] === undefined ? Infinity : Number(given["cursor"]);
    const older = versions.filter(({ version }) => version < before);
    const page = older.slice(0, limitOf(given));
    const next = page.length < older.length ? String(page.at(-1)?.version) : null;
    return { status: 200, content: { versions: page.map((version) => shown(version, given)), next } };
  }

  #list(given: Parameters): Reply {
    const matches = this.#store.current().filter((version) => isWanted(version, given));
    const before = given["cursor"] === undefined ? Infinity : Number(given["cursor"]);
    const older = matches.filter(({ id }) => id < before).slice(Number(given["offset"] ?? 0));
    const page = older.slice(0, limitOf(given));
    const signatures = page.map((version) => ({ ...shown(version, given), chain: version.thread }));
    const next = page.length < older.length ? String(page.at(-1)?.id) : null;
    const total = given["count"] === "true" ? { nb_results: matches.length } : {};
    return { status: 200, content: { signatures, next, ...total } };
  }

  async #events(given: Parameters, signal: AbortSignal | null | undefined): Promise<Reply> {
    const { events } = this.#store;
    const after = given["after"] === "now" ? events.length : Number(given["after"] ?? 0);
    const types = listed(given, "types");
    const wanted = (type: string) =>
      types.length === 0 || types.some((given) => type === given || (given.endsWith(".") && type.startsWith(given)));
    const found = () => events.slice(after).filter(({ type }) => wanted(type));
    const deadline = Date.now() + 1000 * Number(given["wait"] ?? 0);
    while (found().length === 0 && Date.now() < deadline && signal?.aborted !== true) {
      await this.#store.wait(deadline - Date.now(), signal);
    }
    const all = found();
    const page = all.slice(0, limitOf(given));
    const next = page.length < all.length ? page.at(-1)?.number : Math.max(after, events.length);
    return { status: 200, content: { events: page, next } };
  }

  async #inspect(cms: string, verify: boolean): Promise<Inspection> {
    if (this.#options.inspect) return this.#options.inspect(cms, verify);
    const problem = "It can't be read: the fake server reads no signatures.";
    return { format: "unknown", size: cms.length, sha256: await digest(cms), problem, signers: [] };
  }
}

/** Reason why parameters are refused; undefined if they are valid. */
function invalid(
  given: Parameters,
  known: { required: readonly string[]; optional: readonly string[] },
  within = "",
): FakeRefusal | undefined {
  const names = [...known.required, ...known.optional];
  const unknown = Object.keys(given).find((name) => !names.includes(name));
  if (unknown !== undefined) return parameter(unknown, `There is no parameter \`${unknown}\` here`, within);
  for (const name of known.required) {
    if (given[name] === undefined || given[name] === null) return parameter(name, `\`${name}\` is required`, within);
    if (given[name] === "") return parameter(name, `\`${name}\` must not be empty`, within);
  }
  const limit = limitOf(given);
  if (!(limit >= 1 && limit <= 1000)) return parameter("limit", "`limit` must be an integer between 1 and 1000");
  return undefined;
}

function parameter(name: string, message: string, within = ""): FakeRefusal {
  return { status: 400, code: "invalid_parameter", message: `${message}.`, details: { field: `${within}/${name}` } };
}

/** The version as the file that `Accept` wants; undefined if it wants JSON. */
function fileOf(version: Stored, accept: string | null): FakeFile | FakeRefusal | undefined {
  const wanted = (accept ?? "").split(",").map((range) => range.split(";")[0]?.trim() ?? "");
  if (!wanted.some((type) => type in ENDINGS)) return undefined;
  const file = bytesOf(version.signature);
  const types = [...(TYPES[formatOf(file)] ?? []), "application/octet-stream", "application/json"];
  const type = wanted.find((type) => types.includes(type));
  if (type === undefined) {
    const message = `The signature is not of a type that \`Accept\` names: this one can be had as ${types.join(", ")}.`;
    return { status: 406, code: "not_acceptable", message };
  }
  if (type === "application/json") return undefined;
  const name = `${version.document}-${version.thread}-${version.version}.${ENDINGS[type] ?? "bin"}`;
  const headers = {
    "content-type": type,
    "content-disposition": `attachment; filename*=UTF-8''${encodeURIComponent(name)}`,
    etag: `"${version.version}-${"0".repeat(64)}"`,
  };
  return { status: 200, file, headers };
}

/** The format, as far as the first byte tells it. */
function formatOf(file: Uint8Array): string {
  return file[0] === 0x30 ? "cms" : file[0] === 0x3c ? "xml" : "unknown";
}

function response(reply: Reply, requestId: string, retryAfter: number | undefined): Response {
  const { status } = reply;
  if ("file" in reply) {
    return new Response(reply.file, { status, headers: { ...reply.headers, "x-request-id": requestId } });
  }
  const refused = "code" in reply;
  const body = refused
    ? {
        status: false,
        content: null,
        request_id: requestId,
        code: reply.code,
        message: reply.message,
        details: reply.details,
      }
    : reply.content === undefined
      ? { status: true }
      : { status: true, message: null, content: reply.content };
  const headers = new Headers({ "content-type": "application/json", "x-request-id": requestId });
  if (retryAfter !== undefined) headers.set("retry-after", String(retryAfter));
  return new Response(JSON.stringify(body), { status, headers });
}

function isWanted(version: Stored, given: Parameters): boolean {
  const tags = listed(given, "tags");
  const has = (tag: string) => version.tags.includes(tag);
  const tagged = given["tags_match"] === "all" ? tags.every(has) : tags.length === 0 || tags.some(has);
  const equals = (name: string, value: unknown) => given[name] === undefined || given[name] === value;
  return (
    tagged &&
    equals("document", version.document) &&
    equals("thread", version.thread) &&
    equals("chain", version.thread) &&
    equals("stage", version.stage)
  );
}

/** A version as a list shows it. */
function shown(version: Stored, given: Parameters): object {
  if (!listed(given, "omit").includes("signature")) return version;
  const { signature: _, ...rest } = version;
  return rest;
}

/** The parameters in a query; a name that is repeated has a list. */
function parametersOf(url: URL): Parameters {
  const given: Parameters = {};
  for (const name of new Set(url.searchParams.keys())) {
    const values = url.searchParams.getAll(name);
    given[name] = values.length === 1 ? values[0] : values;
  }
  return given;
}

function listed(given: Parameters, name: string): string[] {
  const value = given[name];
  return value === undefined ? [] : Array.isArray(value) ? (value as string[]) : [value as string];
}

function threadOf(given: Parameters): Thread {
  return { document: text(given, "document"), thread: text(given, "thread") };
}

function text(given: Parameters, name: string): string {
  return given[name] as string;
}

function limitOf(given: Parameters): number {
  return given["limit"] === undefined ? 50 : Number(given["limit"]);
}

/** The version in an entity tag. */
function tagged(header: string | null): number | undefined {
  return header === null ? undefined : Number(header.replace(/"/g, ""));
}
