/**
 * Names for the types of requests and answers. Fields are called as in the API, so that its reference holds here too.
 */

import type { components, operations } from "./openapi.js";

/** All schemas of the API's description that applications meet, under the names that it gives them. */
export type Schemas = components["schemas"];

/** Lets optional fields be undefined, too, which leaves them out. */
type Loose<Fields> = {
  [Name in keyof Fields]: undefined extends Fields[Name] ? Fields[Name] | undefined : Fields[Name];
};
type Query<Operation extends keyof operations> = Loose<NonNullable<operations[Operation]["parameters"]["query"]>>;
type Body<Operation extends "save_signature" | "verify"> = Loose<
  operations[Operation]["requestBody"]["content"]["application/json"]
>;
/** Content of an operation's answer, by the operation's id. */
export type ContentOf<Operation extends keyof operations> =
  Success<operations[Operation]["responses"]> extends { content?: infer Content } ? NonNullable<Content> : never;

type Success<Responses> = Responses extends { 200: infer Response }
  ? Json<Response>
  : Responses extends { 201: infer Response }
    ? Json<Response>
    : never;
type Json<Response> = Response extends { content: { "application/json": infer Body } } ? Body : never;

/** A thread: the versions of one signature. */
export interface Thread {
  /** The document's id. */
  document: string;
  /** The process in which the document is signed. */
  thread: string;
}

/** A version of a thread; the current one if `version` is left out. */
export interface VersionOf extends Thread {
  version?: number | undefined;
}

/** A version with its signature, exactly as it was saved. */
export type Signature = Schemas["SignatureContent"] & { signature: string };

/** A version without its signature, as lists with `omit: "signature"` have it. */
export type SignatureSummary = Omit<Schemas["SignatureContent"], "signature">;

/** A signature that need not be stored, to be read or verified. */
export interface SignatureFile extends Omit<Body<"verify">, "cms" | "content"> {
  /** CMS in base64 or PEM, XML, or the bytes of a file of these. */
  cms: string | Uint8Array;
  /** The content of a detached signature: its bytes, or these in base64. */
  content?: string | Uint8Array | null | undefined;
}

/** A signature to save. */
export interface Draft
  extends Thread, SignatureFile, Omit<Body<"save_signature">, keyof Thread | keyof SignatureFile | "version" | "tags"> {
  /** The version that was signed over: 0 for a first signature. */
  version: number;
  /** Tags of the new version. It has none of those of the version before, unless you give them again. */
  tags?: readonly string[] | null | undefined;
}

/** A countersignature, as `sign` returns it: the text or bytes of the signature, or a draft with further fields. */
export type Countersignature = string | Uint8Array | Omit<Draft, keyof Thread | "version">;

/** A version that was saved. */
export interface Saved {
  signature: Signature;
  /** False if an identical request had saved it before, perhaps an earlier attempt of this call. */
  created: boolean;
  /** The place in the tenant's log, if the save waited for it. */
  evidence: Schemas["Evidence"] | undefined;
}

/** Contents of a signature: who signed, how and when; after verification, also the verdict on each signer. */
export type Inspection = Schemas["Inspection"];

/** A stored version, and what is in its signature. */
export interface Inspected {
  signature: Signature;
  inspection: Inspection;
}

/** A version as a file. */
export interface StoredFile {
  /** The signature: CMS as DER or BER, XML as it was saved. */
  data: Uint8Array;
  /** Its media type, such as `application/pkcs7-signature`. */
  contentType: string;
  /** The name that the server suggests. It has no folder in it. */
  filename: string;
  version: number;
}

/** A verdict that was recorded with a version. */
export type RecordedVerdict = Schemas["VerdictContent"];

/** A decision of a hook. */
export type Decision = Schemas["RecordedContent"];

/** Selects signatures. All current versions if it is empty. */
export interface SignatureFilter extends Omit<Query<"list_signatures">, "tags" | "omit" | "fields"> {
  /** Tags, of which any is enough, or all with `tags_match: "all"`. */
  tags?: readonly string[] | undefined;
  /** Leaves the signatures themselves out, which makes pages much smaller. */
  omit?: "signature" | undefined;
}

/** Selects versions of a thread. */
export interface VersionFilter extends Thread, Omit<Query<"list_versions">, keyof Thread | "omit"> {
  /** Leaves the signatures themselves out, which makes pages much smaller. */
  omit?: "signature" | undefined;
}

/** Selects recorded verdicts of a thread. */
export type VerdictFilter = Query<"list_verdicts">;

/** Selects decisions of hooks. */
export type DecisionFilter = Query<"list_decisions">;

/** The tenant and the scopes of a token. */
export type Caller = Schemas["CallerContent"];

/** The types of events that the documentation names; there will be more. */
export type EventType =
  | "version.saved"
  | "version.imported"
  | "version.backfilled"
  | "version.refused"
  | "signature.deleted"
  | "verdict.recorded"
  | "decisions.digest"
  | "audit.head"
  | "log.continues"
  | "erased"
  | "lost"
  | "webhook.test"
  // Keeps the completion of the others in editors.
  | (string & {});

/** Something that happened to the tenant. Skip types that you don't know. */
export type SigpersistEvent = Omit<Schemas["HappeningContent"], "type"> & { type: EventType };
