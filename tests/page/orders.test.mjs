// With nothing but the page: a bad canary is seen to rise and to go back, and why; and traffic is moved.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Pointsman, browser, endAll, order, picture, tab, until } from "./harness.mjs";

let chromium;
before(async () => (chromium = await browser()));
after(async () => {
  await chromium.close();
  endAll();
});

test("the bad canary rises and goes back, and the page says why", async () => {
  const demo = await Pointsman.demo("--bad-green");
  const page = await tab(chromium, "light", demo.address);
  await page.getByRole("link", { name: "shop", exact: true }).first().click();
  const rollout = page.locator(".rollout-panel");
  await rollout.locator('.state[data-state="running"]').waitFor();
  await rollout.locator("li.here", { hasText: "10 %" }).waitFor();
  await page.locator(".split-panel", { hasText: "10 % measured" }).or(page.locator(".split-panel", { hasText: /\d % measured/ })).first().waitFor();
  await picture(page, "canary-rises");
  await rollout.locator('.state[data-state="rolled-back"]').waitFor();
  await rollout.locator("li.back", { hasText: "10 %" }).waitFor();
  const status = await rollout.locator(".status").textContent();
  assert.match(status, /the canary failed \d+ of .* requests .*, the stable pool/);
  assert.match(await rollout.locator(".bar-row[data-says=fails]").textContent(), /worse: errors.*fails/);
  assert.match(await rollout.locator(".regressed").textContent(), /GET \/\*/);
  // The evidence has been seen to grow: from moment to moment the line of what is worse went to its edge.
  const line = (await rollout.locator("polyline.worse").getAttribute("points")).split(" ").map((point) => Number(point.split(",")[1]));
  assert.ok(line.length > 1 && line.at(-1) > line[0], String(line));
  await until("the split is back", async () => (await page.locator('input[aria-label="Share of green in percent"]').inputValue()) === "0");
  await rollout.getByText("What was said of it").click();
  await rollout.locator(".failing li").first().waitFor();
  await rollout.locator(".failing a").first().click();
  await page.getByRole("heading", { level: 1, name: "Why" }).waitFor();
  await page.locator(".attempts", { hasText: "green" }).waitFor();
  await picture(page, "canary-went-back");
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
  await demo.end();
});

test("a shift, a rollout, a pause, a step, a promotion, a hold and a rollback by clicking", async () => {
  const demo = await Pointsman.demo();
  const page = await tab(chromium, "light", `${demo.address}/#/service/shop`);
  const share = page.getByLabel("Share of green in percent");
  const shop = () => demo.ask("GET", "/v1/services/shop");
  const weight = async (pool) => (await shop()).pools.find((one) => one.name === pool).weight;

  await share.fill("20");
  await share.press("Tab");
  await page.locator(".forecast", { hasText: /20 % of the clients, about .*\/s, go from blue to green/ }).waitFor();
  assert.equal(await weight("green"), 0, "what is only chosen is not ordered");
  await page.getByRole("button", { name: "Shift…" }).click();
  await page.getByLabel("Your name").fill("ann");
  await picture(page, "order");
  const shifted = await order(page, "a first look");
  assert.match(shifted, /^pointsman shift shop blue=80 green=20 --if-revision 1 --reason 'a first look' --admin 127\.0\.0\.1:\d+$/);
  await until("the split is so", async () => (await weight("green")) === 20);
  await page.locator(".split-panel", { hasText: "by ann: a first look" }).waitFor();

  const verb = (name) => page.locator(".verbs").getByRole("button", { name });
  // A button that cannot be used says why.
  assert.equal(await verb("Pause…").getAttribute("aria-disabled"), "true");
  assert.equal(await verb("Pause…").getAttribute("data-why"), "Only while a rollout is under way.");
  await until("it says why none can start", async () => (await verb("Start a rollout…").getAttribute("data-why")) === "blue and green share the traffic: shift all of it to one first.");
  await page.getByRole("button", { name: "All to blue…" }).click();
  assert.match(await order(page, "from the beginning"), /^pointsman flip shop blue --reason 'from the beginning'/);
  await until("a rollout can start", async () => (await verb("Start a rollout…").getAttribute("data-why")) === null);
  await verb("Start a rollout…").click();
  await page.getByLabel("To which pool").selectOption("green");
  await page.getByLabel("Steps in percent").fill("30, 60, 100");
  await page.getByLabel("A step lasts at least").fill("10m");
  assert.match(await order(page, "release 42"), /^pointsman rollout start shop --to green --steps 30,60,100 --hold 10m --reason 'release 42'/);
  await page.locator('.rollout-panel .state[data-state="running"]').waitFor();
  await until("it has begun", async () => (await weight("green")) === 30);

  await verb("Pause…").click();
  assert.match(await order(page, "lunch"), /^pointsman rollout pause shop --reason lunch/);
  await page.locator('.rollout-panel .state[data-state="paused"]').waitFor();
  await verb("Resume…").click();
  await order(page, "back from lunch");
  await page.locator('.rollout-panel .state[data-state="running"]').waitFor();
  await verb("One step…").click();
  await page.locator("dialog.order", { hasText: "from 30 % to 60 %" }).waitFor();
  await order(page, "it looks well");
  await until("it has gone on", async () => (await weight("green")) === 60);
  await verb("All the way…").click();
  await order(page, "enough seen");
  await until("everything is there", async () => (await weight("green")) === 100);
  await picture(page, "promoted");

  await page.getByRole("button", { name: "Hold…" }).click();
  await page.getByLabel("For how long").fill("5m");
  assert.match(await order(page, "a failover"), /^pointsman hold shop --for 5m --reason 'a failover'/);
  await page.locator(".mode", { hasText: "hold" }).waitFor();
  await picture(page, "held");
  await page.getByRole("button", { name: "Serve again…" }).click();
  await order(page, "it is over");
  await until("it serves", async () => (await shop()).mode === "serve");

  await page.getByRole("link", { name: "History" }).click();
  const first = page.locator(".revision", { hasText: "Revision 1" }).last();
  await first.getByRole("button", { name: "Back to this…" }).click();
  assert.match(await order(page, "as it was"), /^pointsman rollback shop 1 --reason 'as it was'/);
  await until("it is as it was", async () => (await weight("blue")) === 100);
  const events = await demo.ask("GET", "/v1/events?after=0");
  assert.ok(events.some((event) => event.author === "ann" && event.reason === "as it was"));
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
  await demo.end();
});

