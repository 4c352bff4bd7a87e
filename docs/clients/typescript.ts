// A story that shows how an application lives with the server, on the package `sigpersist` (../../clients/typescript).
//
// Needs Node 20 or later:
//
//     (cd ../../clients/typescript && npm ci && npm run build)
//     npm ci && SIGPERSIST_KEY_ID=… SIGPERSIST_SECRET=… npm start

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Sigpersist, SigpersistError, type Signature } from "sigpersist";
import { tokensOf } from "sigpersist/tokens";

const data = process.env.SIGPERSIST_EXAMPLE_DATA ?? "../../tests/data";
const cms = (name: string) => readFileSync(join(data, `${name}.cms.b64`), "utf8").trim();
const [byAigerim, byBoth] = [cms("first"), cms("countersigned")];

const { SIGPERSIST_URL: url = "http://127.0.0.1:8080", SIGPERSIST_KEY_ID: keyId, SIGPERSIST_SECRET: secret } = process.env;
assert(keyId && secret, "SIGPERSIST_KEY_ID and SIGPERSIST_SECRET must be set");
const sigpersist = new Sigpersist({ url, token: tokensOf({ keyId, secret, subject: "example-ts" }) });

const run = randomUUID().slice(0, 8);
const contract = { document: `contract-${run}`, thread: "approval" };

console.log("Aigerim signs: the first version, over version 0");
const draft = { ...contract, version: 0, cms: byAigerim, tags: [run], version_created_by: "aigerim" };
const first = await sigpersist.save(draft);
assert(first.created && first.signature.version === 1);

console.log("The answer is lost, and the same is sent again: still version 1, stored once");
// The client does this by itself; here, the whole application was restarted.
const again = await sigpersist.save(draft);
assert.deepEqual(again, { ...first, created: false });

console.log("Daulet countersigns version 1 at his desk, but his telephone is faster");
const tags = [run, "signed"];
// Where a person looks at the current version and signs it.
const sign = async (current: Signature) => {
  const { inspection } = await sigpersist.inspect({ cms: current.signature });
  if (inspection.signers.some(({ certificate }) => certificate?.iin === "123456789022")) return null; // he has signed already
  await sigpersist.save({ ...contract, version: 1, cms: byBoth, tags, version_comment: "on the telephone" });
  return byBoth;
};
const { signature: current } = await sigpersist.countersign({ ...contract, tags, version_comment: "at the desk" }, sign);
assert.equal(current.version, 2);
assert.equal(current.version_comment, "on the telephone");

console.log("Saving over version 1 once more is refused");
await assert.rejects(sigpersist.save({ ...contract, version: 1, cms: byAigerim }), (error) => {
  assert(error instanceof SigpersistError && error.is("version_conflict"));
  assert.equal(error.details.current_version, 2);
  return true;
});

console.log("Both versions are there, byte for byte");
assert.equal((await sigpersist.get(contract)).signature, byBoth);
assert.equal((await sigpersist.get({ ...contract, version: 1 })).signature, byAigerim);

console.log("Verified: both signatures are intact");
const { signers } = (await sigpersist.verify(contract)).inspection;
for (const { certificate, verdict } of signers) {
  // INDETERMINATE unless the tenant trusts the authority that issued the certificate.
  console.log(`  IIN ${certificate?.iin}: ${verdict?.indication}`);
}
assert.deepEqual(signers.map(({ verdict }) => verdict?.intact), [true, true]);

console.log("Five threads of one tag, listed in pages of two");
for (const number of [0, 1, 2, 3]) {
  await sigpersist.save({ ...draft, document: `annex-${number}-${run}` });
}
const listed: string[] = [];
for await (const { document } of sigpersist.signatures({ tags: [run], limit: 2, omit: "signature" })) listed.push(document);
assert.deepEqual(listed, [...[3, 2, 1, 0].map((number) => `annex-${number}-${run}`), contract.document]);

console.log("What happened to the contract, in order");
const happened: string[] = [];
for await (const { type, document, version, number } of sigpersist.events.follow({ after: 0 })) {
  if (document === contract.document) happened.push(`${type} ${version}`);
  if (happened.length === 2) {
    console.log(`  up to event ${number}, which an application stores`);
    break;
  }
}
assert.deepEqual(happened, ["version.saved 1", "version.saved 2"]);

console.log("Deleted; doing it again does no harm");
for (const document of listed) assert.equal(await sigpersist.delete({ ...contract, document }), true);
assert.equal(await sigpersist.delete(contract), false);
await assert.rejects(sigpersist.get(contract), { code: "signature_not_found" });
