/**
 * One call of the server: sends it, repeats it when that is safe and may help, and turns every failure into one of the errors
 * of `errors.ts`. Knows nothing of what is asked; `client.ts` does.
 */

import { toHex } from "./bytes.js";
import { SigpersistError, TransportError } from "./errors.js";
import type { ClientOptions, RequestOptions } from "./options.js";
import type { StoredFile } from "./types.js";
import { backoffMs, retryAfterSeconds, sleep, withDeadline } from "./time.js";

/** A value in a query; lists repeat the name. */
export type QueryValue = string | number | boolean | readonly string[] | null | undefined;

/** A request. */
export interface Call {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path below the server's address, such as `/signatures`. */
  path: string;
  query?: object;
  /** Sent as JSON. */
  body?: object;
  headers?: Record<string, string>;
  /** Whether doing it twice does no harm, so that it is repeated if no answer came. */
  repeatable: boolean;
}

/** The server's answer. */
export interface Answer<Content> {
  status: number;
  content: Content;
  requestId: string;
}

/** Times out after the longest that the server lets anything wait. */
const TIMEOUT_MS = 60_000;
const ATTEMPTS = 5;
const LONGEST_WAIT_S = 30;

export class Transport {
  readonly #url: string;
  readonly #options: ClientOptions;
  readonly #fetch: typeof fetch;

  constructor(options: ClientOptions) {
    const url = URL.canParse(options.url) ? new URL(options.url) : undefined;
    if (url?.protocol !== "http:" && url?.protocol !== "https:") {
      throw new TypeError("`url` must be the server's address, such as https://sigpersist.example.com.");
    }
    if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
      throw new TypeError("`url` must have no user, password, query or fragment. Give the token as `token`.");
    }
    this.#url = url.href.replace(/\/$/, "");
    this.#options = options;
    // A browser's `fetch` must be called without another `this`.
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init));
  }

  /** The attempts of a call and the longest pause between them. */
  limits(options: RequestOptions = {}): { attempts: number; longestWaitS: number } {
    const attempts = options.attempts ?? this.#options.attempts ?? ATTEMPTS;
    return { attempts, longestWaitS: this.#options.longestWaitS ?? LONGEST_WAIT_S };
  }

  call<Content>(call: Call, options?: RequestOptions): Promise<Answer<Content>> {
    return this.#repeat(call, "application/json", read<Content>, options);
  }

  /** Gets a file of one of these types. */
  file(call: Call, types: readonly string[], options?: RequestOptions): Promise<StoredFile> {
    return this.#repeat(call, types.join(", "), readFile, options);
  }

  async #repeat<Result>(
    call: Call,
    accept: string,
    read: Reader<Result>,
    options: RequestOptions = {},
  ): Promise<Result> {
    const requestId = options.requestId ?? toHex(crypto.getRandomValues(new Uint8Array(16)));
    const { attempts, longestWaitS } = this.limits(options);
    let rejected: string | undefined;
    for (let attempt = 1; ; attempt++) {
      const token = await this.#token(rejected);
      try {
        const { response, data } = await this.#attempt(call, accept, token, requestId, options);
        return read(response, data, requestId);
      } catch (error) {
        if (rejected === undefined && typeof this.#options.token === "function" && rejectsToken(error)) {
          rejected = token;
          continue;
        }
        const pauseMs = attempt < attempts ? this.#pauseMs(error, call, attempt, longestWaitS) : undefined;
        if (pauseMs === undefined) throw error;
        await sleep(pauseMs, options.signal);
      }
    }
  }

  /** The pause before the next attempt; undefined if there should be none. */
  #pauseMs(error: unknown, call: Call, attempt: number, longestWaitS: number): number | undefined {
    if (!(error instanceof SigpersistError || error instanceof TransportError)) return undefined;
    if (error.retryAfter !== undefined && (error.status === 429 || error.status === 503)) {
      // The only such answer that may come although the change was stored.
      if (!call.repeatable && "code" in error && error.code === "database_unavailable") return undefined;
      if (error.retryAfter > longestWaitS) return undefined;
      // Never too early, and not all clients at once.
      return error.retryAfter * 1000 * (1 + Math.random() / 10);
    }
    const unanswered =
      error instanceof TransportError &&
      (error.problem !== "answer" || [200, 201, 502, 503, 504].includes(error.status ?? 0));
    return unanswered && call.repeatable ? backoffMs(attempt) : undefined;
  }

  async #attempt(
    call: Call,
    accept: string,
    token: string,
    requestId: string,
    options: RequestOptions,
  ): Promise<{ response: Response; data: Uint8Array }> {
    const headers = new Headers(this.#options.headers);
    for (const [name, value] of Object.entries(call.headers ?? {})) headers.set(name, value);
    headers.set("accept", accept);
    headers.set("authorization", `Bearer ${token}`);
    headers.set("x-request-id", requestId);
    const traceparent = options.traceparent ?? current(this.#options.traceparent);
    if (traceparent !== undefined) headers.set("traceparent", traceparent);
    // Entity tags are numbers of versions, so a browser's cache would take JSON for the file of the same version.
    const init: RequestInit = { method: call.method, headers, redirect: "manual", cache: "no-store" };
    if (call.body !== undefined) {
      headers.set("content-type", "application/json");
      init.body = JSON.stringify(call.body);
    }

    const timeoutMs = options.timeoutMs ?? this.#options.timeoutMs ?? TIMEOUT_MS;
    const address = this.#url + call.path + queryString(call.query);
    return withDeadline(timeoutMs, options.signal, async (signal, expired) => {
      try {
        const response = await this.#fetch(address, { ...init, signal });
        return { response, data: new Uint8Array(await response.arrayBuffer()) };
      } catch (cause) {
        if (expired()) {
          throw new TransportError("timeout", `There was no answer within ${timeoutMs} ms.`, { requestId });
        }
        options.signal?.throwIfAborted();
        throw new TransportError("network", `The server can't be reached${reasonOf(cause)}.`, { requestId, cause });
      }
    });
  }

  async #token(rejected: string | undefined): Promise<string> {
    const { token: given } = this.#options;
    const token = typeof given === "function" ? await given(rejected) : given;
    // `fetch` would repeat the whole token in its error.
    if (!/^[\x21-\x7e]+$/.test(token)) throw new TypeError("The token is empty, or has characters that no token has.");
    return token;
  }
}

