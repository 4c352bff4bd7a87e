// Refuses versions with a signer whose signature does not hold by the certificates that the tenant trusts.

import cms from "sigpersist:hooks/cms@1.1.0";
import config from "sigpersist:hooks/config@1.1.0";
import verdicts from "sigpersist:hooks/verdicts@1.1.0";
import { reported } from "./sigpersist.js";

const SETTINGS = ["least", "countersigners"];
const HOLDS = {
  passed: ({ indication }) => indication === "total-passed",
  // Of what is intact, something may be wrong all the same: a type of the content that is not the one that was signed.
  intact: ({ intact, indication }) => intact === true && indication !== "total-failed",
};

function read(json) {
  const issues = [];
  let settings;
  try {
    settings = JSON.parse(json);
  } catch (error) {
    issues.push({ field: "", message: error.message });
  }
  if (settings === null || typeof settings !== "object" || Array.isArray(settings)) {
    return { issues: issues.length ? issues : [{ field: "", message: "must be an object" }] };
  }
  for (const name of Object.keys(settings).filter((name) => !SETTINGS.includes(name))) {
    const step = name.replaceAll("~", "~0").replaceAll("/", "~1");
    issues.push({ field: `/${step}`, message: "there is no such setting" });
  }
  const { least = "passed", countersigners = false } = settings;
  if (!Object.hasOwn(HOLDS, least)) issues.push({ field: "/least", message: "must be `passed` or `intact`" });
  if (typeof countersigners !== "boolean") issues.push({ field: "/countersigners", message: "must be true or false" });
  return { least, countersigners, issues };
}

const refuse = (code, message) => ({ code, message, field: "/cms" });

/** What the server answers; an error of its is thrown, its case in `payload`. */
function ask(question) {
  try {
    return question();
  } catch (error) {
    const { tag, val } = error.payload ?? error;
    throw [
      tag === "malformed"
        ? refuse("malformed-cms", unreadable(val))
        : refuse("not-cms", "The signature is neither CMS nor signed XML."),
    ];
  }
}

/** Some servers give the reason alone, others a sentence. */
function unreadable(why) {
  const reason = why.replace(/\.+$/, "");
  return reason.startsWith("It ") ? `The signature ${reason.slice(3)}.` : `The signature can't be read: ${reason}.`;
}

function label({ certificate }) {
  const common = certificate?.subject.attributes.find(({ name }) => name === "CN");
  return common?.value ?? certificate?.subject.rfc4514 ?? "without a certificate";
}

export const lifecycle = reported({
  describe() {
    return { summary: "Refuses signers whose signatures do not hold by the certificates that the tenant trusts" };
  },

  validateConfig(json) {
    return read(json).issues;
  },
});

export const saveValidator = reported({
  validateSave(context, draft) {
    const settings = read(config.json());
    // Some servers judge what nobody signed, others refuse to.
    if (ask(() => cms.inspect()).signers.length === 0) throw [refuse("not-signed", "Nobody has signed it.")];
    const judgement = ask(() => verdicts.judge());
    const refused = (signers, who) =>
      signers
        .filter(({ verdict }) => !HOLDS[settings.least](verdict))
        .map((signer) =>
          refuse(`signer-not-${settings.least}`, `The ${who} ${label(signer)} does not hold: ${signer.verdict.explanation}`),
        );
    const rejections = refused(judgement.signers, "signer");
    if (settings.countersigners) rejections.push(...refused(judgement.countersigners, "countersigner"));
    if (rejections.length) throw rejections;
    return { warnings: [], annotations: [] };
  },
});
