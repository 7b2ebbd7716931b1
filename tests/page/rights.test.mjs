// Who may not: a token that only reads, other sites, frames, and names that lead here.

import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";
import { Pointsman, browser, endAll, lines, order, picture, tab, visit } from "./harness.mjs";

let chromium;
before(async () => (chromium = await browser()));
after(async () => {
  await chromium.close();
  endAll();
});

const shop = (admin, more = "") => `[[listeners]]\naddress = "127.0.0.1:0"\n[admin]\naddress = "${admin}"\n${more}
[services.shop]\nsplit = { blue = 100, green = 0 }\n[services.shop.pools]\nblue.upstreams = ["127.0.0.1:9"]\ngreen.upstreams = ["127.0.0.1:10"]\n`;

const EYE = "eye00000000000000000";
const BOSS = "boss0000000000000000";

test("a token that may only read sees no button that orders", async () => {
  const tokens = `boss: ${BOSS}\neye role=read: ${EYE}\n`;
  const one = await Pointsman.run((admin) => shop(admin, 'token_file = "tokens"'), { tokens });
  const enter = async (token) => {
    const page = await tab(chromium, "light", `${one.address}/#/service/shop`);
    await page.locator("#token").fill("wrong000000000000000");
    await page.getByRole("button", { name: "Go on" }).click();
    await page.locator("dialog .problem", { hasText: "no token of this API" }).waitFor();
    await page.locator("#token").fill(token);
    await page.getByRole("button", { name: "Go on" }).click();
    await page.locator(".upstream-row:not(.headings)").first().waitFor();
    return page;
  };
  const ordering = async (page) => {
    const texts = await page.locator("main button").allTextContents();
    return texts.filter((text) => text.endsWith("…"));
  };
  const boss = await enter(BOSS);
  assert.ok((await ordering(boss)).length > 10, "the boss sees them");
  const eye = await enter(EYE);
  assert.equal(await eye.locator("#who").textContent(), "eye · read");
  await picture(eye, "read-only");
  for (const view of ["service/shop", "history/shop", "", "events", "why", "explain"]) {
    await visit(eye, view);
    assert.deepEqual(await ordering(eye), [], view);
  }
  assert.equal(await eye.getByRole("link", { name: "Config" }).count(), 0);
  for (const page of [boss, eye]) {
    assert.ok(page.asked.every((url) => !url.includes(EYE) && !url.includes(BOSS)), "no address has a token");
    assert.equal(await page.evaluate(() => localStorage.length), 0);
    assert.equal((await page.context().cookies()).length, 0);
    assert.deepEqual(page.wrongs, []);
    await page.context().close();
  }
  await one.end();
});

test("a token that is bound to a service asks for what happened once, and not for ever", async () => {
  const guest = "guest000000000000000";
  const tokens = `boss: ${BOSS}\nguest role=read services=shop: ${guest}\n`;
  const config = (admin) => `${shop(admin, 'token_file = "tokens"')}[services.web.pools.only]\nupstreams = ["127.0.0.1:11"]\n`;
  const one = await Pointsman.run(config, { tokens });
  const page = await tab(chromium, "light", `${one.address}/#/events`);
  await page.locator("#token").fill(guest);
  await page.getByRole("button", { name: "Go on" }).click();
  await page.locator('#link[data-is="live"]').waitFor();
  // What the guest will never be told of, and so never sees the number of.
  await one.ask("PUT", "/v1/services/web/mode", { mode: "maintenance", reason: "not for guests" }, { authorization: `Bearer ${BOSS}` });
  await lines(page, 12);
  const asked = page.asked.filter((url) => url.includes("/v1/events"));
  assert.ok(asked.length <= 3, String(asked));
  assert.equal(await page.locator("main", { hasText: "not for guests" }).count(), 0);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
  await one.end();
});

