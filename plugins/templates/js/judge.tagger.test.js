import assert from "node:assert/strict";
import test from "node:test";
import { check, judge } from "./judge.js";

test("the tag tells whether there is a comment", () => {
  assert.deepEqual(judge({}, { comment: null }), { set: [], remove: ["commented"] });
  assert.deepEqual(judge({}, { comment: "The first signature" }), { set: ["commented"], remove: [] });
});

test("a setting must be a text", () => {
  assert.deepEqual(check({}), []);
  assert.equal(check({ tag: 7 })[0].field, "/tag");
});
