/** The client: each method is a request of a tenant's application. */

import { toBase64 } from "./bytes.js";
import { SigpersistError, TransportError } from "./errors.js";
import { Events } from "./events.js";
import { sendMany, type GetOutcome, type SaveOutcome } from "./many.js";
import type { ClientOptions, RequestOptions } from "./options.js";
import { pagesOf, type Page, type Pages } from "./pages.js";
import { Transport, type Answer, type Call } from "./transport.js";
import type * as Api from "./types.js";

/** Options of a save. */
export interface SaveOptions extends RequestOptions {
  /** Waits up to so many seconds, 25 at most, until the version has its place in the tenant's log: `evidence`. */
  waitForLogS?: number | undefined;
}

/** Options of a countersignature. */
export interface CountersignOptions extends SaveOptions {
  /** The number of times that `sign` is asked at most, if others are faster each time; 5 if left out. */
  rounds?: number | undefined;
}

/** Options of a deletion. */
export interface DeleteOptions extends RequestOptions {
  /** Deletes only if this is still the current version; otherwise the code is `precondition_failed`. */
  ifVersion?: number | undefined;
}

/** Options of reading a file. */
export interface FileOptions extends RequestOptions {
  /** The media types that it may have; if it has none of them, the code is `not_acceptable`. */
  types?: readonly string[] | undefined;
}

const ROUNDS = 5;
/** CMS, XML, and anything else. */
const FILE_TYPES = ["application/pkcs7-signature", "application/xml", "application/octet-stream"];

/**
 * A client of one tenant. It holds nothing but its options: make one for all of an application.
 *
 * ```ts
 * const sigpersist = new Sigpersist({ url: "https://sigpersist.example.com", token });
 * ```
 */
export class Sigpersist {
  /** Events: everything that happens to the tenant. */
  readonly events: Events;
  readonly #transport: Transport;

