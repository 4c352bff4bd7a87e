/** Receiving webhooks: whether a call is the server's, by Standard Webhooks (https://www.standardwebhooks.com). */

import { fromBase64, utf8 } from "./bytes.js";
import type { EventType, SigpersistEvent } from "./types.js";

/** An event that a webhook was called with. */
export interface WebhookEvent {
  /** Id of the event, also if it comes again: keep it with your data, and skip an event that you have seen. */
  id: string;
  type: EventType;
  /** Time of the event, in RFC 3339. */
  timestamp: string;
  data: SigpersistEvent;
}

/** Headers of a request, in the manner of `fetch` or of Node. */
export type WebhookHeaders =
  { get(name: string): string | null } | Readonly<Record<string, string | readonly string[] | undefined>>;

/** Options of a webhook. */
export interface WebhookOptions {
  /** The most seconds between the time of a call and now; 300 if left out. */
  toleranceS?: number | undefined;
}

/** A call that is not the server's, or is too old. Answer it with 401. */
export class WebhookError extends Error {
  override readonly name = "WebhookError";
}

const TOLERANCE_S = 300;

/**
 * A webhook as its receiver sees it.
 *
 * ```ts
 * const webhook = new Webhook(process.env.WEBHOOK_SECRET);
 * const event = await webhook.verify(request.headers, await request.text());
 * ```
 */
export class Webhook {
  readonly #secrets: readonly Uint8Array<ArrayBuffer>[];
  readonly #toleranceS: number;

  /** @param secret The webhook's secret (`whsec_…`); the old and the new one while you replace it. */
  constructor(secret: string | readonly string[], options: WebhookOptions = {}) {
    this.#secrets = (typeof secret === "string" ? [secret] : secret).map(secretBytes);
    if (this.#secrets.length === 0) throw new TypeError("A webhook needs a secret.");
    this.#toleranceS = options.toleranceS ?? TOLERANCE_S;
  }

  /**
   * The event of a call of the server.
   *
   * @param body The body as it came, before anything parses it: each byte counts.
   * @throws {@link WebhookError} if it is not the server's.
   */
  async verify(headers: WebhookHeaders, body: string | Uint8Array): Promise<WebhookEvent> {
    const id = header(headers, "webhook-id");
    const timestamp = header(headers, "webhook-timestamp");
    if (!/^\d{1,12}$/.test(timestamp)) throw new WebhookError("The header webhook-timestamp is not a time.");
    if (Math.abs(Date.now() / 1000 - Number(timestamp)) > this.#toleranceS) {
      throw new WebhookError("The call is too old, or of the future. Is your clock right?");
    }
    const signatures = header(headers, "webhook-signature")
      .split(" ")
      .filter((signature) => signature.startsWith("v1,"))
      .map((signature) => fromBase64(signature.slice(3)));

    const bytes = typeof body === "string" ? utf8(body) : body;
    const signed = concatenated(utf8(`${id}.${timestamp}.`), bytes);
    for (const secret of this.#secrets) {
      const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
      for (const signature of signatures) {
        // Compares in constant time.
        if (signature !== undefined && (await crypto.subtle.verify("HMAC", key, signature, signed))) {
          return { id, ...(JSON.parse(new TextDecoder().decode(bytes)) as Omit<WebhookEvent, "id">) };
        }
      }
    }
    throw new WebhookError("The signature of the call is not that of the server.");
  }
}

function secretBytes(secret: string): Uint8Array<ArrayBuffer> {
  const bytes = fromBase64(secret.replace(/^whsec_/, ""));
  if (bytes === undefined || bytes.length === 0) {
    throw new TypeError("The secret of a webhook is `whsec_` and base64, as the server shows it.");
  }
  return bytes;
}

/** A header that must be there. */
function header(headers: WebhookHeaders, name: string): string {
  const value = isFetchHeaders(headers) ? headers.get(name) : record(headers, name);
  if (value === null || value === "") throw new WebhookError(`The header ${name} is missing.`);
  return value;
}

function isFetchHeaders(headers: WebhookHeaders): headers is { get(name: string): string | null } {
  return typeof headers["get"] === "function";
}

/** A header of a plain object; names may be in any case. */
function record(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  name: string,
): string | null {
  for (const [key, value] of Object.entries(headers)) {
    if (key.toLowerCase() === name && value !== undefined) return typeof value === "string" ? value : value.join(" ");
  }
  return null;
}

function concatenated(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}
