import assert from "node:assert/strict";
import test from "node:test";
import { check, judge } from "./judge.js";

test("a thread with the tag is kept", () => {
  assert.deepEqual(judge({}, { tags: ["draft"] }), []);
  assert.equal(judge({}, { tags: ["draft", "keep"] })[0].code, "kept");
});

test("a setting must be a text", () => {
  assert.deepEqual(check({}), []);
  assert.equal(check({ tag: 7 })[0].field, "/tag");
});
