// Revisions of a service: the newest first, what each changed, what became of it, and the way back.

import { ask, part as inPath } from "./api.js";
import { live, may } from "./app.js";
import { colour } from "./colours.js";
import { h, put } from "./dom.js";
import { rollback } from "./modes.js";
import { orderButton } from "./order.js";
import { splitBar } from "./overview.js";
import * as words from "./words.js";

const ROLLBACK = "POST /v1/services/{service}/rollback";

export function open(view, [name]) {
  const path = `/v1/services/${inPath(name)}`;
  const list = h("ol", { class: "revisions" });
  put(view, h("div", { class: "title" }, h("div", { class: "names" }, h("p", { class: "crumb" }, h("a", { href: "#/" }, "Services"), " / ", h("a", { href: `#/service/${inPath(name)}` }, name), " /"), h("h1", {}, "History"))), list);
  let shown = 0;

  async function fetchAll() {
    const all = await ask("GET", `${path}/revisions`);
    const pools = live.rows.get("service")?.pool_names ?? [];
    put(list, all.map((one, nth) => revision(one, all[nth + 1], nth === 0, pools)));
  }

  function revision(one, before, isNewest, pools) {
    const names = pools.length ? pools : Object.keys(one.weights);
    const back = may(ROLLBACK) ? orderButton("Back to this…", () => rollback({ name, revision: shown }, path, one), { class: "small" }) : null;
    if (isNewest) back?.cannot("It is in force.");
    return h("li", { class: `panel revision ${isNewest ? "in-force" : ""}` },
      h("div", { class: "panel-head" },
        h("h2", {}, `Revision ${one.revision}`, isNewest ? h("span", { class: "state", "data-state": "running" }, "in force") : null), back),
      splitBar(names.map((pool) => ({ weight: one.weights[pool] ?? 0, measured: null }))),
      h("p", { class: "shares" }, names.filter((pool) => one.weights[pool] > 0 || before?.weights[pool] > 0).map((pool) => h("span", {}, h("i", { class: "dot", style: { background: colour(names.indexOf(pool)) } }), difference(pool, one, before)))),
      h("p", {}, h("time", { datetime: words.iso(one.at) }, words.clock(one.at)), ` by ${one.author}`, one.reason ? `: ${one.reason}` : "", one.rollout ? h("span", { class: "hint" }, ` · a step of rollout ${one.rollout}`) : null),
      one.outcome ? h("p", {}, h("span", { class: "state", "data-state": one.outcome }, one.outcome)) : null);
  }

  return {
    draw() {
      const service = live.rows.get("service");
      if (!service || service.revision === shown) return;
      shown = service.revision;
      fetchAll();
    },
  };
}

/** A pool's share, and what it was before. */
function difference(pool, one, before) {
  const [is, was] = [one.weights[pool] ?? 0, before?.weights[pool] ?? 0];
  const tag = one.tags?.[pool] ? ` (${one.tags[pool]})` : "";
  if (!before || is === was) return `${pool}${tag} ${words.percent(is)}`;
  return `${pool}${tag} ${words.percent(was)} → ${words.percent(is)}`;
}
