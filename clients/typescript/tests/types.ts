/** Uses that the types allow, and others that they forbid. The compiler is the test; nothing of this runs. */

import type { Sigpersist } from "sigpersist";

const thread = { document: "d", thread: "t" };

export async function drafts(sigpersist: Sigpersist, tags: string[] | undefined): Promise<void> {
  await sigpersist.save({ ...thread, version: 0, cms: "x", tags, stage: undefined });
  // @ts-expect-error the version that was signed over must be said
  await sigpersist.save({ ...thread, cms: "x" });
  // @ts-expect-error the version is that of the thread
  await sigpersist.countersign({ ...thread, version: 1 }, () => null);
  const saved = await sigpersist.countersign(thread, ({ signature }) => signature.trim());
  console.log(saved.evidence?.number);
}

export async function lists(sigpersist: Sigpersist, cursor: string | undefined): Promise<void> {
  const { next } = await sigpersist.signatures({ cursor, limit: 3 }).page();
  // @ts-expect-error there is no such filter
  console.log(next?.length, sigpersist.signatures({ tag: "x" }));
  for await (const { signature } of sigpersist.signatures()) console.log(signature.length);
  for await (const version of sigpersist.versions({ ...thread, omit: "signature" })) {
    // @ts-expect-error it was left out
    console.log(version.signature);
  }
}

export async function outcomes(sigpersist: Sigpersist): Promise<void> {
  for (const outcome of await sigpersist.saveMany([{ ...thread, version: 0, cms: new Uint8Array() }])) {
    if (outcome.error === undefined) console.log(outcome.signature.version, outcome.created);
    else if (outcome.error.is("version_conflict")) console.log(outcome.error.details.current_version);
    // @ts-expect-error it may be an error
    console.log(outcome.signature.version);
  }
}

export async function inspections(sigpersist: Sigpersist): Promise<void> {
  console.log((await sigpersist.verify(thread)).signature.version);
  const { inspection, ...rest } = await sigpersist.verify({ cms: "x" });
  console.log(inspection.signers[0]?.verdict?.indication);
  // @ts-expect-error a file is no version
  console.log(rest.signature);
}
