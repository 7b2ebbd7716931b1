// Every view in light, in dark and on a phone: pictures to look at, nothing wider than the screen, and no
// serious fault of those that axe finds.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { FORMS, Pointsman, axe, browser, endAll, picture, tab, until, visit } from "./harness.mjs";

const VIEWS = {
  services: "",
  service: "service/shop",
  history: "history/shop",
  events: "events",
  why: "why",
  explain: "explain",
  config: "config",
  capacity: "capacity",
  doctor: "doctor",
};

let [chromium, demo] = [];
before(async () => {
  chromium = await browser();
  demo = await Pointsman.demo("--bad-green");
});
after(async () => {
  await chromium.close();
  endAll();
});

for (const form of Object.keys(FORMS)) {
  test(`in ${form}`, async () => {
    const page = await tab(chromium, form, demo.address, { bypassCSP: true });
    await page.locator('#link[data-is="live"]').waitFor();
    await page.addScriptTag({ path: axe });
    const faults = [];
    const check = async (name) => {
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(wide, 0, `${name} is wider than the screen`);
      const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
      for (const one of found.violations) {
        if (["serious", "critical"].includes(one.impact)) faults.push(`${name}: ${one.id}: ${one.nodes.map((node) => node.target).join(" ")}`);
      }
      await picture(page, `${name}-${form}`);
    };
    for (const [name, hash] of Object.entries(VIEWS)) {
      await visit(page, hash);
      if (name === "service") await page.locator(".plot canvas").first().waitFor();
      if (name === "events") await page.locator(".event-row:not(.headings)").first().waitFor();
      if (name === "explain") {
        await page.getByLabel("Where would this go now?").fill("http://shop.test/cart");
        await page.getByRole("button", { name: "Explain" }).click();
        await page.locator(".way").waitFor();
      }
      if (name === "config") {
        const text = page.getByRole("textbox", { name: "Text" });
        await text.fill(`${await text.inputValue()}\n[services.shop.limits]\nconcurency = 3\n`);
        await page.locator(".config-problem").first().waitFor();
      }
      if (name === "why") {
        await page.getByRole("link", { name: /^Why / }).first().click();
        await page.locator(".attempts").waitFor();
      }
      await check(name);
    }
    await page.evaluate(() => (location.hash = "#/service/shop"));
    await page.getByRole("button", { name: "All to green…" }).click();
    await check("order");
    // By keyboard alone: away, and to the next button, with the focus to be seen.
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "All to green…");
    await page.keyboard.press("Tab");
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, "none");
    assert.deepEqual(faults, []);
    assert.deepEqual(page.wrongs, []);
    await page.context().close();
  });
}

test("the config's text is restored when that is asked for, and not otherwise", async () => {
  const page = await tab(chromium, "light", `${demo.address}/#/config`);
  const text = page.getByRole("textbox", { name: "Text" });
  await until("it has come", () => text.isEditable());
  const was = await text.inputValue();
  await text.fill(`${was}\n# typed`);
  await page.getByRole("button", { name: "Reload…" }).focus();
  assert.equal(await text.inputValue(), `${was}\n# typed`);
  // Not every browser gives a button the focus that is clicked.
  await page.getByRole("button", { name: "As it is in force" }).evaluate((button) => button.click());
  assert.equal(await text.inputValue(), was);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test("what is typed at the config waits until there is a text", async () => {
  const context = await chromium.newContext();
  const page = await context.newPage();
  let letGo;
  const held = new Promise((go) => (letGo = go));
  await page.route("**/v1/config", async (route) => { await held; await route.continue(); });
  await page.goto(`${demo.address}/#/config`);
  const text = page.getByRole("textbox", { name: "Text" });
  await text.waitFor();
  await text.focus();
  await page.keyboard.type("lost?");
  assert.equal(await text.inputValue(), "");
  letGo();
  await until("it has come", () => text.isEditable());
  assert.doesNotMatch(await text.inputValue(), /lost/);
  await context.close();
});