  constructor(options: ClientOptions) {
    this.#transport = new Transport(options);
    this.events = new Events(this.#transport);
  }

  /**
   * Saves a signature as the version after `draft.version`, the one that was signed over. If no answer comes, it is sent again
   * unchanged: the server saves it once. Never repeat a save over another version without having that one signed.
   *
   * @throws {@link SigpersistError} `version_conflict` if another version is the current one.
   */
  async save(draft: Api.Draft, options: SaveOptions = {}): Promise<Api.Saved> {
    const call: Call = { method: "POST", path: "/signature", body: inBase64(draft), repeatable: true };
    if (options.waitForLogS !== undefined) call.headers = { prefer: `wait=${options.waitForLogS}` };
    const { status, content } = await this.#transport.call<Api.ContentOf<"save_signature">>(call, options);
    return { signature: withText(content.signature), created: status === 201, evidence: content.evidence ?? undefined };
  }

  /**
   * Saves many signatures, 100 in a request, those of one thread in their order.
   *
   * @returns What became of each, in their order. An error of one of them is not thrown. Those that are told to wait (429, 503)
   * are sent again after that time, with later ones of their thread; what still has to wait after all attempts is an error with
   * `retryAfter`.
   * @throws an error of a whole request, perhaps after others were saved. Call it again with all: nothing is saved twice.
   */
  saveMany(drafts: Iterable<Api.Draft>, options: RequestOptions = {}): Promise<SaveOutcome[]> {
    return this.#many([...drafts], "/signatures", options, ({ status, signature }): SaveOutcome => {
      return { signature, created: status === 201 };
    });
  }

  /**
   * Saves what `sign` makes of the current version. If another writer is faster, `sign` is asked again, with what that one saved.
   * It returns the countersignature, with its tags and comment if they depend on the version, or null to leave the thread as it is.
   *
   * ```ts
   * await sigpersist.countersign({ document, thread }, (previous) => sign(previous.signature));
   * ```
   *
   * @param draft The thread, and whatever the new version should have besides the signature.
   * @returns The new version; with null, the current one, which was not `created`.
   * @throws {@link SigpersistError} `version_conflict` if others were faster in every round, `signature_not_found` if nothing was
   * signed yet.
   */
  async countersign(
    draft: Omit<Api.Draft, "cms" | "version">,
    sign: (previous: Api.Signature) => Promise<Api.Countersignature | null> | Api.Countersignature | null,
    options: CountersignOptions = {},
  ): Promise<Api.Saved> {
    const { document, thread } = draft;
    const rounds = options.rounds ?? ROUNDS;
    for (let round = 1; ; round++) {
      const previous = await this.get({ document, thread }, options);
      const signed = await sign(previous);
      options.signal?.throwIfAborted();
      if (signed === null) return { signature: previous, created: false, evidence: undefined };
      const fields = typeof signed === "string" || isBytes(signed) ? { cms: signed } : signed;
      try {
        return await this.save({ ...draft, ...fields, document, thread, version: previous.version }, options);
      } catch (error) {
        if (round >= rounds || !(error instanceof SigpersistError && error.is("version_conflict"))) throw error;
      }
    }
  }

  /**
   * Reads a version: the current one, or an earlier one by its number.
   *
   * @throws {@link SigpersistError} `signature_not_found`
   */
  async get(version: Api.VersionOf, options?: RequestOptions): Promise<Api.Signature> {
    return (await this.#read(version, {}, options)).signature;
  }

  /** Reads many versions, 100 in a request: each in their order, or why it can't be read. */
  getMany(versions: Iterable<Api.VersionOf>, options: RequestOptions = {}): Promise<GetOutcome[]> {
    // Nothing else that the objects may have, such as all of a draft.
    const items = Array.from(versions, ({ document, thread, version }) => ({ document, thread, version }));
    return this.#many(items, "/signatures/get", options, ({ signature }): GetOutcome => {
      return { signature: withText(signature) };
    });
  }

  /**
   * Reads a version as a file: CMS as DER or BER, XML as it was saved.
   *
   * @throws {@link SigpersistError} `signature_not_found`, or `not_acceptable` if it is of none of the types that you want.
   */
  getFile({ document, thread, version }: Api.VersionOf, options: FileOptions = {}): Promise<Api.StoredFile> {
    const call: Call = { method: "GET", path: "/signature", query: { document, thread, version }, repeatable: true };
    return this.#transport.file(call, options.types ?? FILE_TYPES, options);
  }

  /** Reads who signed, how and when: of a stored version, or of a signature that you have (`cms`). */
  inspect(version: Api.VersionOf, options?: RequestOptions): Promise<Api.Inspected>;
  inspect(file: Pick<Api.SignatureFile, "cms">, options?: RequestOptions): Promise<{ inspection: Api.Inspection }>;
  async inspect(
    subject: Api.VersionOf | Pick<Api.SignatureFile, "cms">,
    options?: RequestOptions,
  ): Promise<{ inspection: Api.Inspection }> {
    if (!("cms" in subject)) return this.#read(subject, { inspect: true }, options);
    return this.#post("/inspect", { cms: subject.cms }, options);
  }

  /** Inspects, and also gives a verdict on each signer. Records nothing. */
  verify(version: Api.VersionOf, options?: RequestOptions): Promise<Api.Inspected>;
  verify(file: Api.SignatureFile, options?: RequestOptions): Promise<{ inspection: Api.Inspection }>;
  async verify(
    subject: Api.VersionOf | Api.SignatureFile,
    options?: RequestOptions,
  ): Promise<{ inspection: Api.Inspection }> {
    if (!("cms" in subject)) return this.#read(subject, { verify: true }, options);
    return this.#post("/verify", subject, options);
  }

  /**
   * Verifies a stored version, and records the verdict with it. Each call records one more, so it is not repeated if no
   * answer came.
   */
  async recordVerdict(
    subject: Api.VersionOf & Omit<Api.SignatureFile, "cms">,
    options?: RequestOptions,
  ): Promise<Api.RecordedVerdict> {
    const call: Call = { method: "POST", path: "/signature/verify", body: inBase64(subject), repeatable: false };
    return (await this.#transport.call<Api.ContentOf<"verify_signature">>(call, options)).content.verdict;
  }

  /** Lists the recorded verdicts of a thread, or of one of its versions, the newest first. */
  verdicts(filter: Api.VerdictFilter, options?: RequestOptions): Pages<Api.RecordedVerdict> {
    return this.#list<Api.RecordedVerdict>("/signature/verdicts", "verdicts", filter, options);
  }

  /**
   * Deletes a thread with all its versions.
   *
   * @returns Whether it was there. False may mean that an attempt whose answer was lost has deleted it.
   */
  async delete(thread: Api.Thread, options: DeleteOptions = {}): Promise<boolean> {
    const query = { document: thread.document, thread: thread.thread };
    const call: Call = { method: "DELETE", path: "/signature", query, repeatable: true };
    if (options.ifVersion !== undefined) call.headers = { "if-match": `"${options.ifVersion}"` };
    try {
      await this.#transport.call(call, options);
      return true;
    } catch (error) {
      if (!(error instanceof SigpersistError)) throw error;
      const gone = error.is("precondition_failed") && error.details.current_version === 0;
      if (gone || error.is("signature_not_found")) return false;
      throw error;
    }
  }

  /** Lists the versions of a thread, the newest first. */
  versions(filter: Api.VersionFilter & { omit: "signature" }, options?: RequestOptions): Pages<Api.SignatureSummary>;
  versions(filter: Api.VersionFilter, options?: RequestOptions): Pages<Api.Signature>;
  versions(filter: Api.VersionFilter, options?: RequestOptions): Pages<Api.SignatureSummary> {
    return this.#list<Api.SignatureSummary>("/signature/versions", "versions", filter, options);
  }

  /**
   * Lists the current versions of all threads, the newest first.
   *
   * ```ts
   * for await (const { document } of sigpersist.signatures({ tags: ["signed"], omit: "signature" })) console.log(document);
   * ```
   */
  signatures(
    filter: Api.SignatureFilter & { omit: "signature" },
    options?: RequestOptions,
  ): Pages<Api.SignatureSummary>;
  signatures(filter?: Api.SignatureFilter, options?: RequestOptions): Pages<Api.Signature>;
  signatures(filter: Api.SignatureFilter = {}, options?: RequestOptions): Pages<Api.SignatureSummary> {
    return this.#list<Api.SignatureSummary>("/signatures", "signatures", filter, options);
  }

  /** Lists what hooks decided, the newest first. The token needs the scope `hooks:read`. */
  decisions(filter: Api.DecisionFilter = {}, options?: RequestOptions): Pages<Api.Decision> {
    return this.#list<Api.Decision>("/hooks/decisions", "decisions", filter, options);
  }

  /** Tells whose token it is, and what it allows. */
  async whoami(options?: RequestOptions): Promise<Api.Caller> {
    const call: Call = { method: "GET", path: "/whoami", repeatable: true };
    return (await this.#transport.call<Api.ContentOf<"get_caller">>(call, options)).content.caller;
  }

  /**
   * Calls any route, with the same retries and errors. For those that have no method here:
   *
   * ```ts
   * type Webhooks = ContentOf<"list_webhooks">;
   * const { content } = await sigpersist.call<Webhooks>({ method: "GET", path: "/webhooks", repeatable: true });
   * ```
   */
  call<Content>(call: Call, options?: RequestOptions): Promise<Answer<Content>> {
    return this.#transport.call<Content>(call, options);
  }

  async #read(version: Api.VersionOf, extra: object, options: RequestOptions | undefined): Promise<Api.Inspected> {
    const query = { document: version.document, thread: version.thread, version: version.version, ...extra };
    const call: Call = { method: "GET", path: "/signature", query, repeatable: true };
    const { content } = await this.#transport.call<Api.Inspected>(call, options);
    return content;
  }

  async #post(
    path: string,
    body: object,
    options: RequestOptions | undefined,
  ): Promise<{ inspection: Api.Inspection }> {
    const call: Call = { method: "POST", path, body: inBase64(body), repeatable: true };
    return (await this.#transport.call<Api.ContentOf<"inspect">>(call, options)).content;
  }

  #many<Outcome extends { error?: SigpersistError | undefined }>(
    items: Api.Thread[],
    path: string,
    options: RequestOptions,
    read: (one: { status: number; signature: Api.Schemas["SignatureContent"] }) => Outcome,
  ): Promise<(Outcome | { error: SigpersistError })[]> {
    const keepsOrder = path === "/signatures";
    const patience = { ...this.#transport.limits(options), signal: options.signal, keepsOrder };
    return sendMany(items, patience, async (batch) => {
      const call: Call = { method: "POST", path, body: { signatures: batch.map(inBase64) }, repeatable: true };
      const answer = await this.#transport.call<Api.ContentOf<"save_signatures">>(call, options);
      const { requestId, status } = answer;
      const { results } = answer.content;
      if (results.length !== batch.length) {
        const message = `The answer has ${results.length} outcomes of ${batch.length}.`;
        throw new TransportError("answer", message, { requestId, status });
      }
      return results.map(({ status, signature, error }) => {
        if (signature) return read({ status, signature });
        const { code = "", message = "", details, retry_after: retryAfter } = error ?? {};
        const facts = { status, code, message, details, retryAfter: retryAfter ?? undefined };
        return { error: new SigpersistError({ ...facts, requestId }) };
      });
    });
  }

  #list<Item>(
    path: string,
    name: "signatures" | "versions" | "verdicts" | "decisions",
    filter: object & { cursor?: string | undefined },
    options: RequestOptions | undefined,
  ): Pages<Item> {
    return pagesOf<Item>(filter.cursor, async (cursor): Promise<Page<Item>> => {
      const call: Call = { method: "GET", path, query: { ...filter, cursor }, repeatable: true };
      const { content } = await this.#transport.call<ListContent<Item>>(call, options);
      return { items: content[name], next: content.next ?? undefined, total: content.nb_results ?? undefined };
    });
  }
}

/** A body with its bytes in base64: the server takes that for the same signature as the file. */
function inBase64(body: object): object {
  const text = (value: unknown): unknown => (isBytes(value) ? toBase64(value) : value);
  return Object.fromEntries(Object.entries(body).map(([name, value]) => [name, text(value)]));
}

/** Also those of another realm, as in Jest. */
function isBytes(value: unknown): value is Uint8Array {
  return ArrayBuffer.isView(value);
}

/** A page of any list; each has one of these names. */
type ListContent<Item> = Record<"signatures" | "versions" | "verdicts" | "decisions", Item[]> & {
  next?: string | null;
  nb_results?: number | null;
};

/** The description of the API leaves the text out in lists only, so everywhere else it is there. */
function withText(signature: Api.Schemas["SignatureContent"]): Api.Signature {
  return signature as Api.Signature;
}
