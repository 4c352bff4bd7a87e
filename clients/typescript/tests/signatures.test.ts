/** Real signatures on the real server: inspections, verdicts, decisions of hooks. The fake reads no signatures. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { Sigpersist, type Inspection } from "sigpersist";
import { FakeServer } from "sigpersist/testing";
import { tokensOf } from "sigpersist/tokens";
import { all, real, unique } from "./servers.js";

const data = process.env["SIGPERSIST_TEST_DATA"] ?? "../../tests/data";
const file = (name: string) => readFileSync(`${data}/${name}.cms.b64`, "utf8").trim();
const iins = ({ signers }: Inspection) => signers.map(({ certificate }) => certificate?.iin).sort();

describe("real signatures", { skip: !real }, () => {
  const newThread = () => ({ document: unique("contract"), thread: "approval" });
  const client = () => {
    assert(real);
    return new Sigpersist({ url: real.url, token: tokensOf(real.key) });
  };

  it("are read and verified, stored or not", async () => {
    const sigpersist = client();
    const thread = newThread();
    const cms = file("countersigned");
    await sigpersist.save({ ...thread, version: 0, cms });
    const stored = await sigpersist.inspect(thread);
    assert.equal(stored.signature.signature, cms);
    assert.deepEqual(iins(stored.inspection), ["123456789011", "123456789022"]);
    assert.equal(stored.inspection.signers[0]?.verdict, undefined);
    assert.deepEqual((await sigpersist.inspect({ cms })).inspection, stored.inspection);

    const verified = await sigpersist.verify({ ...thread, version: 1 });
    assert.deepEqual(
      verified.inspection.signers.map(({ verdict }) => verdict?.intact),
      [true, true],
    );
    assert.deepEqual((await sigpersist.verify({ cms })).inspection, verified.inspection);
    const forged = await sigpersist.verify({ cms: file("forged") });
    assert.equal(forged.inspection.signers[0]?.verdict?.indication, "TOTAL_FAILED");
  });

  it("are verified with the content that they are detached from", async () => {
    const sigpersist = client();
    const thread = newThread();
    const pem = readFileSync(`${data}/detached.cms.pem`, "utf8");
    const cms = Uint8Array.from(Buffer.from(pem.replace(/-----.*-----/g, ""), "base64"));
    const content = new TextEncoder().encode("A contract between two people who do not exist.\n");
    const verdicts = ({ signers }: Inspection) => signers.map(({ verdict }) => verdict?.intact);
    await sigpersist.save({ ...thread, version: 0, cms, content });
    assert.deepEqual(verdicts((await sigpersist.verify({ cms, content })).inspection), [true]);
    assert.deepEqual(verdicts((await sigpersist.verify({ cms })).inspection), [null]);
    assert.equal((await sigpersist.verify({ cms: pem, content: Uint8Array.of(1) })).inspection.detached, true);
    const recorded = await sigpersist.recordVerdict({ ...thread, content });
    assert.equal(recorded.signers[0]?.verdict?.indication, "INDETERMINATE");
  });

  it("keep the verdicts that are recorded", async () => {
    const sigpersist = client();
    const thread = newThread();
    await sigpersist.save({ ...thread, version: 0, cms: file("first") });
    await sigpersist.save({ ...thread, version: 1, cms: file("countersigned") });
    const verdict = await sigpersist.recordVerdict(thread);
    assert.deepEqual([verdict.version, verdict.signers.length], [2, 2]);
    await sigpersist.recordVerdict({ ...thread, version: 1 });
    const versions = (await all(sigpersist.verdicts({ ...thread, limit: 1 }))).map(({ version }) => version);
    assert.deepEqual(versions, [2, 1]);
    assert.equal((await all(sigpersist.verdicts({ ...thread, version: 1 }))).length, 1);
  });

  it("get tags from hooks, whose decisions are listed page by page", async () => {
    const sigpersist = client();
    const thread = newThread();
    const { signature } = await sigpersist.save({ ...thread, version: 0, cms: file("first"), tags: ["mine"] });
    assert(signature.tags.includes("iin:123456789011"), String(signature.tags));
    await sigpersist.save({ ...thread, version: 1, cms: file("countersigned") });
    const decisions = await all(sigpersist.decisions({ ...thread, limit: 1 }));
    assert.deepEqual(
      decisions.map(({ hook, verdict, version }) => [hook, verdict, version]),
      [
        ["signer-tags", "accepted", 2],
        ["signer-tags", "accepted", 1],
      ],
    );
    assert.deepEqual(await all(sigpersist.decisions({ ...thread, verdict: "rejected" })), []);
  });
});

describe("the fake server's signatures", () => {
  it("are read by whatever the test gives", async () => {
    const asked: [string, boolean][] = [];
    const server = new FakeServer({
      inspect: (cms, verify) => {
        asked.push([cms, verify]);
        return { format: "cms", size: 1, sha256: "", signers: [] };
      },
    });
    const client = new Sigpersist({ url: "http://fake", token: "any", fetch: server.fetch });
    await client.save({ document: "d", thread: "t", version: 0, cms: "c1" });
    assert.equal((await client.verify({ document: "d", thread: "t" })).inspection.format, "cms");
    await client.inspect({ cms: "c2" });
    assert.deepEqual(asked, [
      ["c1", true],
      ["c2", false],
    ]);
    assert.deepEqual(await all(client.decisions()), []);
  });
});
