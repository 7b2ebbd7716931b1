// An order as people type it: words of a command, and where this page is, in; a line for a shell, and what
// it cannot say, out.

import { word } from "./words.js";

/** Where the command line looks by itself. */
const USUAL = ["127.0.0.1:9900", "localhost:9900"];

/** The admin address as `--admin` takes it: with its port, which browsers leave out where it is the usual one. */
export function address({ protocol, hostname, port }) {
  const isSecure = protocol === "https:";
  const bare = `${hostname}:${port || (isSecure ? 443 : 80)}`;
  return isSecure ? `https://${bare}` : bare;
}

/** A command that does the same from here. */
export function command(parts, at = location) {
  const admin = address(at);
  const led = USUAL.includes(admin) ? [] : ["--admin", admin];
  return ["pointsman", ...parts, ...led].map(word).join(" ");
}

/** A flag with its value, also where that looks like a flag. */
export function flag(name, value) {
  return value.startsWith("-") ? [`${name}=${value}`] : [name, value];
}

/** What a terminal has to have beside the command: files that a page knows nothing of. */
export function beside(hasToken, at = location) {
  const needs = [
    at.protocol === "https:" ? "--ca FILE, where its certificate is not known to that machine" : null,
    hasToken ? "--token-file FILE, with your token" : null,
  ].filter(Boolean);
  return needs.length ? `There it may need ${needs.join("; and ")}.` : "";
}
