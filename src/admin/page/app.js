// What all views share: what is watched, who asks, what happened, and word to whoever looks.

import { ask } from "./api.js";
import { h, put } from "./dom.js";
import { Happened } from "./happened.js";
import { Live } from "./live.js";

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

const happened = new Happened((after) => ask("GET", `/v1/events?after=${after}`), (list) => {
  events = list;
  live.dispatchEvent(new CustomEvent("happened"));
});

live.addEventListener("line", ({ detail }) => happened.take(detail, live.rows.get("status")?.started));

/** Forgets what another caller was told. */
export function forget() {
  happened.clear();
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
