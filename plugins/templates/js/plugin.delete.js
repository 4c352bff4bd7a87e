// Refuses to delete threads that have a tag. The rule is in judge.js, which knows nothing of WebAssembly.

import config from "sigpersist:hooks/config@1.1.0";
import { check, judge, SUMMARY } from "./judge.js";
import { reported } from "./sigpersist.js";

export const lifecycle = reported({
  describe: () => ({ summary: SUMMARY }),
  validateConfig: (json) => check(JSON.parse(json)),
});

export const deleteValidator = reported({
  validateDelete(context, stored) {
    const rejections = judge(JSON.parse(config.json()), stored);
    if (rejections.length) throw rejections;
    return { warnings: [], annotations: [] };
  },
});
