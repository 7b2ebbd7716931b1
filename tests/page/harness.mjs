// What tests of the page share: a Pointsman on free ports, a browser, and the forms in which it looks.

import { spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import os from "node:os";
import path from "node:path";

const require = createRequire(`${process.env.PAGE_MODULES}/`);
const { chromium } = require("playwright-core");
export const axe = require.resolve("axe-core/axe.min.js");

const PICTURES = process.env.PAGE_PICTURES;

/** A condition that comes is waited for so long, in milliseconds: on a busy machine too. */
export const PATIENCE = 90_000;

/** How the page is looked at. */
export const FORMS = {
  light: { viewport: { width: 1280, height: 900 }, colorScheme: "light" },
  dark: { viewport: { width: 1280, height: 900 }, colorScheme: "dark" },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: "light", hasTouch: true, isMobile: true },
};

/** A browser without word to its makers; names of tests lead to this machine. */
export function browser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP *.test 127.0.0.1"],
  });
}

/** Waits until it holds. */
export async function until(what, holds) {
  const end = Date.now() + PATIENCE;
  while (Date.now() < end) {
    if (await holds()) return;
    await new Promise((go) => setTimeout(go, 100));
  }
  throw new Error(`in vain: ${what}`);
}

/** A port that is free. */
export async function free() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await new Promise((go) => server.once("listening", go));
  const { port } = server.address();
  await new Promise((go) => server.close(go));
  return port;
}

/** Those that run: none outlives a test that failed. */
const running = new Set();

/** Ends all that are left of a test. */
export function endAll() {
  for (const one of running) one.kill("SIGKILL");
}

/** A Pointsman. */
export class Pointsman {
  /** `pointsman demo` with these arguments. */
  static async demo(...more) {
    const port = await free();
    return Pointsman.start(["demo", "--listen", "127.0.0.1:0", "--admin", `127.0.0.1:${port}`, ...more], port);
  }

  /** `pointsman run` of this config, in a folder of its own with these files. */
  static async run(config, files = {}) {
    const port = await free();
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "page-"));
    for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(folder, name), text);
    const file = path.join(folder, "pointsman.toml");
    fs.writeFileSync(file, config(`127.0.0.1:${port}`));
    return Pointsman.start(["run", file], port, folder);
  }

  static async start(args, port, folder) {
    const one = new Pointsman();
    Object.assign(one, { args, port, folder, address: `http://127.0.0.1:${port}` });
    await one.again();
    return one;
  }

  /** Starts it, where it was. */
  async again() {
    const began = spawn(process.env.POINTSMAN, this.args, { stdio: ["ignore", "ignore", "pipe"] });
    this.process = began;
    running.add(began);
    this.said = "";
    began.stderr.on("data", (text) => (this.said = (this.said + text).slice(-4000)));
    const over = new Promise((go) => began.once("exit", go));
    this.over = over;
    await until("it is ready", async () => {
      if (began.exitCode !== null) throw new Error(`it has ended: ${this.said}`);
      return fetch(`${this.address}/readyz`).then((answer) => answer.ok, () => false);
    });
  }

  async stop() {
    this.process.kill("SIGKILL");
    await this.over;
    running.delete(this.process);
  }

  async end() {
    await this.stop();
    if (this.folder) fs.rmSync(this.folder, { recursive: true });
  }

  /** Asks its API. */
  async ask(method, at, body, fields = {}) {
    const headers = body === undefined ? fields : { ...fields, "content-type": "application/json" };
    const answer = await fetch(this.address + at, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    return answer.json();
  }
}

/** A tab at an address, which fails the test by what goes wrong in it. */
export async function tab(browser, form, address, more = {}) {
  const context = await browser.newContext({ ...FORMS[form], ...more });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.wrongs = [];
  page.asked = [];
  page.on("pageerror", (error) => page.wrongs.push(String(error.stack)));
  page.on("console", (said) => { if (said.type() === "error" && !/Failed to load resource/.test(said.text())) page.wrongs.push(said.text()); });
  page.on("request", (request) => page.asked.push(request.url()));
  await page.goto(address);
  return page;
}

/** What is there once a view shows what it is for. */
const SHOWN = {
  services: ".service-row:not(.headings)",
  service: ".upstream-row:not(.headings)",
  history: ".revision.in-force",
  events: ".sum:not(:empty)",
  why: "table.requests tbody tr",
  explain: "form.panel",
  config: "#config-text:not([readonly])",
  capacity: ".capacity tbody tr",
  doctor: ".finding",
};

/** Goes to a view by what stands behind the `#/`, and waits until it is there: what is to be seen, and what comes with a line. */
export async function visit(page, hash) {
  await page.evaluate((to) => (location.hash = `#/${to}`), hash);
  await page.locator(SHOWN[hash.split("/")[0] || "services"]).first().waitFor();
  await lines(page, 1);
}

/** Waits until a tab has been told so many lines more of what it watches. */
export async function lines(page, count) {
  await page.evaluate(async (count) => {
    const { live } = await import("/page/app.js");
    const last = live.tick + count;
    await new Promise((go) => live.addEventListener("line", () => live.tick >= last && go()));
  }, count);
}

/** Keeps a picture of the whole page. */
export async function picture(page, name) {
  await page.screenshot({ path: `${PICTURES}/${name}.png`, fullPage: true });
}

/** Fills in and gives the order whose dialog is open. */
export async function order(page, reason) {
  const dialog = page.locator("dialog.order");
  await dialog.getByLabel("Why?").fill(reason);
  const command = await dialog.locator(".command").textContent();
  await dialog.locator("button[type=submit]").click();
  await until(`“${reason}” is ordered`, async () => {
    const refused = await dialog.locator(".problem").textContent({ timeout: 500 }).catch(() => "");
    if (refused) throw new Error(refused);
    return (await dialog.count()) === 0;
  });
  return command;
}
