// Kit for plugins in JavaScript. `reported` makes the author read what an uncaught exception said and where it was
// thrown, and what is wrong with the shape of a result; `console` writes to the log; asking for the time of day throws. The
// world must import `sigpersist:hooks/log@1.1.0`.

import log from "sigpersist:hooks/log@1.1.0";

const MAX_FRAMES = 8;

const isText = (value) => typeof value === "string";
const isOptionalText = (value) => value === undefined || value === null || isText(value);
const listOf = (isOne) => (value) => Array.isArray(value) && value.every(isOne);
const record = (members) => (value) =>
  value !== null && typeof value === "object" && Object.entries(members).every(([name, is]) => is(value[name]));

const isRejection = record({ code: isText, message: isText, field: isOptionalText });
const isAcceptance = record({ warnings: listOf(isText), annotations: listOf(record({ name: isText, value: isText })) });
const ACCEPTANCE = "{ warnings: [text], annotations: [{ name: text, value: text }] }";
const REJECTION = "{ code: text, message: text, field: text or undefined }";

/** What each function of the contract returns, and throws to reject. */
const CONTRACT = {
  describe: { returns: record({ summary: isText }), shape: "{ summary: text }" },
  validateConfig: { returns: listOf(record({ field: isText, message: isText })), shape: "[{ field: text, message: text }]" },
  tag: {
    returns: record({ set: listOf(isText), remove: listOf(isText) }),
    shape: "{ set: [text], remove: [text] }",
    throws: isRejection,
    rejection: REJECTION,
  },
  validateSave: { returns: isAcceptance, shape: ACCEPTANCE, throws: listOf(isRejection), rejection: `[${REJECTION}]` },
  validateDelete: { returns: isAcceptance, shape: ACCEPTANCE, throws: listOf(isRejection), rejection: `[${REJECTION}]` },
};

/**
 * The functions of an interface. An exception that is no rejection ends the call, after its message and stack went to the
 * log. So does a result that is not as the contract wants it. The server shows the last logged error as the reason of the
 * hook's failure.
 */
export function reported(functions) {
  const entries = Object.entries(functions).map(([name, run]) => [
    name,
    (...values) => {
      const { returns, shape, throws, rejection } = CONTRACT[name] ?? {};
      let result;
      try {
        result = run(...values);
      } catch (error) {
        if (throws?.(error)) throw error;
        const isMeant = rejection && !(error instanceof Error);
        log.write("error", isMeant ? `to reject, ${name} must throw ${rejection}; ${told(error)}` : told(error));
        throw error;
      }
      if (!returns || returns(result)) return result;
      const wrong = new TypeError(`${name} must return ${shape}, but it returned ${shown(result)}`);
      log.write("error", wrong.message);
      throw wrong;
    },
  ]);
  return Object.fromEntries(entries);
}

function told(error) {
  if (!(error instanceof Error)) return `uncaught: ${shown(error?.payload ?? error)}`;
  const frames = String(error.stack ?? "").split("\n").map((frame) => frame.trim());
  const places = frames.filter((frame) => frame && !frame.includes("sigpersist.js")).slice(0, MAX_FRAMES);
  const payload = error.payload === undefined ? "" : ` ${shown(error.payload)}`;
  return [`uncaught ${error}${payload}`, ...places].join(", ");
}

function shown(value) {
  if (typeof value === "string") return value;
  try {
    return JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? String(inner) : inner)) ?? String(value);
  } catch {
    return String(value);
  }
}

const writes = (level) => (...values) => log.write(level, values.map(shown).join(" "));

globalThis.console ??= {
  debug: writes("debug"),
  log: writes("info"),
  info: writes("info"),
  warn: writes("warn"),
  error: writes("error"),
};

// A plugin has no clock: without this, asking for the time ends the call without a word.
function noClock() {
  throw new Error("a plugin has no clock: take the time of the request from `context.nowMs`");
}

const WithClock = globalThis.Date;
globalThis.Date = new Proxy(WithClock, {
  apply: noClock,
  construct: (target, values, kind) => (values.length ? Reflect.construct(target, values, kind) : noClock()),
  get: (target, name) => (name === "now" ? noClock : Reflect.get(target, name)),
});
WithClock.prototype.constructor = globalThis.Date;
Object.defineProperty(globalThis, "performance", { value: { now: noClock }, configurable: true, writable: true });
