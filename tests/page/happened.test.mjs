// What is known of events, line by line, without a browser: who is bound asks once, and a process that
// counts from the beginning again is heard.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Happened } from "../../src/admin/page/happened.js";

const event = (number, what = "") => ({ number, what });
const line = (last_event, events = [], whole = false) => ({ last_event, events, whole });

/** One that is answered from `there`, as far as a caller sees it. */
function watched(there, sees = () => true) {
  const asked = [];
  const one = new Happened(
    async (after) => {
      asked.push(after);
      return there().filter((event) => event.number > after && sees(event));
    },
    () => {},
  );
  return { one, asked, numbers: () => one.list.map((event) => event.number) };
}

test("what was missed is asked for once, and what comes with a line not at all", async () => {
  const all = [event(1), event(2)];
  const { one, asked, numbers } = watched(() => all);
  await one.take(line(2, [], true), 10);
  assert.deepEqual([asked, numbers()], [[0], [1, 2]]);
  await one.take(line(3, [event(3)]), 10);
  assert.deepEqual([asked, numbers()], [[0], [1, 2, 3]]);
  all.push(event(3), event(4));
  await one.take(line(4, [], true), 10);
  assert.deepEqual([asked, numbers()], [[0, 3], [1, 2, 3, 4]]);
});

test("who is told of some services alone does not ask for ever", async () => {
  const { one, asked, numbers } = watched(() => [event(1), event(2), event(3)], ({ number }) => number === 1);
  await one.take(line(3, [], true), 10);
  for (let nth = 0; nth < 100; nth += 1) await one.take(line(3 + nth), 10);
  assert.deepEqual([asked, numbers()], [[0], [1]]);
});

test("another process may count from the beginning again", async () => {
  let there = [event(1, "old"), event(2, "old"), event(3, "old")];
  const { one, asked } = watched(() => there);
  await one.take(line(3, [], true), 10);
  there = [event(1, "new")];
  await one.take(line(1, [], true), 20);
  assert.deepEqual(one.list, [event(1, "new")]);
  // Also where it has come just as far.
  there = [event(1, "newest")];
  await one.take(line(1, [], true), 30);
  assert.deepEqual(one.list, [event(1, "newest")]);
  await one.take(line(0, [], true), 40);
  assert.deepEqual([one.list, asked], [[], [0, 0, 0]]);
});

test("what another caller asked for is not shown to the next", async () => {
  let answer;
  const one = new Happened(() => new Promise((go) => (answer = go)), () => {});
  const first = one.take(line(1, [], true), 10);
  one.clear();
  answer([event(1, "for another")]);
  await first;
  assert.deepEqual(one.list, []);
});

test("after a failure it is asked again, and not with each line", async () => {
  const asked = [];
  const one = new Happened(async (after) => { asked.push(after); throw new Error("away"); }, () => {});
  for (let nth = 0; nth < 9; nth += 1) await one.take(line(5, [], true), 10);
  assert.equal(asked.length, 3);
});
