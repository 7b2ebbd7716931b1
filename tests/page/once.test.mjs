// What is fetched once, without a browser: not marked before it has come, and asked again after a failure.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Once } from "../../src/admin/page/once.js";

test("what has come for a key is not asked for again, and another key is", async () => {
  const [asked, used] = [[], []];
  const once = new Once(async (key) => (asked.push(key), key.toUpperCase()), (found, key) => used.push([key, found]));
  for (const key of ["a", "a", "b", "b", "a"]) await once.want(key);
  assert.deepEqual(asked, ["a", "b", "a"]);
  assert.deepEqual(used, [["a", "A"], ["b", "B"], ["a", "A"]]);
});

test("what has failed is asked for again, and not each time it is wanted", async () => {
  let [asked, failed, used] = [0, 0, 0];
  const fetch = async () => {
    asked += 1;
    if (asked < 3) throw new Error("away");
  };
  const once = new Once(fetch, () => (used += 1), () => (failed += 1));
  for (let nth = 0; nth < 20; nth += 1) await once.want("a");
  assert.deepEqual([asked, failed, used], [3, 2, 1]);
});

test("it is asked for once while it is on its way, and what comes too late is not used", async () => {
  const [ways, used] = [[], []];
  const once = new Once((key) => new Promise((go) => ways.push(() => go(key))), (found) => used.push(found));
  const wanted = [once.want("old"), once.want("old"), once.want("new"), once.want("new")];
  assert.equal(ways.length, 2);
  ways[1]();
  await wanted[2];
  ways[0]();
  await Promise.all(wanted);
  assert.deepEqual(used, ["new"]);
  await once.want("new");
  assert.equal(ways.length, 2);
});

test("what is wanted again before another has come is asked for again", async () => {
  const [ways, used] = [[], []];
  const once = new Once((key) => new Promise((go) => ways.push(() => go(key))), (found) => used.push(found));
  const first = once.want("a");
  ways[0]();
  await first;
  once.want("b");
  const back = once.want("a");
  ways[2]();
  await back;
  ways[1]();
  await Promise.resolve();
  assert.deepEqual(used, ["a", "a"]);
});
