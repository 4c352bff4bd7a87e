// Refuses versions with tags that are not in a vocabulary of regular expressions, or that lack a required tag.

import config from "sigpersist:hooks/config@1.1.0";
import { reported } from "./sigpersist.js";

const SETTINGS = ["allowed", "required"];

/** The patterns of one setting, and what is wrong with them. */
function patterns(settings, name, issues) {
  const texts = settings[name] ?? [];
  if (!Array.isArray(texts)) {
    issues.push({ field: `/${name}`, message: "must be an array of regular expressions" });
    return [];
  }
  return texts.flatMap((text, index) => {
    try {
      if (typeof text !== "string") throw new SyntaxError("must be a regular expression");
      // On its own first: `a)|(?:b` is a mistake, whatever it becomes below.
      new RegExp(text, "u");
      return [{ text, regex: new RegExp(`^(?:${text})$`, "u") }];
    } catch (error) {
      issues.push({ field: `/${name}/${index}`, message: error.message });
      return [];
    }
  });
}

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
  const [allowed, required] = SETTINGS.map((name) => patterns(settings, name, issues));
  return { allowed, required, issues };
}

export const lifecycle = reported({
  describe() {
    return { summary: "Refuses tags that are not in the vocabulary, and versions that lack a required one" };
  },

  validateConfig(json) {
    return read(json).issues;
  },
});

export const saveValidator = reported({
  validateSave(context, draft) {
    const { allowed, required } = read(config.json());
    const refuse = (code, message) => ({ code, message, field: "/tags" });
    const rejections = [
      ...draft.tags
        .filter((tag) => allowed.length && !allowed.some(({ regex }) => regex.test(tag)))
        .map((tag) => refuse("tag-not-allowed", `The tag ${tag} is not in the vocabulary.`)),
      ...required
        .filter(({ regex }) => !draft.tags.some((tag) => regex.test(tag)))
        .map(({ text }) => refuse("tag-missing", `No tag matches ${text}.`)),
    ];
    if (rejections.length) throw rejections;
    return { warnings: [], annotations: [] };
  },
});
