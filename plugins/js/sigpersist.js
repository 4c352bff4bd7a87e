// Kit for plugins in JavaScript. `reported` makes the author read what an uncaught exception said and where it was
// thrown; `console` writes to the log. The world must import `sigpersist:hooks/log@1.1.0`.

import log from "sigpersist:hooks/log@1.1.0";

const MAX_FRAMES = 8;

/**
 * The functions of an interface. An exception that is no rejection ends the call, after its message and stack went to the
 * log. The server shows the last logged error as the reason of the hook's failure.
 */
export function reported(functions) {
  const entries = Object.entries(functions).map(([name, run]) => [
    name,
    (...values) => {
      try {
        return run(...values);
      } catch (error) {
        if (isRejection(error)) throw error;
        log.write("error", told(error));
        throw error;
      }
    },
  ]);
  return Object.fromEntries(entries);
}

/** A tagger throws one rejection, a validator a list of them. */
function isRejection(error) {
  const isOne = (value) => typeof value?.code === "string" && typeof value.message === "string";
  return !(error instanceof Error) && (Array.isArray(error) ? error.every(isOne) : isOne(error));
}

function told(error) {
  if (!(error instanceof Error)) return `uncaught: ${shown(error.payload ?? error)}`;
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
