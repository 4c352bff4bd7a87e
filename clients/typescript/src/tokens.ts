/**
 * Tokens that the application signs itself, with a shared secret of its tenant (`sigpersist key add`). The secret never travels,
 * and must not be in a browser: give tokens to browsers from your own server.
 */

import { toBase64Url, utf8 } from "./bytes.js";
import type { TokenSource } from "./options.js";

export type { TokenSource } from "./options.js";

/** A shared secret of a tenant, and what its tokens should say. */
export interface TokenKey {
  /** The key's `kid`. */
  keyId: string;
  /** The secret, as text. */
  secret: string;
  /**
   * Scopes of the tokens. If left out, reading, writing and deleting signatures and reading events; for one document, reading and
   * writing signatures.
   */
  scopes?: readonly string[] | undefined;
  /** Subject of the tokens, which the server's audit trail names. */
  subject?: string | undefined;
  /** The only document that the tokens are for, as tokens for browsers should have one; they are valid for 15 minutes at most. */
  document?: string | undefined;
  /** The only thread of that document; all of its threads if left out. */
  thread?: string | undefined;
  /** Seconds for which a token is valid; 300 if left out. */
  lifetimeS?: number | undefined;
}

const SCOPES = ["signatures:read", "signatures:write", "signatures:delete", "events:read"];
const SCOPES_OF_DOCUMENT = ["signatures:read", "signatures:write"];
const LIFETIME_S = 300;

/**
 * Signs tokens, and keeps each until shortly before it expires, since the server caches tokens that it has verified.
 *
 * ```ts
 * const token = tokensOf({ keyId: process.env.SIGPERSIST_KEY_ID, secret: process.env.SIGPERSIST_SECRET });
 * const sigpersist = new Sigpersist({ url, token });
 * ```
 */
export function tokensOf(key: TokenKey): TokenSource {
  const lifetimeS = key.lifetimeS ?? LIFETIME_S;
  let token: Promise<string> | undefined;
  let renewAt = 0;
  return (rejected) => {
    const now = Math.floor(Date.now() / 1000);
    if (token === undefined || now >= renewAt || rejected !== undefined) {
      renewAt = now + lifetimeS - Math.min(30, lifetimeS / 2);
      token = sign(key, now, now + lifetimeS);
    }
    return token;
  };
}

/** A JSON Web Token (RFC 7519) with HS256. */
async function sign(key: TokenKey, issued: number, expires: number): Promise<string> {
  const header = { alg: "HS256", typ: "JWT", kid: key.keyId };
  const { document, thread } = key;
  const scope = (key.scopes ?? (document === undefined ? SCOPES : SCOPES_OF_DOCUMENT)).join(" ");
  const bound = { sigpersist_document: document, sigpersist_thread: thread };
  const claims = { sub: key.subject, scope, iat: issued, exp: expires, ...bound };
  const signed = `${part(header)}.${part(claims)}`;
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const hmacKey = await crypto.subtle.importKey("raw", utf8(key.secret), algorithm, false, ["sign"]);
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", hmacKey, utf8(signed)));
  return `${signed}.${toBase64Url(mac)}`;
}

function part(value: object): string {
  return toBase64Url(utf8(JSON.stringify(value)));
}
