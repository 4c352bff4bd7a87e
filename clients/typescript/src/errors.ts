/**
 * Errors of calls. `SigpersistError`: the server refused the request. `TransportError`: no answer of the server came. If the
 * caller's signal is aborted, a call rejects with the reason of that signal, like `fetch`. None of them has a token, a secret or
 * the text of a signature in it.
 */

import type { Schemas } from "./types.js";

/** A code of the server; there may be new ones. */
export type ErrorCode = Schemas["Code"] | (string & {});

/** The details of each code that has some. */
export interface ErrorDetails {
  body_timeout: Schemas["BodyTimeoutDetails"];
  cases_failed: Schemas["CasesFailedDetails"];
  hook_failed: Schemas["HookFailedDetails"];
  hook_rejected: Schemas["HookRejectedDetails"];
  insufficient_scope: Schemas["InsufficientScopeDetails"];
  invalid_parameter: Schemas["InvalidParameterDetails"];
  method_not_allowed: Schemas["MethodNotAllowedDetails"];
  not_ready: Schemas["NotReadyDetails"];
  payload_too_large: Schemas["PayloadTooLargeDetails"];
  plugin_bound: Schemas["PluginBoundDetails"];
  precondition_failed: Schemas["PreconditionFailedDetails"];
  quota_exceeded: Schemas["QuotaExceededDetails"];
  settings_refused: Schemas["SettingsRefusedDetails"];
  signature_not_accepted: Schemas["SignatureNotAcceptedDetails"];
  version_conflict: Schemas["VersionConflictDetails"];
}

/** The details that come with a code. */
export type DetailsOf<Code> = Code extends keyof ErrorDetails ? ErrorDetails[Code] : undefined;

/** The facts of a refusal, as the server sends them. */
export interface Refusal {
  status: number;
  code: string;
  message: string;
  details?: unknown;
  requestId: string;
  retryAfter?: number | undefined;
}

/** A request that the server refused. Decide by `code`, show `message` to people, and log `requestId`. */
export class SigpersistError extends Error {
  override readonly name = "SigpersistError";
  /** The status of HTTP. */
  readonly status: number;
  /** Tells what is wrong, and never changes. */
  readonly code: ErrorCode;
  /** Further facts of some codes. `is` gives them their type. */
  readonly details: unknown;
  /** Identifies the request in the server's log. */
  readonly requestId: string;
  /** The seconds after which it may be repeated; undefined if waiting does not help. */
  readonly retryAfter: number | undefined;

  constructor(refusal: Refusal) {
    super(refusal.message);
    this.status = refusal.status;
    this.code = refusal.code;
    this.details = refusal.details;
    this.requestId = refusal.requestId;
    this.retryAfter = refusal.retryAfter;
  }

  /**
   * Whether it has this code. If so, `details` have the type of that code:
   *
   * ```ts
   * if (error instanceof SigpersistError && error.is("version_conflict")) retryOver(error.details.current_version);
   * ```
   */
  is<Code extends Schemas["Code"]>(
    code: Code,
  ): this is SigpersistError & { readonly code: Code; readonly details: DetailsOf<Code> } {
    return this.code === code;
  }
}

/**
 * Reason why no answer came: the connection failed (`network`), it took too long (`timeout`), or what came is not an answer of
 * Sigpersist but, say, of a proxy in between (`answer`).
 */
export type TransportProblem = "network" | "timeout" | "answer";

/** A request without an answer of the server. Whether anything was done is not known; identical saves may be repeated. */
export class TransportError extends Error {
  override readonly name = "TransportError";
  readonly problem: TransportProblem;
  /** The id that the request was sent with; it is in the server's log if the request came there. */
  readonly requestId: string;
  /** The status of an answer that is not Sigpersist's. */
  readonly status: number | undefined;
  /** The seconds after which whoever answered wants to be asked again. */
  readonly retryAfter: number | undefined;

  constructor(
    problem: TransportProblem,
    message: string,
    facts: { requestId: string; status?: number; retryAfter?: number | undefined; cause?: unknown },
  ) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.problem = problem;
    this.requestId = facts.requestId;
    this.status = facts.status;
    this.retryAfter = facts.retryAfter;
  }
}
