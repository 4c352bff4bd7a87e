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
  /** Scopes of the tokens; reading, writing and deleting signatures and reading events if left out. */
  scopes?: readonly string[] | undefined;
  /** Subject of the tokens, which the server's audit trail names. */
  subject?: string | undefined;
  /** Seconds for which a token is valid; 300 if left out. */
  lifetimeS?: number | undefined;
}

const SCOPES = ["signatures:read", "signatures:write", "signatures:delete", "events:read"];
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
  const scope = (key.scopes ?? SCOPES).join(" ");
  const claims = { sub: key.subject, scope, iat: issued, exp: expires };
  const signed = `${part(header)}.${part(claims)}`;
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const hmacKey = await crypto.subtle.importKey("raw", utf8(key.secret), algorithm, false, ["sign"]);
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", hmacKey, utf8(signed)));
  return `${signed}.${toBase64Url(mac)}`;
}

function part(value: object): string {
  return toBase64Url(utf8(JSON.stringify(value)));
}
