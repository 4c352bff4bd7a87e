/** Options of a client, and of each of its calls. */

/**
 * Gives a token for each attempt. It should keep the token while it is valid. If the server refused the last one,
 * it is called once more with that token, and should get another.
 */
export type TokenSource = (rejected?: string) => string | Promise<string>;

/** Options of a client. */
export interface ClientOptions {
  /** The server's address, such as `https://sigpersist.example.com`. */
  url: string;
  /** The token (JWT), or a function that gives one. `sigpersist/tokens` has one that signs them. */
  token: string | TokenSource;
  /** The most time that one attempt may take, with its answer; 60,000 if left out. */
  timeoutMs?: number | undefined;
  /** The number of attempts of a call; 5 if left out. 1 repeats nothing. */
  attempts?: number | undefined;
  /** The longest `Retry-After` that is waited for; 30 if left out. A longer one is thrown as an error at once. */
  longestWaitS?: number | undefined;
  /** The `traceparent` (W3C Trace Context) of requests, or a function that gives the current one. */
  traceparent?: string | (() => string | undefined) | undefined;
  /** Headers for something between you and the server, such as a gateway. */
  headers?: Record<string, string> | undefined;
  /** Used instead of the platform's `fetch`, for tests, proxies and agents. */
  fetch?: typeof fetch | undefined;
}

/** Options of one call. */
export interface RequestOptions {
  /** Cancels the call, also while it waits for the next attempt. It rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Overrides the client's. */
  timeoutMs?: number | undefined;
  /** Overrides the client's. */
  attempts?: number | undefined;
  /** The call's id in the server's log: up to 128 letters, digits and `-_.:`. A random one if left out. */
  requestId?: string | undefined;
  /** Overrides the client's. */
  traceparent?: string | undefined;
}