/** Reads the result of an answer that came whole. Everything but a success is thrown. */
type Reader<Result> = (response: Response, data: Uint8Array, sentId: string) => Result;

function read<Content>(response: Response, data: Uint8Array, sentId: string): Answer<Content> {
  const { status, ok, headers } = response;
  const retryAfter = retryAfterSeconds(headers.get("retry-after"));
  const envelope = parse(new TextDecoder().decode(data));
  if (envelope?.["status"] === ok) {
    const requestId = headers.get("x-request-id") ?? sentId;
    if (ok) return { status, content: envelope["content"] as Content, requestId };
    const { code, message, details, request_id: loggedId } = envelope;
    if (typeof code === "string" && typeof message === "string") {
      const facts = { status, code, message, details, retryAfter };
      throw new SigpersistError({ ...facts, requestId: typeof loggedId === "string" ? loggedId : requestId });
    }
  }
  throw notOurs(status, sentId, retryAfter);
}

function readFile(response: Response, data: Uint8Array, sentId: string): StoredFile {
  const { status, headers } = response;
  const contentType = headers.get("content-type")?.split(";")[0];
  const filename = filenameOf(headers.get("content-disposition"));
  const version = Number(/^"(\d+)-/.exec(headers.get("etag") ?? "")?.[1]);
  if (status === 200 && contentType !== undefined && filename !== undefined && version > 0) {
    return { data, contentType, filename, version };
  }
  read(response, data, sentId);
  throw notOurs(status, sentId);
}

/** The name in `Content-Disposition` (RFC 6266). It has that of the document in it, which may look like a path. */
function filenameOf(disposition: string | null): string | undefined {
  const extended = /filename\*=UTF-8''([^;]+)/.exec(disposition ?? "")?.[1];
  const name =
    extended === undefined ? /filename="([^"]*)"/.exec(disposition ?? "")?.[1] : decodeURIComponent(extended);
  return name?.replace(/[/\\]/g, "_");
}

function notOurs(status: number, requestId: string, retryAfter?: number): TransportError {
  const message = `The answer, of status ${status}, is not Sigpersist's. Is something else at this address, or in between?`;
  return new TransportError("answer", message, { requestId, status, retryAfter });
}

/** An object in JSON; undefined for anything else. The parser's own error would quote the text, which may be a signature. */
function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function rejectsToken(error: unknown): boolean {
  return error instanceof SigpersistError && (error.code === "expired_token" || error.code === "invalid_token");
}

function queryString(query: object = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query) as [string, QueryValue][]) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== undefined && item !== null) parameters.append(name, String(item));
    }
  }
  const text = parameters.toString();
  return text === "" ? "" : `?${text}`;
}

/** The reason of the platform in a word, such as ` (ECONNREFUSED)`, if it gives one. */
function reasonOf(error: unknown): string {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = inner instanceof Error && "code" in inner ? inner.code : undefined;
  return typeof code === "string" ? ` (${code})` : "";
}

function current(value: string | (() => string | undefined) | undefined): string | undefined {
  return typeof value === "function" ? value() : value;
}
