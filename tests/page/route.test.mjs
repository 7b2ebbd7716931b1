// What addresses lead to, without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { route } from "../../src/admin/page/route.js";

const VIEWS = { "": {}, service: { of: ([name]) => name }, why: {}, events: {} };

for (const [hash, name, ...rest] of [
  ["", ""],
  ["#", ""],
  ["#/", ""],
  ["#/service/shop", "service", "shop"],
  ["#/service/a%2Fb", "service", "a/b"],
  ["#/service/", ""],
  ["#/why", "why"],
  ["#/why/%", "why", "%"],
  ["#/why/%E0%A4%A", "why", "%E0%A4%A"],
  ["#/%", ""],
  ["#/toString", ""],
  ["#/__proto__/x", ""],
  ["#/constructor", ""],
  ["#/hasOwnProperty/shop", ""],
]) {
  test(`the address “${hash}”`, () => assert.deepEqual(route(hash, VIEWS), { name, rest }));
}