test("other sites, frames and names that lead here are refused", async () => {
  const one = await Pointsman.run((admin) => shop(admin));
  const split = async () => (await one.ask("GET", "/v1/services/shop")).revision;
  const before = await split();
  const evil = http.createServer((request, answer) => {
    answer.setHeader("content-type", "text/html");
    answer.end(`<h1>evil</h1><iframe src="${one.address}/" width="900" height="600"></iframe><form method="post" action="${one.address}/v1/services/shop/flip" enctype="text/plain"><input name='{"to":"green","x":"' value='"}'><button>go</button></form>`);
  }).listen(0, "127.0.0.1");
  await new Promise((go) => evil.once("listening", go));
  const elsewhere = `http://evil.test:${evil.address().port}/`;
  const page = await tab(chromium, "light", elsewhere);
  await page.waitForLoadState("networkidle");
  const frame = page.frames().find((frame) => frame !== page.mainFrame());
  assert.ok(!frame || !/Services/.test(await frame.content().catch(() => "")), "no frame shows it");

  const tried = await page.evaluate(async (address) => {
    const attempt = async (path, init) => {
      try {
        const answer = await fetch(address + path, init);
        return `${answer.type} ${answer.status} ${(await answer.text()).length}`;
      } catch {
        return "refused";
      }
    };
    const body = JSON.stringify({ to: "green" });
    return [
      await attempt("/v1/status", {}),
      await attempt("/v1/live?lines=1", {}),
      await attempt("/page/main.js", {}),
      await attempt("/v1/services/shop/flip", { method: "POST", body, headers: { "content-type": "application/json" } }),
      await attempt("/v1/services/shop/flip", { method: "POST", body, mode: "no-cors" }),
      await attempt("/v1/status", { mode: "no-cors" }),
    ];
  }, one.address);
  for (const said of tried) assert.match(said, /^refused$|^opaque 0 0$/, String(tried));
  await page.getByRole("button", { name: "go" }).click();
  await page.waitForLoadState();
  assert.match(await page.content(), /foreign-origin/);
  assert.equal(await split(), before, "nothing was moved");

  // A name of theirs that leads to this machine: the browser takes it for theirs, and so do we.
  for (const path of ["/", "/page/main.js", "/v1/status", "/v1/live?lines=1"]) {
    const answer = await page.goto(`http://rebound.test:${one.port}${path}`);
    assert.equal(answer.status(), 403, path);
    assert.match(await answer.text(), /foreign-host/);
  }
  evil.close();
  await page.context().close();
  await one.end();
});

test("an address that leads nowhere leads to the services", async () => {
  const one = await Pointsman.run((admin) => shop(admin));
  for (const hash of ["#/%", "#/toString", "#/__proto__", "#/service", "#/nothing/here"]) {
    const page = await tab(chromium, "light", `${one.address}/${hash}`);
    await page.locator(".service-row:not(.headings)").first().waitFor();
    assert.deepEqual(page.wrongs, [], hash);
    await page.context().close();
  }
  const page = await tab(chromium, "light", `${one.address}/#/why/%`);
  await page.locator("main .problem:not(:empty)").waitFor();
  assert.equal(await page.locator("#request-id").inputValue(), "%");
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
  await one.end();
});

test("what others wrote is text", async () => {
  const one = await Pointsman.run((admin) => shop(admin));
  const evil = `<img src=x onerror="document.title='evil'"><script>document.title='evil'</script>`;
  await one.ask("PUT", "/v1/services/shop/split", { weights: { blue: 60, green: 40 }, force: true, reason: evil, author: evil });
  const page = await tab(chromium, "light", `${one.address}/#/service/shop`);
  for (const view of ["service/shop", "history/shop", "events"]) {
    await page.evaluate((to) => (location.hash = `#/${to}`), view);
    await page.locator("main", { hasText: "onerror=" }).waitFor();
    assert.equal(await page.locator("main img, main script").count(), 0, view);
    assert.doesNotMatch(await page.title(), /evil/);
  }
  // And a command that is shown can be pasted.
  await page.evaluate(() => (location.hash = "#/service/shop"));
  await page.getByRole("button", { name: "Hold…" }).click();
  assert.match(await order(page, "it's $(reboot) `now`"), /--reason 'it'\\''s \$\(reboot\) `now`'/);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
  await one.end();
});
