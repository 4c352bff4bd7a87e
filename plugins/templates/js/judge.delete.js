export const SUMMARY = "Refuses to delete threads that have a tag";

const DEFAULTS = { tag: "keep" };

/** The mistakes in settings, each with its JSON pointer. */
export function check(settings) {
  const issues = Object.keys(settings)
    .filter((name) => !Object.hasOwn(DEFAULTS, name))
    .map((name) => ({ field: `/${name}`, message: "there is no such setting" }));
  const { tag } = { ...DEFAULTS, ...settings };
  if (typeof tag !== "string") issues.push({ field: "/tag", message: "must be a text" });
  return issues;
}

/** The reasons to keep a thread. */
export function judge(settings, stored) {
  const { tag } = { ...DEFAULTS, ...settings };
  if (!stored.tags.includes(tag)) return [];
  return [{ code: "kept", message: `Remove the tag ${tag} first.`, field: "/thread" }];
}
