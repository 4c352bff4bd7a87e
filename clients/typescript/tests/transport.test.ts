/** The client when no answer comes, or none that it can use; what it sends, and what its errors tell. */

import assert from "node:assert/strict";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { inspect } from "node:util";
import { Sigpersist, SigpersistError, TransportError, type ClientOptions, type SaveOutcome } from "sigpersist";
import type { FakeServer } from "sigpersist/testing";
import { tokensOf } from "sigpersist/tokens";
import { all, cms, fake, real, slowKey, unique } from "./servers.js";

const thread = { document: "contract", thread: "approval" };
const draft = { ...thread, version: 0, cms: cms("one") };

/** A request as a `fetch` sees it. */
interface Sent {
  url: string;
  method: string;
  headers: Headers;
  body: string;
}

/** A client whose requests are answered by `answer`, and all that it sent. */
function answering(
  answer: (sent: Sent, number: number) => Response | Promise<Response>,
  options: Partial<ClientOptions> = {},
): { client: Sigpersist; sent: Sent[] } {
  const sent: Sent[] = [];
  const recorded: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    const { url, method, headers } = request;
    const one = { url, method, headers, body: await request.text() };
    sent.push(one);
    return answer(one, sent.length);
  };
  return { client: new Sigpersist({ url: "http://server", token: "any", fetch: recorded, ...options }), sent };
}

function json(status: number, body: object, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers });
}

function refused(status: number, code: string, headers: Record<string, string> = {}): Response {
  return json(status, { status: false, message: `It is ${code}.`, code, request_id: "id-of-the-log" }, headers);
}

const caller = () => json(200, { status: true, message: null, content: { caller: { tenant: "acme", scopes: [] } } });
const lost = () => {
  throw new TypeError("fetch failed", { cause: Object.assign(new Error("refused"), { code: "ECONNREFUSED" }) });
};

/** Runs `work` with a server of HTTP. */
async function withServer(listener: RequestListener, work: (url: string) => Promise<void>): Promise<void> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

describe("a client whose answer is lost", () => {
  it("sends the save again unchanged, and the server saves it once", async () => {
    const { server, client } = fake();
    server.loseNextAnswer(2);
    const saved = await client.save(draft);
    assert.deepEqual([saved.created, saved.signature.version], [false, 1]);
    assert.equal((await all(client.versions(thread))).length, 1);
  });

  it("keeps body and request id in all attempts", async () => {
    const { client, sent } = answering((_, number) => (number < 3 ? lost() : refused(409, "version_conflict")));
    await assert.rejects(client.save(draft), SigpersistError);
    assert.equal(sent.length, 3);
    for (const one of sent) {
      assert.deepEqual(JSON.parse(one.body), draft);
      assert.equal(one.headers.get("x-request-id"), sent[0]?.headers.get("x-request-id"));
    }
  });

  it("saves many once, and reads a file again", async () => {
    const { server, client } = fake();
    server.loseNextAnswer(2);
    const outcomes = await client.saveMany([draft, { ...draft, version: 1, cms: cms("two") }]);
    assert.deepEqual(
      outcomes.map(({ created, signature }) => [created, signature?.version]),
      [
        [false, 1],
        [false, 2],
      ],
    );
    server.loseNextAnswer();
    assert.equal((await client.getFile(thread)).version, 2);
  });

  it("gives up after its attempts, and says what it knows", async () => {
    const { client, sent } = answering(lost, { attempts: 2 });
    await assert.rejects(client.save(draft), (error) => {
      assert(error instanceof TransportError);
      assert.equal(error.message, "The server can't be reached (ECONNREFUSED).");
      assert.equal(error.problem, "network");
      assert.equal(error.requestId, sent[0]?.headers.get("x-request-id"));
      return true;
    });
    assert.equal(sent.length, 2);
  });

  it("does not record a verdict twice", async () => {
    const { client, sent } = answering(lost);
    await assert.rejects(client.recordVerdict(thread), { problem: "network" });
    const unsure = answering(() => refused(503, "database_unavailable", { "retry-after": "0" }));
    await assert.rejects(unsure.client.recordVerdict(thread), { code: "database_unavailable" });
    assert.deepEqual([sent.length, unsure.sent.length], [1, 1]);
  });

  it("counts a thread as deleted that is gone when it asks again", async () => {
    const { server, client } = fake();
    await client.save(draft);
    server.loseNextAnswer();
    assert.equal(await client.delete(thread, { ifVersion: 1 }), false);
  });
});

