/**
 * Following what happens to the tenant. Waits with long polls rather than on a stream: each is a plain request that proxies
 * pass on at once and that brings a fresh token, and its answer moves the number on even past events that were not asked for.
 */

import { SigpersistError, TransportError } from "./errors.js";
import type { RequestOptions } from "./options.js";
import { backoffMs, sleep } from "./time.js";
import type { Transport } from "./transport.js";
import type { EventType, SigpersistEvent } from "./types.js";

/** Selects a page of events. */
export interface EventFilter {
  /** The number of the last event that you know: 0 for all, `"now"` for those that happen from now on. */
  after: number | "now";
  /** The types of events; one that ends with a dot stands for all that begin so. All if left out. */
  types?: readonly EventType[] | undefined;
  /** The most events of a page, up to 1000; 100 if left out. */
  limit?: number | undefined;
}

/** Events, and the number to go on with. */
export interface EventPage {
  events: SigpersistEvent[];
  /** Store it, and pass it as `after` of the next request. */
  next: number;
}

/** Options of following. */
export interface FollowOptions extends EventFilter {
  /** Ends the iteration. */
  signal?: AbortSignal | undefined;
  /** Called with each failure that is retried, such as during a restart of the server. For your log. */
  onRetry?: ((error: SigpersistError | TransportError) => void) | undefined;
}

/** Events without end. Each number is seen once, in order and without gaps; a loop that begins again goes on with the next. */
export interface EventFollower extends AsyncIterable<SigpersistEvent> {
  /**
   * The number to store once you have handled the event that you were given last, and to follow `after` next time. It also moves
   * on while none of the types that you follow happens. Undefined until the server has told where `"now"` is.
   */
  readonly after: number | undefined;
}

const LIMIT = 100;
/** The longest that the server waits. */
const WAIT_S = 25;
const TIMEOUT_MS = 40_000;

/** Reads what happened, and waits for more. The token needs the scope `events:read`. */
export class Events {
  readonly #transport: Transport;

  /** @internal */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Reads a page of events; with `waitS`, waits for up to so many seconds if there is none yet. */
  async list(filter: EventFilter & { waitS?: number | undefined }, options?: RequestOptions): Promise<EventPage> {
    const { after, types, limit = LIMIT, waitS } = filter;
    const query = { after, types, limit, wait: waitS };
    const call = { method: "GET", path: "/events", query, repeatable: true } as const;
    return (await this.#transport.call<EventPage>(call, options)).content;
  }

  /**
   * The number of the last event. If it is less than the number that you stored, that one is of another log, or the database
   * went back in time: then handle everything again, from 0.
   */
  async last(options?: RequestOptions): Promise<number> {
    return (await this.list({ after: "now", limit: 1 }, options)).next;
  }

  /**
   * Follows what happens, for as long as you like. Reconnects by itself, and throws only what waiting does not mend, such as a
   * token that is not valid.
   *
   * ```ts
   * const events = sigpersist.events.follow({ after: await load(), signal });
   * for await (const event of events) {
   *   await handle(event); // sees an event again if it is interrupted here
   *   await store(events.after);
   * }
   * ```
   */
  follow(options: FollowOptions): EventFollower {
    let after = options.after === "now" ? undefined : options.after;
    const read = (failures: number) => this.#next(options, after, failures);
    async function* run(): AsyncGenerator<SigpersistEvent, void, undefined> {
      for (let failures = 0; options.signal?.aborted !== true;) {
        const page = await read(failures);
        failures = page === undefined ? failures + 1 : 0;
        for (const event of page?.events ?? []) {
          after = event.number;
          yield event;
          if (stopped(options.signal)) return;
        }
        after = page?.next ?? after;
      }
    }
    return {
      get after() {
        return after;
      },
      [Symbol.asyncIterator]: run,
    };
  }

  /** The next page; undefined if there was none, because of a failure that may pass or because the signal was aborted. */
  async #next(options: FollowOptions, after: number | undefined, failures: number): Promise<EventPage | undefined> {
    const { types, limit, signal, onRetry } = options;
    try {
      // Fixes the number of "now" without waiting, so that nothing is missed if a later request fails.
      const filter = after === undefined ? { after: "now" as const } : { after, waitS: WAIT_S };
      return await this.list({ ...filter, types, limit }, { signal, timeoutMs: TIMEOUT_MS, attempts: 1 });
    } catch (error) {
      if (stopped(signal)) return undefined;
      if (!passes(error)) throw error;
      onRetry?.(error);
      await sleep(Math.max(backoffMs(failures + 1), (error.retryAfter ?? 0) * 1000), signal).catch(() => undefined);
      return undefined;
    }
  }
}

/** Reads the signal anew: it may have been aborted meanwhile. */
function stopped(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

/** Whether the failure goes away if one waits. */
function passes(error: unknown): error is SigpersistError | TransportError {
  if (error instanceof SigpersistError) return [429, 500, 503].includes(error.status);
  return (
    error instanceof TransportError && (error.problem !== "answer" || [200, 502, 503, 504].includes(error.status ?? 0))
  );
}
