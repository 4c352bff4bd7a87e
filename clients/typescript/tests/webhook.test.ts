/** Whether calls of webhooks are told from what others send. */

import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { Sigpersist, Webhook, WebhookError, type ContentOf } from "sigpersist";
import { tokensOf } from "sigpersist/tokens";
import { real } from "./servers.js";

const SECRET = `whsec_${randomBytes(32).toString("base64")}`;
const BODY = JSON.stringify({
  type: "version.saved",
  timestamp: "2026-11-30T12:00:00.000000Z",
  data: { id: "t-3", number: 3, type: "version.saved", at: "2026-11-30 12:00:00", document: "Қол қою" },
});

/** The headers of a call, as Standard Webhooks has them. */
function signed(body: string, { secret = SECRET, at = Date.now() / 1000 } = {}): Record<string, string> {
  const [id, time] = ["t-3", String(Math.floor(at))];
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  const mac = createHmac("sha256", key).update(`${id}.${time}.${body}`).digest("base64");
  return { "webhook-id": id, "webhook-timestamp": time, "webhook-signature": `v1,${mac}` };
}

const webhook = new Webhook(SECRET);

describe("a webhook", () => {
  it("gives the event of a call, however its headers and body come", async () => {
    const headers = signed(BODY);
    const event = await webhook.verify(headers, BODY);
    assert.deepEqual([event.id, event.type, event.data.number], ["t-3", "version.saved", 3]);
    assert.equal(event.data.document, "Қол қою");
    const titled = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), [value]]));
    for (const given of [new Headers(headers), titled]) {
      assert.deepEqual(await webhook.verify(given, Buffer.from(BODY)), event);
    }
  });

  it("refuses what was changed, or signed by another", async () => {
    const headers = signed(BODY);
    const mac = headers["webhook-signature"] ?? "";
    const other = signed(BODY, { secret: `whsec_${randomBytes(32).toString("base64")}` });
    const cases: [Record<string, string>, string][] = [
      [headers, BODY.replace("3", "4")],
      [headers, ` ${BODY}`],
      [{ ...headers, "webhook-id": "t-4" }, BODY],
      [{ ...headers, "webhook-timestamp": String(Number(headers["webhook-timestamp"]) + 1) }, BODY],
      [{ ...headers, "webhook-timestamp": `${headers["webhook-timestamp"] ?? ""}.0` }, BODY],
      [other, BODY],
      [{ ...headers, "webhook-signature": mac.replace("v1,", "v1a,") }, BODY],
      [{ ...headers, "webhook-signature": mac.slice(0, -6) }, BODY],
      [{ ...headers, "webhook-signature": "v1," }, BODY],
      [{ ...headers, "webhook-signature": "v1,é*" }, BODY],
      [{ ...headers, "webhook-signature": "" }, BODY],
      [{}, BODY],
    ];
    for (const [given, body] of cases) {
      await assert.rejects(webhook.verify(given, body), WebhookError, JSON.stringify(given));
    }
  });

  it("refuses calls that are too old or of the future", async () => {
    const now = Date.now() / 1000;
    for (const at of [now - 302, now + 302]) {
      const headers = signed(BODY, { at });
      await assert.rejects(webhook.verify(headers, BODY), /too old/);
      assert.equal((await new Webhook(SECRET, { toleranceS: 400 }).verify(headers, BODY)).id, "t-3");
    }
    assert.equal((await webhook.verify(signed(BODY, { at: now - 290 }), BODY)).id, "t-3");
  });

  it("takes either secret while one replaces the other, and any of several signatures", async () => {
    const next = `whsec_${randomBytes(24).toString("base64")}`;
    const [byOld, byNew] = [signed(BODY), signed(BODY, { secret: next })];
    const both = new Webhook([next, SECRET]);
    for (const headers of [byOld, byNew]) assert.equal((await both.verify(headers, BODY)).id, "t-3");
    const signatures = `${byNew["webhook-signature"] ?? ""} v1a,x ${byOld["webhook-signature"] ?? ""}`;
    assert.equal((await webhook.verify({ ...byOld, "webhook-signature": signatures }, BODY)).id, "t-3");
  });

  it("refuses a secret that is none, without quoting it", () => {
    for (const secret of ["", "whsec_", "whsec_é%", []]) {
      assert.throws(
        () => new Webhook(secret),
        (error: Error) => error instanceof TypeError && !error.message.includes("é"),
      );
    }
  });

  it("takes the calls of the real server, also while its secret is replaced", { skip: !real }, async () => {
    assert(real);
    const client = new Sigpersist({ url: real.url, token: tokensOf(real.key) });
    const calls: { headers: IncomingHttpHeaders; body: Buffer }[] = [];
    let called: () => void = () => undefined;
    const receiver = createServer((request, response) => {
      void (async () => {
        const chunks: Buffer[] = [];
        for await (const chunk of request) chunks.push(chunk as Buffer);
        calls.push({ headers: request.headers, body: Buffer.concat(chunks) });
        response.writeHead(204).end();
        called();
      })();
    });
    await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
    const { port } = receiver.address() as AddressInfo;
    const post = { method: "POST", repeatable: false } as const;
    const body = { url: `http://127.0.0.1:${port}/`, types: ["signature.deleted"] };
    type Made = ContentOf<"create_webhook">;
    const made = (await client.call<Made>({ ...post, path: "/webhooks", body })).content;
    const path = `/webhooks/${made.webhook.id}`;
    try {
      const rotated = (await client.call<Made>({ ...post, path: `${path}/rotate-secret` })).content;
      const arrived = new Promise<void>((resolve) => (called = resolve));
      await client.call({ ...post, path: `${path}/test` });
      await arrived;
      const [call] = calls;
      assert(call);
      for (const { secret } of [made, rotated]) {
        assert(secret);
        const event = await new Webhook(secret).verify(call.headers, call.body);
        assert.deepEqual([event.type, event.data.number], ["webhook.test", 0]);
      }
      await assert.rejects(webhook.verify(call.headers, call.body), WebhookError);
    } finally {
      await client.call({ method: "DELETE", path, repeatable: true });
      receiver.close();
    }
  });
});