describe("a client that is told to wait", () => {
  for (const [status, code] of [
    [429, "rate_limited"],
    [503, "overloaded"],
  ] as const) {
    it(`waits as long as a ${status} says`, async () => {
      const { server, client } = fake();
      server.failNext({ status, code, retryAfter: 0.2 }, 2);
      const begin = performance.now();
      assert.equal((await client.save(draft)).created, true);
      const waited = performance.now() - begin;
      assert(waited >= 400 && waited < 10_000, `waited ${waited} ms`);
    });
  }

  it("does not wait if that does not help, or takes too long", async () => {
    const full = answering(() => refused(429, "quota_exceeded"));
    await assert.rejects(full.client.save(draft), { code: "quota_exceeded", retryAfter: undefined });
    const long = answering(() => refused(503, "overloaded", { "retry-after": "31" }));
    await assert.rejects(long.client.save(draft), { code: "overloaded", retryAfter: 31 });
    const bad = answering(() => refused(500, "internal"));
    await assert.rejects(bad.client.save(draft), { code: "internal", requestId: "id-of-the-log" });
    assert.deepEqual([full.sent.length, long.sent.length, bad.sent.length], [1, 1, 1]);
  });

  it("understands a date", async () => {
    const date = new Date(Date.now() + 3_600_000).toUTCString();
    const { client } = answering(() => refused(503, "overloaded", { "retry-after": date }));
    await assert.rejects(client.whoami(), ({ retryAfter }: SigpersistError) => {
      assert(retryAfter !== undefined && retryAfter > 3590 && retryAfter <= 3600);
      return true;
    });
  });

  it("waits for nothing once its signal is aborted", async () => {
    const { client } = answering(() => refused(503, "overloaded", { "retry-after": "20" }));
    const reason = new Error("The user left.");
    const stop = new AbortController();
    setTimeout(() => {
      stop.abort(reason);
    }, 50);
    const begin = performance.now();
    await assert.rejects(client.save(draft, { signal: stop.signal }), reason);
    assert(performance.now() - begin < 10_000);
  });
});

describe("a client that is told to wait for some of many", () => {
  const drafts = ["a", "b", "c", "d"].map((document) => ({ ...draft, document }));
  const results = (outcomes: SaveOutcome[]) =>
    outcomes.map(({ error, signature }) => error?.code ?? signature?.version);

  /** A client of the fake server, and the number of items in each of its requests. */
  function counted(options: Partial<ClientOptions> = {}): { server: FakeServer; client: Sigpersist; sizes: number[] } {
    const { server } = fake();
    const sizes: number[] = [];
    const counting: typeof fetch = (input, init) => {
      sizes.push((JSON.parse(init?.body as string) as { signatures: unknown[] }).signatures.length);
      return server.fetch(input, init);
    };
    return { server, client: fake({ fetch: counting, ...options }).client, sizes };
  }

  it("sends only these again, after the longest of the times", async () => {
    const { server, client, sizes } = counted();
    server.failNext({ document: "b", status: 429, code: "quota_exceeded", retryAfter: 0.1 });
    server.failNext({ document: "c", status: 503, code: "overloaded", retryAfter: 0.3 });
    server.failNext({ document: "c", status: 429, code: "quota_exceeded", retryAfter: 0.1 });
    server.failNext({ document: "d", status: 429, code: "quota_exceeded" });
    const begin = performance.now();
    assert.deepEqual(results(await client.saveMany(drafts)), [1, 1, 1, "quota_exceeded"]);
    assert(performance.now() - begin >= 400);
    assert.deepEqual(sizes, [4, 2, 1]);
  });

  it("sends later ones of the same thread with them", async () => {
    const { server, client, sizes } = counted();
    server.failNext({ document: draft.document, status: 429, code: "quota_exceeded", retryAfter: 0.01 });
    const other = { ...draft, thread: "other" };
    const versions = [0, 1, 2].map((version) => ({ ...draft, version, cms: cms(`v${version}`) }));
    const outcomes = await client.saveMany([...versions, other, { ...other, cms: cms("late") }]);
    assert.deepEqual(results(outcomes), [1, 2, 3, 1, "version_conflict"]);
    assert.deepEqual(sizes, [5, 3]);
  });

  it("gives up after its attempts, or at once if it takes too long", async () => {
    const { server, client, sizes } = counted({ attempts: 3 });
    server.failNext({ document: "a", status: 429, code: "quota_exceeded", retryAfter: 0.01 }, 4);
    server.failNext({ document: "b", status: 429, code: "quota_exceeded", retryAfter: 31 });
    const [often, long] = await client.getMany(drafts.slice(0, 2));
    assert.deepEqual([often?.error?.retryAfter, long?.error?.retryAfter], [0.01, 31]);
    assert.deepEqual(sizes, [2, 1, 1]);
  });

  it("saves all on the real server as fast as the tenant may", { skip: !(real && slowKey) }, async () => {
    assert(real && slowKey);
    const client = new Sigpersist({ url: real.url, token: tokensOf(slowKey) });
    const document = unique("slow");
    const versions = [0, 1, 2].map((version) => ({ ...draft, document, version, cms: cms(`v${version}`) }));
    assert.deepEqual(results(await client.saveMany(versions)), [1, 2, 3]);
    const saved = versions.map(({ version }) => ({ document, thread: draft.thread, version: version + 1 }));
    const found = await client.getMany(saved, { attempts: 2 });
    assert.deepEqual(found.map(({ error }) => [error?.code, error?.retryAfter]).at(-1), ["quota_exceeded", 1]);
  });

  it("takes the outcomes of something else for no answer", async () => {
    const { client } = answering(() => json(200, { status: true, content: { results: [] } }));
    await assert.rejects(client.saveMany(drafts), { name: "TransportError", problem: "answer" });
    const { client: files } = answering(() => json(200, { status: true, content: {} }), { attempts: 1 });
    await assert.rejects(files.getFile(thread), { name: "TransportError", problem: "answer" });
  });
});

