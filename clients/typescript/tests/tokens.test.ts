/** Tokens that the application signs itself. */

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, it } from "node:test";
import { Sigpersist } from "sigpersist";
import { tokensOf } from "sigpersist/tokens";
import { cms, real, unique } from "./servers.js";

const key = { keyId: "kid", secret: "sécret", subject: "crm", scopes: ["signatures:read"] };

function decoded(token: string): { header: unknown; claims: Record<string, unknown>; signed: string; mac: string } {
  const [header = "", claims = "", mac = ""] = token.split(".");
  const json = (part: string) => JSON.parse(Buffer.from(part, "base64url").toString()) as Record<string, unknown>;
  return { header: json(header), claims: json(claims), signed: `${header}.${claims}`, mac };
}

describe("tokens of a key", () => {
  it("are HS256 with the key's text", async () => {
    const { header, claims, signed, mac } = decoded(await tokensOf(key)());
    assert.deepEqual(header, { alg: "HS256", typ: "JWT", kid: "kid" });
    const { iat, exp, ...rest } = claims;
    assert.deepEqual(rest, { sub: "crm", scope: "signatures:read" });
    assert.equal(Number(exp) - Number(iat), 300);
    assert.equal(mac, createHmac("sha256", "sécret").update(signed).digest("base64url"));
  });

  it("are for one document, and read and save by themselves", async () => {
    const bound = { keyId: "kid", secret: "sécret", document: "contract-12", thread: "approval" };
    const { iat, exp, ...rest } = decoded(await tokensOf(bound)()).claims;
    assert.equal(Number(exp) - Number(iat), 300);
    assert.deepEqual(rest, {
      scope: "signatures:read signatures:write",
      sigpersist_document: "contract-12",
      sigpersist_thread: "approval",
    });
  });

  it("for one document are refused for others by the real server", { skip: !real }, async () => {
    assert(real);
    const [document, thread] = [unique("contract"), "t"];
    const { keyId, secret } = real.key;
    const client = new Sigpersist({ url: real.url, token: tokensOf({ keyId, secret, document }) });
    assert.equal((await client.save({ document, thread, version: 0, cms: cms("one") })).signature.version, 1);
    const other = client.save({ document: unique("contract"), thread, version: 0, cms: cms("one") });
    await assert.rejects(other, { code: "token_bound", status: 403 });
    await assert.rejects(client.delete({ document, thread }), { code: "insufficient_scope" });
  });

  it("are kept until shortly before they expire, or until the server refuses them", async (context) => {
    context.mock.timers.enable({ apis: ["Date"], now: 1_800_000_000_000 });
    const token = tokensOf(key);
    const first = await token();
    context.mock.timers.tick(269_000);
    assert.equal(await token(), first);
    context.mock.timers.tick(1_000);
    const second = await token();
    assert.notEqual(second, first);
    context.mock.timers.tick(1_000);
    assert.notEqual(await token(second), second);
  });

  it("are taken by the real server, with their scopes", { skip: !real }, async () => {
    assert(real);
    const { url } = real;
    const scopes = ["signatures:read"];
    const reader = new Sigpersist({ url, token: tokensOf({ ...real.key, scopes, subject: "reader" }) });
    const caller = await reader.whoami();
    assert.deepEqual([caller.subject, caller.scopes], ["reader", scopes]);
    const save = reader.save({ document: unique("contract"), thread: "t", version: 0, cms: cms("one") });
    await assert.rejects(save, { code: "insufficient_scope", details: { scope: "signatures:write" } });
    const writer = new Sigpersist({ url, token: tokensOf({ keyId: real.key.keyId, secret: real.key.secret }) });
    assert.equal((await writer.whoami()).scopes.length, 4);
  });

  it("are replaced when the real server refuses one", { skip: !real }, async () => {
    assert(real);
    const [expired, fresh] = [tokensOf({ ...real.key, lifetimeS: -100 }), tokensOf(real.key)];
    const asked: boolean[] = [];
    const client = new Sigpersist({
      url: real.url,
      token: (rejected) => {
        asked.push(rejected !== undefined);
        return rejected === undefined ? expired() : fresh(rejected);
      },
    });
    assert.equal((await client.whoami()).scopes.includes("events:read"), true);
    assert.deepEqual(asked, [false, true]);
  });
});
