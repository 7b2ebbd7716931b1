// What all views share: what is watched, who asks, what happened, and word to whoever looks.

import { ask } from "./api.js";
import { h, put } from "./dom.js";
import { Live } from "./live.js";

/** As many events are remembered here as there. */
const EVENTS = 1000;

export const live = new Live();

/** Who asks; none until that is known. */
export let me = null;

/** What happened, the oldest first. */
export let events = [];

/** Finds out who asks. */
export async function meet() {
  me = await ask("GET", "/v1/me");
  return me;
}

/** Whether the caller may ask for an operation, such as `PUT /v1/services/{service}/split`. */
export function may(operation) {
  return Boolean(me?.may.includes(operation));
}

/** The moment, as the proxy's clock says. */
export function now() {
  return live.at ?? Date.now() / 1000;
}

/** Fetches what happened and is not known here yet. */
export async function catchUp() {
  const last = events.length ? events[events.length - 1].number : 0;
  add(await ask("GET", `/v1/events?after=${last}`));
}

function add(more) {
  const last = events.length ? events[events.length - 1].number : 0;
  const fresh = more.filter((event) => event.number > last);
  if (fresh.length === 0) return;
  events = [...events, ...fresh].slice(-EVENTS);
  live.dispatchEvent(new CustomEvent("happened", { detail: fresh }));
}

live.addEventListener("events", (event) => add(event.detail));
live.addEventListener("line", () => {
  const last = events.length ? events[events.length - 1].number : 0;
  // A line was missed, or the connection was away.
  if (live.lastEvent > last && !catching) {
    catching = true;
    catchUp().catch(() => {}).finally(() => setTimeout(() => (catching = false), 2000));
  }
});
let catching = false;

/** Forgets what another caller was told. */
export function forget() {
  me = null;
  events = [];
}

/** Says something to whoever looks, for a few seconds. */
export function tell(text, kind = "well") {
  const told = document.getElementById("told");
  const node = h("div", { class: `toast ${kind}` }, text);
  put(told, node);
  clearTimeout(telling);
  telling = setTimeout(() => node.remove(), kind === "well" ? 6000 : 12000);
}
let telling;
