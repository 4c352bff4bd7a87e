/** Waiting: pauses between attempts, and deadlines of requests. Both end early with the caller's signal. */

/** Resolves after so many milliseconds, or rejects with the signal's reason. */
export function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(reason(signal));
      return;
    }
    const aborted = () => {
      clearTimeout(timer);
      if (signal) reject(reason(signal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    }, ms);
    signal?.addEventListener("abort", aborted, { once: true });
  });
}

/** The pause after so many failures in a row: doubles up to half a minute, and differs from client to client. */
export function backoffMs(failures: number): number {
  return Math.min(100 * 2 ** failures, 30_000) * (0.5 + Math.random() / 2);
}

/** The seconds of a `Retry-After`, which is a number or a date. */
export function retryAfterSeconds(header: string | null): number | undefined {
  if (header === null || header.trim() === "") return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, (date - Date.now()) / 1000);
}

/**
 * Runs `work` with a signal that is aborted with the caller's, or after so many milliseconds. `AbortSignal.any` would do the
 * same, but the first versions of Node 20 lack it.
 */
export async function withDeadline<Result>(
  ms: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal, expired: () => boolean) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    controller.abort();
  }, ms);
  const aborted = () => {
    controller.abort(signal?.reason);
  };
  signal?.addEventListener("abort", aborted, { once: true });
  try {
    signal?.throwIfAborted();
    return await work(controller.signal, () => late);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", aborted);
  }
}

/** A signal's reason, which need not be an error. */
function reason(signal: AbortSignal): Error {
  return signal.reason as Error;
}
