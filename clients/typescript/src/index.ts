/**
 * Client of Sigpersist, which stores the electronic signatures of documents. Begin with `Sigpersist`; `sigpersist/tokens`
 * signs tokens, and `sigpersist/testing` stands in for the server in tests.
 *
 * @packageDocumentation
 */

export { Sigpersist } from "./client.js";
export type { CountersignOptions, DeleteOptions, FileOptions, SaveOptions } from "./client.js";
export { SigpersistError, TransportError } from "./errors.js";
export type { DetailsOf, ErrorCode, ErrorDetails, Refusal, TransportProblem } from "./errors.js";
export type { EventFilter, EventFollower, EventPage, Events, FollowOptions } from "./events.js";
export type { GetOutcome, SaveOutcome } from "./many.js";
export type { ClientOptions, RequestOptions, TokenSource } from "./options.js";
export type { Page, Pages } from "./pages.js";
export type { Answer, Call, QueryValue } from "./transport.js";
export type * from "./types.js";
export { Webhook, WebhookError } from "./webhook.js";
export type { WebhookEvent, WebhookHeaders, WebhookOptions } from "./webhook.js";
