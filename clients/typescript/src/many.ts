/** Many items in few requests, each with an outcome of its own: what is sent together, and which of it is sent again. */

import { SigpersistError } from "./errors.js";
import { sleep } from "./time.js";
import type { Signature, SignatureSummary, Thread } from "./types.js";

/** What became of one of many drafts: it was saved, also if an identical request had done so before, or refused. */
export type SaveOutcome =
  | { signature: SignatureSummary; created: boolean; error?: undefined }
  | { error: SigpersistError; signature?: undefined; created?: undefined };

/** One of many versions that were read, or the reason why it can't be. */
export type GetOutcome =
  { signature: Signature; error?: undefined } | { error: SigpersistError; signature?: undefined };

/** How long and how often to send again those that have to wait. */
export interface Patience {
  attempts: number;
  longestWaitS: number;
  signal: AbortSignal | undefined;
  /** Whether none of a thread is sent after one that failed: a later one could take its place. */
  keepsOrder: boolean;
}

/** The most that the server takes in one request. */
export const MOST = 100;

/** Sends items in their order, and those that have to wait again. `send` sends those of one request. */
export async function sendMany<Item extends Thread, Outcome extends { error?: SigpersistError | undefined }>(
  items: readonly Item[],
  patience: Patience,
  send: (batch: Item[]) => Promise<Outcome[]>,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const failed = new Map<string, SigpersistError>();
  for (let start = 0; start < items.length; start += MOST) {
    const all = items.slice(start, start + MOST).map((item, index) => ({ item, place: start + index }));
    let left = all.filter(({ item, place }) => {
      const earlier = failed.get(keyOf(item));
      if (earlier !== undefined) outcomes[place] = { error: earlierFailed(earlier) } as Outcome;
      return earlier === undefined;
    });
    for (let attempt = 1; left.length > 0; attempt++) {
      const sent = left;
      const got = await send(sent.map(({ item }) => item)).catch((error: unknown) => {
        throw located(error, (index) => sent[index]?.place);
      });
      got.forEach((outcome, index) => {
        const place = sent[index]?.place;
        if (place !== undefined) outcomes[place] = outcome;
      });
      if (attempt >= patience.attempts) break;
      const threads = new Set<string>();
      let waitS = 0;
      left = sent.filter(({ item, place }) => {
        const error = outcomes[place]?.error;
        if (error === undefined) return false;
        const thread = keyOf(item);
        const { retryAfter } = error;
        if ((error.status === 429 || error.status === 503) && retryAfter !== undefined) {
          if (retryAfter > patience.longestWaitS) return false;
          waitS = Math.max(waitS, retryAfter);
        } else if (!(error.code === "earlier_failed" && threads.has(thread))) {
          // Otherwise it came after one that has to wait, so the server did not try it.
          return false;
        }
        threads.add(thread);
        return true;
      });
      // Never too early, and not all clients at once.
      if (left.length > 0) await sleep(waitS * 1000 * (1 + Math.random() / 10), patience.signal);
    }
    if (!patience.keepsOrder) continue;
    for (const { item, place } of all) {
      const error = outcomes[place]?.error;
      if (error !== undefined) failed.set(keyOf(item), error);
    }
  }
  return outcomes;
}

function keyOf({ document, thread }: Thread): string {
  return JSON.stringify([document, thread]);
}

/** What the server says of those that come after one of their thread that was not saved, in the same request. */
function earlierFailed({ requestId }: SigpersistError): SigpersistError {
  const message =
    "An earlier signature of this thread was not saved, so this one was not tried. Send both again when you know why.";
  return new SigpersistError({ status: 424, code: "earlier_failed", message, requestId });
}

/** An error of a whole request, in which the place of an item is that among all. */
function located(error: unknown, placeOf: (index: number) => number | undefined): unknown {
  if (!(error instanceof SigpersistError && error.is("invalid_parameter"))) return error;
  const [, index, rest = ""] = /^\/signatures\/(\d+)(\/.*)?$/.exec(error.details.field) ?? [];
  const place = index === undefined ? undefined : placeOf(Number(index));
  if (place === undefined) return error;
  const { status, code, message, requestId, retryAfter } = error;
  const details = { ...error.details, field: `/signatures/${place}${rest}` };
  return new SigpersistError({ status, code, message, details, requestId, retryAfter });
}
