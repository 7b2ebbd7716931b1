// Revisions of a service: the newest first, what each changed, what became of it, and the way back.

import { ask, part as inPath } from "./api.js";
import { live, may } from "./app.js";
import { colour } from "./colours.js";
import { h, put, say } from "./dom.js";
import { rollback } from "./modes.js";
import { Once } from "./once.js";
import { orderButton } from "./order.js";
import { splitBar } from "./overview.js";
import { ofOutcome } from "./states.js";
import * as words from "./words.js";

const ROLLBACK = "POST /v1/services/{service}/rollback";

export function open(view, [name]) {
  const path = `/v1/services/${inPath(name)}`;
  const list = h("ol", { class: "revisions" });
  put(view, h("div", { class: "title" }, h("div", { class: "names" }, h("p", { class: "crumb" }, h("a", { href: "#/" }, "Services"), " / ", h("a", { href: `#/service/${inPath(name)}` }, name), " /"), h("h1", {}, "History"))), list);
  const problem = h("p", { class: "problem", role: "alert" });
  view.append(problem);
  const revisions = new Once(() => ask("GET", `${path}/revisions`), (all) => {
    const pools = live.rows.get("service")?.pool_names ?? [];
    say(problem, "");
    put(list, all.map((one, nth) => revision(one, all[nth + 1], nth === 0, pools)));
  }, (error) => say(problem, error.message));

  function revision(one, before, isNewest, pools) {
    const names = pools.length ? pools : Object.keys(one.weights);
    const back = may(ROLLBACK) ? orderButton("Back to this…", () => rollback({ name }, path, one), { class: "small" }) : null;
    if (isNewest) back?.cannot("It is in force.");
    return h("li", { class: `panel revision ${isNewest ? "in-force" : ""}` },
      h("div", { class: "panel-head" },
        h("h2", {}, `Revision ${one.revision}`, isNewest ? h("span", { class: "state", "data-state": "running" }, "in force") : null), back),
      splitBar(names.map((pool) => ({ weight: share(one, pool), measured: null }))),
      h("p", { class: "shares" }, names.filter((pool) => share(one, pool) > 0 || share(before, pool) > 0).map((pool) => h("span", {}, h("i", { class: "dot", style: { background: colour(names.indexOf(pool)) } }), difference(pool, one, before)))),
      h("p", {}, h("time", { datetime: words.iso(one.at) }, words.clock(one.at)), ` by ${one.author}`, one.reason ? `: ${one.reason}` : "", one.rollout ? h("span", { class: "hint" }, ` · a step of rollout ${one.rollout}`) : null),
      one.outcome ? h("p", {}, h("span", { class: "state", "data-state": ofOutcome(one.outcome) }, one.outcome)) : null);
  }

  return {
    draw() {
      const service = live.rows.get("service");
      const newest = live.rows.get("revision");
      // What became of the newest is known later than it is made, and nothing else changes then.
      if (service) revisions.want(JSON.stringify([service.revision, service.pool_names, newest?.revision, newest?.outcome]));
    },
  };
}

/** A pool's share in a revision, if there is one: pools come and go. */
function share(revision, pool) {
  return revision && Object.hasOwn(revision.weights, pool) ? revision.weights[pool] : 0;
}

/** A pool's share, and what it was before. */
function difference(pool, one, before) {
  const [is, was] = [share(one, pool), share(before, pool)];
  const tag = one.tags && Object.hasOwn(one.tags, pool) ? ` (${one.tags[pool]})` : "";
  if (!before || is === was) return `${pool}${tag} ${words.percent(is)}`;
  return `${pool}${tag} ${words.percent(was)} → ${words.percent(is)}`;
}
