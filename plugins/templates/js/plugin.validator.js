// Refuses a version without a comment. The rule is in judge.js, which knows nothing of WebAssembly.

import config from "sigpersist:hooks/config@1.1.0";
import { check, judge, SUMMARY } from "./judge.js";
import { reported } from "./sigpersist.js";

export const lifecycle = reported({
  describe: () => ({ summary: SUMMARY }),
  validateConfig: (json) => check(JSON.parse(json)),
});

export const saveValidator = reported({
  validateSave(context, draft) {
    const rejections = judge(JSON.parse(config.json()), draft);
    if (rejections.length) throw rejections;
    return { warnings: [], annotations: [] };
  },
});
