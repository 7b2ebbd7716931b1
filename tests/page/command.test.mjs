// The commands that the page shows, without a browser: as they are pasted, they have to work.

import assert from "node:assert/strict";
import { test } from "node:test";
import { address, beside, command, flag } from "../../src/admin/page/command.js";

const at = (text) => new URL(text);

test("a command leads to the admin address that the page came from", () => {
  const line = (url) => command(["status"], at(url));
  assert.equal(line("http://127.0.0.1:9900/"), "pointsman status");
  assert.equal(line("http://localhost:9900/#/events"), "pointsman status");
  assert.equal(line("http://10.0.0.7:9901/"), "pointsman status --admin 10.0.0.7:9901");
  // By HTTPS nobody answers HTTP, also not at the usual place.
  assert.equal(line("https://127.0.0.1:9900/"), "pointsman status --admin https://127.0.0.1:9900");
  assert.equal(line("https://edge.example.com:9900/"), "pointsman status --admin https://edge.example.com:9900");
});

test("an admin address has a port, which browsers leave out", () => {
  assert.equal(address(at("https://edge.example.com/")), "https://edge.example.com:443");
  assert.equal(address(at("http://edge.example.com/")), "edge.example.com:80");
  assert.equal(address(at("https://[::1]/")), "https://[::1]:443");
  assert.equal(command(["status"], at("http://[::1]:9900/")), "pointsman status --admin '[::1]:9900'");
});

test("what a page knows nothing of is said beside the command", () => {
  assert.equal(beside(false, at("http://127.0.0.1:9900/")), "");
  assert.match(beside(false, at("https://127.0.0.1:9900/")), /--ca FILE/);
  assert.doesNotMatch(beside(false, at("https://127.0.0.1:9900/")), /--token-file/);
  assert.match(beside(true, at("http://127.0.0.1:9900/")), /--token-file FILE/);
});

test("a value that looks like a flag is none", () => {
  assert.deepEqual(flag("--reason", "mends it"), ["--reason", "mends it"]);
  const line = command(["hold", "shop", ...flag("--reason", "-1 is wrong; $(reboot)")], at("http://localhost:9900/"));
  assert.equal(line, "pointsman hold shop '--reason=-1 is wrong; $(reboot)'");
});
