export const SUMMARY = "Tags versions that have a comment";

const DEFAULTS = { tag: "commented" };

/** The mistakes in settings, each with its JSON pointer. */
export function check(settings) {
  const issues = Object.keys(settings)
    .filter((name) => !Object.hasOwn(DEFAULTS, name))
    .map((name) => ({ field: `/${name}`, message: "there is no such setting" }));
  const { tag } = { ...DEFAULTS, ...settings };
  if (typeof tag !== "string") issues.push({ field: "/tag", message: "must be a text" });
  return issues;
}

/** The changes of the version's tags. */
export function judge(settings, draft) {
  const { tag } = { ...DEFAULTS, ...settings };
  // A client can't claim it: without a comment, the tag is removed.
  return draft.comment === null ? { set: [], remove: [tag] } : { set: [tag], remove: [] };
}
