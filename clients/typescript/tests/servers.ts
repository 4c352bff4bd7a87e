/** The servers that tests run on: the real one, if the environment names it, and the fake. */

import { randomUUID } from "node:crypto";
import { Sigpersist, type ClientOptions } from "sigpersist";
import { FakeServer } from "sigpersist/testing";
import { tokensOf, type TokenKey } from "sigpersist/tokens";

/** A server, and how to make a client of it. */
export interface TestServer {
  name: string;
  client: (options?: Partial<ClientOptions>) => Sigpersist;
}

/** Variables of `check`, which starts the server. */
const { SIGPERSIST_URL: url, SIGPERSIST_KEY_ID: keyId, SIGPERSIST_SECRET: secret } = process.env;

/** All that the tests need. */
const scopes = [
  ...["signatures:read", "signatures:write", "signatures:delete"],
  ...["events:read", "hooks:read", "webhooks:read", "webhooks:write"],
];

/** The real server's address, and a key of its tenant. Undefined if tests run by themselves. */
export const real: { url: string; key: TokenKey } | undefined =
  url !== undefined && keyId !== undefined && secret !== undefined
    ? { url, key: { keyId, secret, scopes } }
    : undefined;

const { SLOW_KEY_ID: slowKeyId, SLOW_SECRET: slowSecret } = process.env;

/** A key of a tenant of the real server that may make one request a second. */
export const slowKey: TokenKey | undefined =
  slowKeyId !== undefined && slowSecret !== undefined ? { keyId: slowKeyId, secret: slowSecret, scopes } : undefined;

/** A fake server, and a client of it. */
export function fake(options: Partial<ClientOptions> = {}): { server: FakeServer; client: Sigpersist } {
  const server = new FakeServer();
  return { server, client: new Sigpersist({ url: "http://fake", token: "any", fetch: server.fetch, ...options }) };
}

/** All servers there are, each with its own client. */
export function servers(): TestServer[] {
  const { server } = fake();
  const all: TestServer[] = [{ name: "fake", client: (options) => fake({ fetch: server.fetch, ...options }).client }];
  if (real) {
    const { url, key } = real;
    all.push({ name: "real", client: (options) => new Sigpersist({ url, token: tokensOf(key), ...options }) });
  }
  return all;
}

/** A name that no other test uses. */
export function unique(word: string): string {
  return `${word}-${randomUUID().slice(0, 8)}`;
}

/** Something that stands for a signature: the servers take any text. */
export function cms(word: string): string {
  return Buffer.from(word).toString("base64");
}

/** All items of an iteration. */
export async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = [];
  for await (const item of items) list.push(item);
  return list;
}