test("the page says that the process is away, keeps what it knew, and comes back by itself", async () => {
  const one = await Pointsman.run((admin) => `[[listeners]]\naddress = "127.0.0.1:0"\n[admin]\naddress = "${admin}"\n[services.shop.pools.blue]\nupstreams = ["127.0.0.1:9"]\n`);
  const page = await tab(chromium, "light", `${one.address}/#/service/shop`);
  await page.locator('#link[data-is="live"]').waitFor();
  await one.stop();
  await page.locator('#link[data-is="lost"]').waitFor();
  assert.match(await page.locator("#link").textContent(), /no connection since .*trying again/);
  assert.equal(await page.getByRole("heading", { level: 1 }).textContent(), "shop");
  await page.getByRole("button", { name: "Hold…" }).click();
  await page.locator(".toast", { hasText: "no connection" }).waitFor();
  await picture(page, "away");
  await one.again();
  await page.locator('#link[data-is="live"]').waitFor();
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
  await one.end();
});

test("what happens after a restart that has forgotten everything is seen", async () => {
  const demo = await Pointsman.demo();
  const page = await tab(chromium, "light", `${demo.address}/#/events`);
  const set = (mode, reason) => demo.ask("PUT", "/v1/services/shop/mode", { mode, reason });
  const row = (reason) => page.locator(".event-row", { hasText: reason });
  for (const nth of [1, 2, 3]) {
    await set("maintenance", `before it went ${nth}`);
    await set("serve", `and back ${nth}`);
  }
  await row("and back 3").waitFor();
  await demo.stop();
  await page.locator('#link[data-is="lost"]').waitFor();
  await demo.again();
  await set("maintenance", "after it came back");
  await row("after it came back").waitFor();
  assert.equal(await row("before it went").count(), 0);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
  await demo.end();
});

test("history says what became of the newest revision once that is known", async () => {
  const demo = await Pointsman.demo();
  const page = await tab(chromium, "light", `${demo.address}/#/history/shop`);
  await page.locator(".revision.in-force").waitFor();
  await demo.ask("POST", "/v1/services/shop/rollout", { to: "green", steps: [100], hold: "2s", watch: "2s", judge: false, reason: "release 43" });
  await page.locator(".revision.in-force", { hasText: "release 43" }).or(page.locator(".revision.in-force", { hasText: "a step of rollout" })).first().waitFor();
  await page.locator('.revision.in-force [data-state="promoted"]').waitFor();
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
  await demo.end();
});

test("explain says that a request would wait", async () => {
  const demo = await Pointsman.demo();
  await demo.ask("PUT", "/v1/services/shop/mode", { mode: "hold", for: "5m", reason: "a failover" });
  const page = await tab(chromium, "light", `${demo.address}/#/explain`);
  await page.getByLabel("Where would this go now?").fill("http://shop.test/cart");
  await page.getByRole("button", { name: "Explain" }).click();
  await page.locator(".way li", { hasText: /Waits.*until its service is not held/ }).waitFor();
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
  await demo.end();
});
