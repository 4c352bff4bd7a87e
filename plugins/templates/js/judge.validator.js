export const SUMMARY = "Refuses a version without a comment";

const DEFAULTS = { min_chars: 1 };

/** The mistakes in settings, each with its JSON pointer. */
export function check(settings) {
  const issues = Object.keys(settings)
    .filter((name) => !Object.hasOwn(DEFAULTS, name))
    .map((name) => ({ field: `/${name}`, message: "there is no such setting" }));
  const { min_chars } = { ...DEFAULTS, ...settings };
  if (!Number.isInteger(min_chars) || min_chars < 0) {
    issues.push({ field: "/min_chars", message: "must be a whole number" });
  }
  return issues;
}

/** The reasons to refuse a version. */
export function judge(settings, draft) {
  const { min_chars } = { ...DEFAULTS, ...settings };
  if ([...(draft.comment ?? "")].length >= min_chars) return [];
  const message = `Say what this version changes, in ${min_chars} or more characters.`;
  return [{ code: "no-comment", message, field: "/version_comment" }];
}
