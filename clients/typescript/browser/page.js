// Runs in the browser, and tells the server of this page how it went. `run.mjs` serves it.

import { Sigpersist, SigpersistError, TransportError, Webhook } from "sigpersist";
import { FakeServer } from "sigpersist/testing";
import { tokensOf } from "sigpersist/tokens";

const { url, stranger, key, slowKey, webhook } = await (await fetch("/given")).json();
const thread = { document: `browser-${crypto.randomUUID()}`, thread: "approval" };

const steps = {
  async "saves, countersigns, lists and deletes"() {
    const sigpersist = new Sigpersist({ url, token: tokensOf(key) });
    const after = await sigpersist.events.last();
    const first = await sigpersist.save({ ...thread, version: 0, cms: "first", tags: [thread.document] });
    equal([first.created, first.signature.version], [true, 1]);
    const both = await sigpersist.countersign(thread, async ({ version }) => {
      if (version === 1) await sigpersist.save({ ...thread, version: 1, cms: "faster" });
      return `over ${version}`;
    });
    equal([both.signature.version, both.signature.signature], [3, "over 2"]);
    const versions = [];
    for await (const { version } of sigpersist.versions({ ...thread, limit: 2 })) versions.push(version);
    equal(versions, [3, 2, 1]);

    const stop = new AbortController();
    const seen = [];
    for await (const { document, version } of sigpersist.events.follow({ after, signal: stop.signal })) {
      if (document === thread.document) seen.push(version);
      if (seen.length === 3) stop.abort();
    }
    equal(seen, [1, 2, 3]);
    equal(await sigpersist.delete(thread, { ifVersion: 3 }), true);
  },

  async "takes files and gives them, and many at once"() {
    const sigpersist = new Sigpersist({ url, token: tokensOf(key) });
    const drafts = ["<a/>", Uint8Array.of(0x30, 0)].map((cms, version) => ({ ...thread, version, cms }));
    const outcomes = await sigpersist.saveMany([...drafts, drafts[0], { ...drafts[1], cms: "late" }]);
    equal(
      outcomes.map(({ created, error }) => created ?? error.code),
      [true, true, false, "version_conflict"],
    );
    equal((await sigpersist.getMany([thread]))[0].signature.version, 2);
    const { data, contentType, filename, version } = await sigpersist.getFile(thread);
    equal([[...data], contentType, version], [[0x30, 0], "application/pkcs7-signature", 2]);
    equal(filename, `${thread.document}-approval-2.p7s`);
    equal(await sigpersist.delete(thread), true);
  },

  async "reads the headers of answers from another origin"() {
    equal(new URL(url).origin === location.origin, false);
    const authorization = `Bearer ${await tokensOf(key)()}`;
    const { headers } = await fetch(`${url}/whoami`, { headers: { authorization } });
    equal(/^[0-9a-f]{32}$/.test(headers.get("x-request-id")), true);
    const hurried = new Sigpersist({ url, token: tokensOf(slowKey), attempts: 1 });
    const answers = await Promise.allSettled([1, 2, 3, 4].map(() => hurried.whoami()));
    const refused = answers.find(({ reason }) => reason !== undefined);
    equal([refused.reason.status, refused.reason.retryAfter], [429, 1]);
    const patient = new Sigpersist({ url, token: tokensOf(slowKey) });
    equal(typeof (await patient.whoami()).tenant, "string");
  },

  async "can't be used from an origin that the server does not name"() {
    const frame = document.createElement("iframe");
    const told = new Promise((resolve) => addEventListener("message", ({ data }) => resolve(data), { once: true }));
    frame.src = `${stranger}/stranger.html?document=${thread.document}`;
    document.body.append(frame);
    const { origin, problems, plain } = await told;
    equal(origin, stranger);
    equal(problems, ["network", "network"]);
    equal(plain, "TypeError");
    const mine = new Sigpersist({ url, token: tokensOf(key) });
    equal((await mine.get(thread).catch((error) => error)).code, "signature_not_found");
  },

  async "tells refusals from failures"() {
    const sigpersist = new Sigpersist({ url, token: tokensOf(key), attempts: 1 });
    const refused = await sigpersist.get(thread, { requestId: "of-the-browser" }).catch((error) => error);
    equal([refused instanceof SigpersistError, refused.code], [true, "signature_not_found"]);
    equal(refused.requestId, "of-the-browser");
    const elsewhere = new Sigpersist({ url: "http://127.0.0.1:1", token: "any", attempts: 1 });
    const failed = await elsewhere.whoami().catch((error) => error);
    equal([failed instanceof TransportError, failed.problem], [true, "network"]);
    const stopped = await sigpersist.whoami({ signal: AbortSignal.abort("enough") }).catch((reason) => reason);
    equal(stopped, "enough");
  },

  async "verifies webhooks"() {
    const event = await new Webhook(webhook.secret).verify(new Headers(webhook.headers), webhook.body);
    equal(event.data.number, 3);
    const changed = new Webhook(webhook.secret).verify(webhook.headers, `${webhook.body} `);
    equal(await changed.catch(({ name }) => name), "WebhookError");
  },

  async "has the fake server"() {
    const sigpersist = new Sigpersist({ url: "http://fake", token: "any", fetch: new FakeServer().fetch });
    equal((await sigpersist.save({ ...thread, version: 0, cms: "one" })).signature.version, 1);
  },
};

function equal(actual, expected) {
  const [left, right] = [actual, expected].map((value) => JSON.stringify(value));
  if (left !== right) throw new Error(`It is ${left} and should be ${right}.`);
}

const results = [];
for (const [name, step] of Object.entries(steps)) {
  const error = await step().then(
    () => null,
    (error) => `${error.stack ?? error}`,
  );
  results.push({ name, error });
}
await fetch("/results", { method: "POST", body: JSON.stringify(results) });