describe("a client of a server that does not answer", () => {
  it("times out, and stops at once if it is aborted", async () => {
    const [reason, stop] = [new Error("The user left."), new AbortController()];
    let attempts = 0;
    const counted: typeof fetch = (input, init) => {
      attempts++;
      return fetch(input, init);
    };
    const never: RequestListener = (request, response) => {
      response.writeHead(200).write("{"); // and then nothing more
      if (request.headers["x-request-id"] === "aborted") stop.abort(reason);
    };
    await withServer(never, async (url) => {
      const client = new Sigpersist({ url, token: "any", fetch: counted, timeoutMs: 100 });
      await assert.rejects(client.whoami({ attempts: 2 }), { name: "TransportError", problem: "timeout" });
      assert.equal(attempts, 2);
      const patient = { signal: stop.signal, timeoutMs: 60_000, requestId: "aborted" };
      await assert.rejects(client.whoami({ ...patient, attempts: 1 }), reason);
      await assert.rejects(client.whoami(patient), reason);
      assert.equal(attempts, 3);
    });
  });

  it("tells a proxy's answer from the server's", async () => {
    const page = (status: number) => new Response("<h1>Bad gateway</h1>", { status });
    const { client, sent } = answering((_, number) => (number === 1 ? page(502) : caller()));
    assert.equal((await client.whoami()).tenant, "acme");
    assert.equal(sent.length, 2);
    const forbidden = answering(() => page(403));
    await assert.rejects(forbidden.client.whoami(), { name: "TransportError", problem: "answer", status: 403 });
    const redirected = answering(() => new Response(null, { status: 301, headers: { location: "https://other" } }));
    await assert.rejects(redirected.client.save(draft), { problem: "answer", status: 301 });
    assert.deepEqual([forbidden.sent.length, redirected.sent.length], [1, 1]);
  });

  it("follows no redirection, which would lead a save and its token elsewhere", async () => {
    let requests = 0;
    const redirects: RequestListener = (_, response) => {
      requests++;
      response.writeHead(307, { location: "/elsewhere" }).end();
    };
    await withServer(redirects, async (url) => {
      await assert.rejects(new Sigpersist({ url, token: "any" }).save(draft), { problem: "answer", status: 307 });
    });
    assert.equal(requests, 1);
  });

  it("has nothing signed again unless another writer was faster", async () => {
    const { server, client } = fake();
    await client.save(draft);
    let asked = 0;
    const sign = () => {
      asked++;
      server.failNext({ status: 422, code: "hook_rejected" });
      return cms("two");
    };
    await assert.rejects(client.countersign(thread, sign), { code: "hook_rejected" });
    assert.equal(asked, 1);
  });

  it("gives no more events of a page once its signal is aborted", async () => {
    const { client } = fake();
    for (const version of [0, 1, 2]) await client.save({ ...draft, version, cms: cms(`v${version}`) });
    const stop = new AbortController();
    const events = client.events.follow({ after: 0, signal: stop.signal });
    const seen: number[] = [];
    for await (const { number } of events) {
      seen.push(number);
      if (number === 2) stop.abort();
    }
    assert.deepEqual([seen, events.after], [[1, 2], 2]);
  });

  it("follows events through failures, which it tells of", async () => {
    const { server, client } = fake();
    await client.save(draft);
    server.failNext({ status: 503, code: "overloaded", retryAfter: 0.1 });
    server.failNext({ status: 500, code: "internal" });
    const heard: string[] = [];
    const events = client.events.follow({
      after: 0,
      onRetry: (error) => heard.push(error instanceof SigpersistError ? error.code : error.problem),
    });
    for await (const event of events) {
      assert.equal(event.number, 1);
      break;
    }
    assert.deepEqual(heard, ["overloaded", "internal"]);
    server.failNext({ status: 403, code: "insufficient_scope" });
    await assert.rejects(all(client.events.follow({ after: 0 })), { code: "insufficient_scope" });
  });
});

