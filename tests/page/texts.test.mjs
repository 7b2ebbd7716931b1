// The texts of a config as they are typed, without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Texts } from "../../src/admin/page/texts.js";

const main = (text) => ({ path: "/etc/main.toml", text });
const shop = (text) => ({ path: "/etc/shop.toml", text });

test("what was typed stays with its file until it is taken back", () => {
  const texts = new Texts();
  assert.equal(texts.are, false);
  texts.arrive([main("a"), shop("b")]);
  texts.type("a, typed");
  texts.at = 1;
  assert.equal(texts.text, "b");
  texts.type("b, typed");
  assert.deepEqual(texts.body(), { ...main("a, typed"), included: [shop("b, typed")] });
  texts.restore();
  assert.equal(texts.text, "b");
  assert.deepEqual(texts.body(), { ...main("a, typed"), included: [shop("b")] });
});

test("a reload brings what is in force and leaves what was typed", () => {
  const texts = new Texts();
  texts.arrive([main("a"), shop("b")]);
  texts.at = 1;
  texts.type("b, typed");
  texts.arrive([main("a2"), shop("b2")]);
  assert.deepEqual([texts.at, texts.text], [1, "b, typed"]);
  texts.restore();
  assert.equal(texts.text, "b2");
  // What has been saved meanwhile is not typed any more; and a file may be gone.
  texts.type("b3");
  texts.arrive([main("a2"), shop("b3")]);
  assert.equal(texts.part.typed, undefined);
  texts.arrive([main("a3")]);
  assert.deepEqual([texts.at, texts.body()], [0, "a3"]);
});

test("a problem is found in its file", () => {
  const texts = new Texts();
  texts.arrive([main("a"), shop("b")]);
  assert.deepEqual([undefined, "/etc/shop.toml", "/etc/gone.toml"].map((file) => texts.find(file)), [0, 1, -1]);
});
