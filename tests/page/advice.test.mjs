// Doctor and capacity: what is missing with the lines that mend it, and how much pools carry.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Pointsman, browser, endAll, tab, until } from "./harness.mjs";

let [chromium, demo] = [];
before(async () => {
  chromium = await browser();
  demo = await Pointsman.demo();
});
after(async () => {
  await chromium.close();
  endAll();
});

test("doctor says what is missing, the worst first, with the lines that mend it", async () => {
  const page = await tab(chromium, "light", `${demo.address}/#/doctor`);
  await page.locator(".finding").first().waitFor();
  const { findings } = await demo.ask("GET", "/v1/doctor");
  const missing = findings.filter((one) => one.state === "missing");
  assert.ok(missing.length > 0, "a demo is no production");
  assert.equal(await page.locator(".finding").count(), missing.length + findings.filter((one) => one.state === "unknown").length);
  const worth = ["low", "medium", "high", "critical"];
  const worst = Math.max(...missing.map((one) => worth.indexOf(one.severity)));
  assert.match(await page.locator(".finding .flag").first().textContent(), new RegExp(worth[worst]));
  const health = findings.find((one) => one.check === "health");
  const shown = page.locator('.finding[data-check="health"]');
  assert.equal(await shown.locator(".mend").textContent(), health.mend.join("\n"));
  assert.ok((await shown.textContent()).includes(health.why));
  assert.match(await page.locator(".command").last().textContent(), /^pointsman doctor/);
  const well = page.locator('details[data-state="well"]');
  await well.locator("summary").click();
  assert.equal(await well.locator("li").count(), findings.filter((one) => one.state === "well").length);
  await page.getByRole("button", { name: "Look again" }).click();
  await until("it has looked again", () => page.getByRole("button", { name: "Look again" }).isEnabled());
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test("capacity says what each pool carries", async () => {
  const page = await tab(chromium, "light", `${demo.address}/#/capacity`);
  const shop = page.locator('.capacity[data-service="shop"]');
  await shop.locator("tbody tr").first().waitFor();
  const told = await demo.ask("GET", "/v1/services/shop/capacity");
  assert.deepEqual(await shop.locator("tbody th").allTextContents(), told.pools.map((pool) => pool.pool));
  assert.match(await shop.locator("tbody tr").first().textContent(), /1 of 1 well/);
  assert.match(await page.locator(".command").last().textContent(), /^pointsman capacity/);
  await page.getByLabel("Find a service").fill("nobody");
  await page.getByText("No service is called like “nobody”.").waitFor();
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test("who is bound to a service is told of its capacity, and not what the whole process lacks", async () => {
  const guest = "guest000000000000000";
  const pool = (name, port) => `[services.${name}.pools.only]\nupstreams = ["127.0.0.1:${port}"]\n`;
  const one = await Pointsman.run((admin) => `[[listeners]]\naddress = "127.0.0.1:0"\n[admin]\naddress = "${admin}"\ntoken_file = "tokens"\n[[routes]]\nservice = "shop"\n${pool("shop", 9)}${pool("other", 10)}`,
    { tokens: `boss: boss0000000000000000\nguest role=read services=shop: ${guest}\n` });
  const page = await tab(chromium, "light", `${one.address}/#/capacity`);
  await page.locator("#token").fill(guest);
  await page.getByRole("button", { name: "Go on" }).click();
  await page.locator(".capacity tbody tr").first().waitFor();
  assert.deepEqual(await page.locator(".capacity h2").allTextContents(), ["shop"]);
  assert.equal(await page.getByRole("link", { name: "Doctor" }).count(), 0);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
  await one.end();
});
