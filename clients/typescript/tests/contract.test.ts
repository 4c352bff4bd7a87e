/** The behaviour of a server, as far as the fake has it: each test runs on both. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SigpersistError, type ErrorCode, type SigpersistEvent } from "sigpersist";
import { all, cms, servers, unique } from "./servers.js";

/** Whether an error is a refusal with this code, for `assert.rejects`. */
function refusal(code: ErrorCode, details?: unknown) {
  return (error: unknown) => {
    assert(error instanceof SigpersistError, String(error));
    assert.equal(error.code, code);
    if (details !== undefined) assert.deepEqual(error.details, details);
    assert.match(error.requestId, /./);
    return true;
  };
}

for (const server of servers()) {
  const client = server.client();
  const newThread = () => ({ document: unique("contract"), thread: "approval" });

  describe(`saving on the ${server.name} server`, () => {
    it("makes versions, each over the one before", async () => {
      const thread = newThread();
      const first = await client.save({ ...thread, version: 0, cms: cms("one"), tags: ["b", "a", "b"] });
      assert.equal(first.created, true);
      const second = await client.save({ ...thread, version: 1, cms: cms("two"), stage: "s", version_created_by: 33 });
      const { id, version_created_at: at } = second.signature;
      assert.match(at, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
      assert.deepEqual(second.signature, {
        ...{ id, version: 2, ...thread, stage: "s", signature: cms("two"), parent: 1, version_created_by: "33" },
        ...{ version_created_at: at, version_comment: null, tags: [] },
        ...{ created_at: first.signature.created_at, updated_at: at },
      });
      assert.deepEqual(first.signature.tags, ["b", "a"]);
      assert.equal(first.signature.id, id);
      assert.equal(first.signature.parent, null);
    });

    it("takes bytes, which are the same signature as their base64", async () => {
      const thread = newThread();
      const bytes = Uint8Array.from([0, 255, 128, 10]);
      assert.equal((await client.save({ ...thread, version: 0, cms: bytes })).signature.signature, "AP+ACg==");
      assert.equal((await client.save({ ...thread, version: 0, cms: "AP+ACg==" })).created, false);
      const both = await client.countersign(thread, ({ version }) => Uint8Array.of(version));
      assert.equal(both.signature.signature, "AQ==");
      const { inspection } = await client.inspect({ cms: bytes });
      assert.equal(inspection.sha256, (await client.verify({ cms: "AP+ACg==", content: bytes })).inspection.sha256);
    });

    it("answers an identical request with what it has saved, even after a later version", async () => {
      const thread = newThread();
      const draft = { ...thread, version: 0, cms: cms("one"), tags: ["a", "b"], version_comment: "first" };
      const first = await client.save(draft);
      const again = await client.save({ ...draft, tags: ["b", "a"] });
      assert.deepEqual(again, { ...first, created: false });
      await client.save({ ...thread, version: 1, cms: cms("two") });
      assert.deepEqual(await client.save(draft), { ...first, created: false });
    });

    it("refuses anything else over a version that is not the current one", async () => {
      const thread = newThread();
      const draft = { ...thread, version: 0, cms: cms("one"), tags: ["a"] };
      await assert.rejects(client.save({ ...draft, version: 3 }), refusal("version_conflict", { current_version: 0 }));
      await client.save(draft);
      for (const other of [{ cms: cms("other") }, { tags: [] }, { stage: "s" }, { version_comment: "c" }]) {
        const refused = client.save({ ...draft, ...other });
        await assert.rejects(refused, refusal("version_conflict", { current_version: 1 }));
      }
      assert.equal((await client.get(thread)).version, 1);
    });

    it("has exactly one winner of a race", async () => {
      const thread = newThread();
      const words = ["a", "b", "c", "d", "e"];
      const drafts = words.map((word) => ({ ...thread, version: 0, cms: cms(word) }));
      const results = await Promise.allSettled(drafts.map((draft) => client.save(draft)));
      const losers = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
      assert.equal(losers.length, words.length - 1);
      for (const loser of losers) refusal("version_conflict", { current_version: 1 })(loser);
    });

    it("tells the place in the log if it is asked to wait for it", async () => {
      const draft = { ...newThread(), version: 0, cms: cms("one") };
      assert.equal((await client.save(draft)).evidence, undefined);
      const { evidence } = await client.save(draft, { waitForLogS: 20 });
      assert.equal(evidence?.state, "logged");
      assert.equal(await client.events.last(), evidence.number);
    });

    it("names the parameter that is wrong", async () => {
      const draft = { ...newThread(), version: 0, cms: cms("one") };
      const cases = [
        { wrong: { ...draft, cms: "" }, field: "/cms" },
        { wrong: { ...draft, document: "" }, field: "/document" },
        { wrong: { ...draft, sign: true }, field: "/sign" },
      ];
      for (const { wrong, field } of cases) {
        await assert.rejects(client.save(wrong), refusal("invalid_parameter", { field }));
      }
    });
  });

  describe(`countersigning on the ${server.name} server`, () => {
    it("asks for another signature if somebody else was faster", async () => {
      const thread = newThread();
      await client.save({ ...thread, version: 0, cms: cms("one") });
      const seen: number[] = [];
      const saved = await client.countersign({ ...thread, tags: ["signed"] }, async (previous) => {
        seen.push(previous.version);
        if (seen.length === 1) await client.save({ ...thread, version: 1, cms: cms("faster") });
        return { cms: cms(`over ${previous.signature}`), version_comment: "at the desk" };
      });
      assert.deepEqual(seen, [1, 2]);
      assert.equal(saved.created, true);
      assert.deepEqual(saved.signature.tags, ["signed"]);
      assert.equal(saved.signature.version_comment, "at the desk");
      assert.deepEqual(await client.get(thread), saved.signature);
      assert.equal(saved.signature.signature, cms(`over ${cms("faster")}`));
    });

    it("gives up when others are always faster", async () => {
      const thread = newThread();
      await client.save({ ...thread, version: 0, cms: cms("one") });
      let asked = 0;
      const losing = client.countersign(
        thread,
        async ({ version }) => {
          asked++;
          await client.save({ ...thread, version, cms: cms(`faster ${version}`) });
          return cms("late");
        },
        { rounds: 3 },
      );
      await assert.rejects(losing, refusal("version_conflict", { current_version: 4 }));
      assert.equal(asked, 3);
    });

    it("leaves the thread as it is if nothing is signed", async () => {
      const thread = newThread();
      const { signature } = await client.save({ ...thread, version: 0, cms: cms("one") });
      const left = await client.countersign(thread, () => null);
      assert.deepEqual(left, { signature, created: false, evidence: undefined });
    });

    it("throws what `sign` throws, and saves nothing", async () => {
      const thread = newThread();
      await client.save({ ...thread, version: 0, cms: cms("one") });
      const cancelled = new Error("cancelled");
      await assert.rejects(
        client.countersign(thread, () => Promise.reject(cancelled)),
        cancelled,
      );
      assert.equal((await client.get(thread)).version, 1);
    });

    it("needs something to sign", async () => {
      const unasked = () => assert.fail("`sign` was asked");
      await assert.rejects(client.countersign(newThread(), unasked), refusal("signature_not_found"));
    });
  });

  describe(`reading and deleting on the ${server.name} server`, () => {
    it("has every version until the thread is deleted", async () => {
      const thread = newThread();
      await client.save({ ...thread, version: 0, cms: cms("one") });
      await client.save({ ...thread, version: 1, cms: cms("two") });
      assert.equal((await client.get(thread)).signature, cms("two"));
      assert.equal((await client.get({ ...thread, version: 1 })).signature, cms("one"));
      await assert.rejects(client.get({ ...thread, version: 3 }), refusal("signature_not_found"));
      const stale = client.delete(thread, { ifVersion: 1 });
      await assert.rejects(stale, refusal("precondition_failed", { current_version: 2 }));
      assert.equal(await client.delete(thread, { ifVersion: 2 }), true);
      assert.equal(await client.delete(thread), false);
      assert.equal(await client.delete(thread, { ifVersion: 2 }), false);
      await assert.rejects(client.get(thread), refusal("signature_not_found"));
      await assert.rejects(client.versions(thread).page(), refusal("signature_not_found"));
      assert.equal((await client.save({ ...thread, version: 0, cms: cms("new") })).signature.version, 1);
    });

    it("lists versions page by page, the newest first", async () => {
      const thread = newThread();
      for (const version of [0, 1, 2]) await client.save({ ...thread, version, cms: cms(`v${version + 1}`) });
      const texts = (await all(client.versions({ ...thread, limit: 2 }))).map(({ signature }) => signature);
      assert.deepEqual(texts, [cms("v3"), cms("v2"), cms("v1")]);
      const [newest] = await all(client.versions({ ...thread, omit: "signature" }));
      assert.equal(newest?.version, 3);
      assert.equal("signature" in newest, false);
    });

    it("lists threads by their tags, those of the newest first", async () => {
      const [tag, other] = [unique("tag"), unique("tag")];
      const documents = [unique("a"), unique("b"), unique("c")];
      for (const document of documents) {
        await client.save({ document, thread: "t", version: 0, cms: cms(document), tags: [tag] });
      }
      const [oldest = ""] = documents;
      await client.save({ document: oldest, thread: "t", version: 1, cms: cms("again"), tags: [tag, other] });

      const filter = { tags: [tag], limit: 2, omit: "signature" } as const;
      const listed = (await all(client.signatures(filter))).map(({ document }) => document);
      assert.deepEqual(listed, documents.toReversed());
      const page = await client.signatures({ ...filter, count: true }).page();
      assert.deepEqual([page.items.length, page.total], [2, 3]);
      assert(page.next !== undefined);
      const rest = await client.signatures({ ...filter, cursor: page.next }).page();
      assert.deepEqual([rest.items.map(({ version }) => version), rest.next, rest.total], [[2], undefined, undefined]);

      const both = await all(client.signatures({ tags: [tag, other], tags_match: "all" }));
      assert.deepEqual(
        both.map(({ signature }) => signature),
        [cms("again")],
      );
      assert.equal((await all(client.signatures({ tags: [tag, other], tags_match: "any" }))).length, 3);
      assert.deepEqual(await all(client.signatures({ tags: [tag], stage: "none" })), []);
      await assert.rejects(client.signatures({ limit: 0 }).page(), refusal("invalid_parameter", { field: "/limit" }));
    });

    it("gives a version as the file that was saved", async () => {
      const cases = [
        [Uint8Array.of(0x30, 0x03, 0x02, 0x01, 0x05), "application/pkcs7-signature", "p7s"],
        [new TextEncoder().encode("<a>ä</a>"), "application/xml", "xml"],
        [Uint8Array.of(0, 255, 10), "application/octet-stream", "bin"],
      ] as const;
      for (const [data, contentType, ending] of cases) {
        const thread = { document: unique("../contract ä"), thread: "approval" };
        await client.save({ ...thread, version: 0, cms: data });
        await client.save({ ...thread, version: 1, cms: "<b/>" });
        const filename = `${thread.document.replace("/", "_")}-approval-1.${ending}`;
        assert.deepEqual(await client.getFile({ ...thread, version: 1 }), { data, contentType, filename, version: 1 });
        assert.equal(new TextDecoder().decode((await client.getFile(thread)).data), "<b/>");
        const anything = await client.getFile({ ...thread, version: 1 }, { types: ["application/octet-stream"] });
        assert.deepEqual([anything.data, anything.filename.slice(-4)], [data, ".bin"]);
      }
    });

    it("gives no file of another type", async () => {
      const thread = newThread();
      await assert.rejects(client.getFile(thread), refusal("signature_not_found"));
      await client.save({ ...thread, version: 0, cms: "<a/>" });
      await assert.rejects(client.getFile(thread, { types: ["application/pkcs7-mime"] }), refusal("not_acceptable"));
    });

    it("says that a text is no signature", async () => {
      const thread = newThread();
      await client.save({ ...thread, version: 0, cms: cms("one") });
      const stored = await client.inspect(thread);
      assert.equal(stored.signature.version, 1);
      assert.equal(stored.inspection.format, "unknown");
      assert.match(stored.inspection.problem ?? "", /^It can't be read/);
      assert.equal((await client.verify(thread)).inspection.sha256, stored.inspection.sha256);
      assert.equal((await client.verify({ cms: cms("one") })).inspection.sha256, stored.inspection.sha256);
    });

    it("answers with the request's own id", async () => {
      const id = unique("request");
      await assert.rejects(client.get(newThread(), { requestId: id }), { requestId: id });
    });
  });

  describe(`many at once on the ${server.name} server`, () => {
    it("have outcomes of their own, in their order", async () => {
      const [thread, other] = [newThread(), newThread()];
      const drafts = [
        { ...thread, version: 0, cms: Uint8Array.of(1, 2), tags: ["t"] },
        { ...thread, version: 1, cms: cms("two"), version_created_by: 7 },
        { ...thread, version: 1, cms: cms("three") },
        { ...thread, version: 2, cms: cms("four") },
        { ...other, version: 0, cms: cms("one") },
      ];
      const [first, second, third, fourth, last] = await client.saveMany(new Set(drafts));
      assert.deepEqual([first?.created, first?.signature?.version, first?.signature?.tags], [true, 1, ["t"]]);
      assert.equal("signature" in (first?.signature ?? {}), false);
      assert.deepEqual([second?.signature?.version, second?.signature?.version_created_by], [2, "7"]);
      refusal("version_conflict", { current_version: 2 })(third?.error);
      assert.deepEqual([third?.error?.status, third?.error?.retryAfter, last?.created], [409, undefined, true]);
      // After one that was not saved, the next of its thread is not tried.
      refusal("earlier_failed")(fourth?.error);
      assert.equal(fourth?.error?.status, 424);
      const again = await client.saveMany(drafts.slice(0, 2));
      assert.deepEqual(
        again.map(({ created }) => created),
        [false, false],
      );

      const found = await client.getMany([{ ...thread, version: 1 }, other, { ...thread, version: 3 }, newThread()]);
      const versions = [await client.get({ ...thread, version: 1 }), await client.get(other)];
      assert.deepEqual(
        found.slice(0, 2).map(({ signature }) => signature),
        versions,
      );
      for (const { error } of found.slice(2)) refusal("signature_not_found")(error);
    });

    it("are sent in several requests if there are more than 100", async () => {
      const thread = newThread();
      const drafts = Array.from({ length: 230 }, (_, version) => ({ ...thread, version, cms: cms(`v${version}`) }));
      const saved = await client.saveMany(drafts);
      assert.deepEqual(
        saved.map(({ signature }) => signature?.version),
        drafts.map(({ version }) => version + 1),
      );
      const read = await client.getMany(drafts.map(({ version }) => ({ ...thread, version: version + 1 })));
      assert.deepEqual(
        read.map(({ signature }) => signature?.signature),
        drafts.map(({ cms }) => cms),
      );
      assert.deepEqual(await client.saveMany([]), []);
    });

    it("are not sent after one of their thread that was not saved", async () => {
      // Version 1 may mean a first version, so the second one could take the place of the first in another request.
      const thread = newThread();
      await client.save({ ...thread, version: 0, cms: cms("other") });
      const drafts = Array.from({ length: 99 }, () => ({ ...newThread(), version: 0, cms: cms("x") }));
      const saved = await client.saveMany([
        ...drafts,
        { ...thread, version: 0, cms: cms("first") },
        { ...thread, version: 1, cms: cms("second") },
      ]);
      assert.equal(saved.filter(({ created }) => created).length, 99);
      assert.deepEqual(
        saved.slice(99).map(({ error }) => error?.code),
        ["version_conflict", "earlier_failed"],
      );
      assert.equal((await client.get(thread)).version, 1);
    });

    it("tell which of all is wrong, and do no harm if all are sent again", async () => {
      const drafts = Array.from({ length: 120 }, () => ({ ...newThread(), version: 0, cms: cms("x") }));
      const wrong = drafts.map((draft, place) => (place === 103 ? { ...draft, cms: "" } : draft));
      await assert.rejects(client.saveMany(wrong), refusal("invalid_parameter", { field: "/signatures/103/cms" }));
      const created = (await client.saveMany(drafts)).map(({ created }) => created);
      assert.deepEqual(
        created,
        drafts.map((_, place) => place >= 100),
      );
    });
  });

  describe(`following on the ${server.name} server`, () => {
    it("sees events in order, waits for the next, and ends with the signal", async () => {
      const thread = newThread();
      const stop = new AbortController();
      const events = client.events.follow({ after: await client.events.last(), signal: stop.signal });
      await client.save({ ...thread, version: 0, cms: cms("one"), tags: ["a"] });
      const seen: SigpersistEvent[] = [];
      for await (const event of events) {
        if (event.document !== thread.document) continue;
        seen.push(event);
        assert.equal(events.after, event.number);
        if (event.type === "signature.deleted") stop.abort();
        else if (event.version === 1) await client.save({ ...thread, version: 1, cms: cms("two") });
        else await client.delete(thread);
      }
      assert.deepEqual(
        seen.map(({ type, version }) => [type, version]),
        [
          ["version.saved", 1],
          ["version.saved", 2],
          ["signature.deleted", 2],
        ],
      );
      assert.deepEqual(seen[0]?.tags, ["a"]);
      assert.equal(seen[1]?.sha256, "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3");
    });

    it("goes on after a stored number, with the chosen types, and tells what was erased", async () => {
      const [kept, gone] = [newThread(), newThread()];
      const start = await client.events.last();
      await client.save({ ...gone, version: 0, cms: cms("gone") });
      await client.save({ ...kept, version: 0, cms: cms("kept") }, { waitForLogS: 20 });
      await client.delete(gone);
      const deleted = client.events.follow({ after: start, types: ["signature."] });
      for await (const event of deleted) {
        assert.deepEqual([event.type, event.document], ["signature.deleted", gone.document]);
        break;
      }
      const page = await client.events.list({ after: start, limit: 2 });
      assert.deepEqual(
        page.events.map(({ type }) => type),
        ["erased", "version.saved"],
      );
      assert.deepEqual(Object.keys(page.events[0] ?? {}), ["id", "number", "type", "at"]);
      const { events, next } = await client.events.list({ after: page.next, types: ["version."] });
      assert.deepEqual([events, next], [[], deleted.after]);
    });

    it("moves its number on past types that it does not follow, from now on", async () => {
      const stop = new AbortController();
      const events = client.events.follow({ after: "now", types: ["signature.deleted"], signal: stop.signal });
      const ended = all(events);
      while (events.after === undefined) await new Promise((resolve) => setTimeout(resolve, 10));
      const { evidence } = await client.save({ ...newThread(), version: 0, cms: cms("x") }, { waitForLogS: 20 });
      const page = await client.events.list({ after: events.after, types: ["signature.deleted"] });
      assert(page.next >= (evidence?.number ?? Infinity));
      stop.abort();
      assert.deepEqual(await ended, []);
    });
  });

  it(`names the caller on the ${server.name} server`, async () => {
    assert.equal(typeof (await client.whoami()).tenant, "string");
  });
}
