// What states mean to the page, without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { isBack, isFailure, isUnderWay, ofErrors, ofOutcome, worst, worth } from "../../src/admin/page/states.js";

test("severities have one order, and a word that is none matters least", () => {
  const words = ["critical", "low", "constructor", "high", "", "medium"];
  assert.deepEqual(words.sort((one, other) => worth(other) - worth(one)).slice(0, 4), ["critical", "high", "medium", "low"]);
  assert.equal(worth("constructor"), 0);
  assert.equal(worst([{ severity: "low" }, { severity: "high" }]), worth("high"));
  assert.equal(worst([]), 0);
});

test("failures look as bad everywhere", () => {
  assert.deepEqual([0, 0.99, 1, 4.9, 5, 100].map(ofErrors), [null, null, "odd-number", "odd-number", "bad-number", "bad-number"]);
  assert.deepEqual([{ status: 200 }, { status: 499 }, { status: 500 }, {}].map(isFailure), [false, false, true, true]);
});

test("a rollout is under way, or back, or neither", () => {
  const states = ["running", "paused", "promoted", "rolled-back", "aborted", "failed", "superseded"];
  assert.deepEqual(states.filter((state) => isUnderWay({ state })), ["running", "paused"]);
  assert.deepEqual(states.filter((state) => isBack({ state })), ["rolled-back", "aborted", "failed"]);
  assert.equal(isUnderWay(undefined), false);
  assert.equal(ofOutcome("rolled back by ann: too slow"), "rolled-back");
  assert.equal(ofOutcome("promoted"), "promoted");
});
