/** Threads, versions and events of the fake server, in memory, with the server's rules. Knows nothing of HTTP. */

import { fromBase64, toHex, utf8 } from "./bytes.js";
import type { Draft, Schemas, SigpersistEvent, Thread } from "./types.js";

/** A version as it is stored. */
export type Stored = Schemas["SignatureContent"] & { signature: string };

/** Reason why a request is refused. */
export interface FakeRefusal {
  status: number;
  code: string;
  message: string;
  details?: unknown;
}

interface StoredThread extends Thread {
  id: number;
  versions: Stored[];
}

/** A draft as it arrives: its bytes are in base64. */
export type Sent = Draft & { cms: string };

/** Result of a save. */
export interface FakeSaved {
  version: Stored;
  created: boolean;
  /** The number of its event. */
  number: number;
}

export const NOT_FOUND: FakeRefusal = {
  status: 404,
  code: "signature_not_found",
  message: "There is no such signature.",
};

/** The log's tree, which real servers name at random. */
const TREE = "fa4efa4efa4efa4efa4efa4efa4efa4e";

export class FakeStore {
  /** Events; the first has the number 1. */
  readonly events: SigpersistEvent[] = [];
  /** In the order in which their first versions were saved. */
  #threads: StoredThread[] = [];
  #lastId = 0;
  readonly #waiting = new Set<() => void>();

  /** Saves a version; answers an identical request with what it has saved. */
  async save(draft: Sent): Promise<FakeSaved | FakeRefusal> {
    // Before anything is looked at, so that nothing comes between the look and the change.
    const sha256 = await digest(draft.cms);
    const over = draft.version;
    const thread = this.find(draft) ?? {
      id: ++this.#lastId,
      document: draft.document,
      thread: draft.thread,
      versions: [],
    };
    const created = savedOver(draft, thread, over);
    const earlier = thread.versions[over];
    if (earlier !== undefined && same(earlier, created)) {
      return { version: earlier, created: false, number: this.#numberOf(earlier) };
    }
    const current = thread.versions.length;
    if (over !== current) return conflict(current);
    if (current === 0) this.#threads.push(thread);
    thread.versions.push(created);
    const { document, version, stage, tags } = created;
    const number = this.#happened({
      ...{ type: "version.saved", document, thread: thread.thread, version },
      ...{ ...(stage == null ? {} : { stage }), tags, sha256 },
    });
    return { version: created, created: true, number };
  }

  /** Deletes a thread; only if its current version is this one, if one is given. */
  async delete(where: Thread, ifVersion: number | undefined): Promise<FakeRefusal | undefined> {
    const last = this.find(where)?.versions.at(-1);
    const sha256 = await digest(last?.signature ?? "");
    const current = this.find(where)?.versions.length ?? 0;
    if (ifVersion !== undefined && ifVersion !== current) {
      const message = `The request's precondition failed: the current version is ${current}.`;
      return { status: 412, code: "precondition_failed", message, details: { current_version: current } };
    }
    if (current === 0) return NOT_FOUND;
    this.#threads = this.#threads.filter((thread) => !isIn(thread, where));
    for (const [index, event] of this.events.entries()) {
      if (isIn(event, where) && event.type !== "signature.deleted") {
        this.events[index] = { id: event.id, number: event.number, type: "erased", at: event.at };
      }
    }
    const { document, thread } = where;
    this.#happened({ type: "signature.deleted", document, thread, version: current, sha256 });
    return undefined;
  }

  /** The thread, if it is there. */
  find(where: Thread): StoredThread | undefined {
    return this.#threads.find((thread) => isIn(thread, where));
  }

  /** The current versions of all threads, those of the newest threads first. */
  current(): Stored[] {
    return this.#threads.flatMap(({ versions }) => versions.slice(-1)).reverse();
  }

  /** Resolves when something happens, after so many milliseconds, or when the signal is aborted. */
  wait(ms: number, signal: AbortSignal | null | undefined): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", end);
        this.#waiting.delete(end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal?.addEventListener("abort", end, { once: true });
      this.#waiting.add(end);
    });
  }

  #happened(event: Omit<SigpersistEvent, "id" | "number" | "at">): number {
    const number = this.events.length + 1;
    const { type, ...members } = event;
    this.events.push({ id: `${TREE}-${number}`, number, type, at: now(), ...members });
    for (const end of this.#waiting) end();
    return number;
  }

  #numberOf(stored: Stored): number {
    const event = this.events.filter((event) => isIn(event, stored) && event.version === stored.version).at(-1);
    return event?.number ?? 0;
  }
}

/** The version that a draft would be. */
function savedOver(draft: Sent, { id, versions }: StoredThread, over: number): Stored {
  const at = now();
  return {
    id,
    version: over + 1,
    document: draft.document,
    thread: draft.thread,
    stage: draft.stage ?? null,
    signature: draft.cms,
    parent: over === 0 ? null : over,
    version_created_by: draft.version_created_by == null ? null : String(draft.version_created_by),
    version_created_at: at,
    version_comment: draft.version_comment ?? null,
    tags: [...new Set(typeof draft.tags === "string" ? [draft.tags] : draft.tags)],
    created_at: versions[0]?.created_at ?? at,
    updated_at: at,
  };
}

/** Whether an earlier request was identical. The order of tags does not matter. */
function same(one: Stored, other: Stored): boolean {
  const facts = ({ signature, stage, version_created_by, version_comment, tags }: Stored) =>
    JSON.stringify([signature, stage, version_created_by, version_comment, [...tags].sort()]);
  return facts(one) === facts(other);
}

function conflict(current: number): FakeRefusal {
  const message =
    `The signature's current version is ${current}, not the one that you signed over. ` +
    "Read it, sign over it and send it again.";
  return { status: 409, code: "version_conflict", message, details: { current_version: current } };
}

function isIn(one: { document?: string | null; thread?: string | null }, thread: Thread): boolean {
  return one.document === thread.document && one.thread === thread.thread;
}

/** SHA-256 of a signature's bytes: decoded if it is base64, otherwise the text. */
export async function digest(signature: string): Promise<string> {
  return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytesOf(signature))));
}

/** A signature's bytes. */
export function bytesOf(signature: string): Uint8Array<ArrayBuffer> {
  return fromBase64(signature) ?? utf8(signature);
}

/** Now, as the server writes times. */
function now(): string {
  return new Date().toISOString().slice(0, 19).replace("T", " ");
}