describe("what a client sends", () => {
  it("has the parameters in the query, lists by repeating the name", async () => {
    const { client, sent } = answering(() => json(200, { status: true, content: { signatures: [], next: null } }));
    await all(client.signatures({ tags: ["a b", "c&d"], count: true, omit: "signature" }));
    assert.equal(sent[0]?.url, "http://server/signatures?tags=a+b&tags=c%26d&count=true&omit=signature");
  });

  it("has the trace, the id and the headers that it was given", async () => {
    const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const options = { url: "http://server/base/", traceparent: () => trace, headers: { "x-gateway": "key" } };
    const { client, sent } = answering(caller, options);
    await client.whoami();
    await client.whoami({ requestId: "mine", traceparent: trace.replace("-01", "-00") });
    const [first, second] = sent;
    assert.equal(first?.url, "http://server/base/whoami");
    assert.equal(first.headers.get("traceparent"), trace);
    assert.equal(first.headers.get("x-gateway"), "key");
    assert.match(first.headers.get("x-request-id") ?? "", /^[0-9a-f]{32}$/);
    assert.match(second?.headers.get("traceparent") ?? "", /-00$/);
    assert.equal(second?.headers.get("x-request-id"), "mine");
  });

  it("has a token for each attempt, and another one once the server refuses it", async () => {
    const asked: (string | undefined)[] = [];
    const token = (rejected?: string) => {
      asked.push(rejected);
      return Promise.resolve(`token-${asked.length}`);
    };
    const expired = (sent: Sent) =>
      sent.headers.get("authorization") === "Bearer token-1" ? refused(401, "expired_token") : caller();
    await answering(expired, { token, attempts: 1 }).client.whoami();
    assert.deepEqual(asked, [undefined, "token-1"]);
    const always = answering(() => refused(401, "invalid_token"), { token });
    await assert.rejects(always.client.whoami(), { code: "invalid_token" });
    assert.equal(always.sent.length, 2);
    const fixed = answering(() => refused(401, "expired_token"), { token: "fixed" });
    await assert.rejects(fixed.client.whoami(), { code: "expired_token" });
    assert.equal(fixed.sent.length, 1);
  });
});

describe("what a client tells", () => {
  const TOKEN = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0.bWFj";
  const SIGNATURE = cms("the text of a signature that nobody else should read");

  /** Asserts that neither secret is in anything that prints an error. */
  function tellsNothing(error: unknown): boolean {
    assert(error instanceof Error);
    const shown = [inspect(error, { depth: 9, showHidden: true }), JSON.stringify(error), error.stack ?? ""].join("\n");
    for (const secret of [TOKEN, SIGNATURE]) assert(!shown.includes(secret), shown);
    return true;
  }

  it("has no token and no signature in it", async () => {
    const secret = { ...draft, cms: SIGNATURE };
    const truncated = () => new Response(`{"status":true,"content":{"signature":{"signature":"${SIGNATURE}`);
    const unquoted = () => new Response(SIGNATURE);
    for (const answer of [lost, truncated, unquoted, () => refused(409, "version_conflict")]) {
      const { client } = answering(answer, { token: TOKEN, attempts: 1 });
      await assert.rejects(client.save(secret), tellsNothing);
      await assert.rejects(client.inspect({ cms: SIGNATURE }), tellsNothing);
      assert(!inspect(client, { depth: 9, showHidden: true }).includes(TOKEN));
    }
    const unreachable = new Sigpersist({ url: "http://127.0.0.1:1", token: TOKEN, attempts: 1 });
    await assert.rejects(unreachable.save(secret), tellsNothing);
    // The platform's own error would quote the header.
    const broken = new Sigpersist({ url: "http://127.0.0.1:1", token: `${TOKEN}\n` });
    await assert.rejects(broken.save(secret), (error) => error instanceof TypeError && tellsNothing(error));
  });

  it("refuses addresses that can't be right, without quoting a password", () => {
    for (const url of [
      "",
      "server",
      "ftp://server",
      `https://user:${TOKEN}@server`,
      "https://user@server",
      "https://server?x=1",
    ]) {
      assert.throws(() => new Sigpersist({ url, token: TOKEN }), tellsNothing);
    }
  });

  it("has the details of each code with their type", () => {
    const facts = { status: 409, message: "m", requestId: "r", details: { current_version: 3 } };
    const error = new SigpersistError({ ...facts, code: "version_conflict" });
    assert(error.is("version_conflict"));
    const version: number = error.details.current_version;
    assert.equal(version, 3);
    assert.equal(error.is("signature_not_found"), false);
  });
});
