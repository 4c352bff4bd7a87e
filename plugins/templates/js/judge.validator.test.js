import assert from "node:assert/strict";
import test from "node:test";
import { check, judge } from "./judge.js";

test("a comment must be long enough", () => {
  const codes = (comment) => judge({ min_chars: 3 }, { comment }).map(({ code }) => code);
  assert.deepEqual(codes(null), ["no-comment"]);
  assert.deepEqual(codes("ab"), ["no-comment"]);
  assert.deepEqual(codes("әәә"), []);
});

test("a setting must be a number", () => {
  assert.deepEqual(check({}), []);
  assert.equal(check({ min_chars: "3" })[0].field, "/min_chars");
});
