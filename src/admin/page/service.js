// One service: its rows in; what is wrong, its split, its rollout, what its pools do over time, and its
// upstreams out.

import { live } from "./app.js";
import { part as inPath } from "./api.js";
import { h, isSame, mark, put, say } from "./dom.js";
import * as modes from "./modes.js";
import * as plots from "./plots.js";
import * as pools from "./pools.js";
import * as rollout from "./rollout.js";
import * as split from "./split.js";
import * as words from "./words.js";

/** All that is known of a service, put together from its rows. */
export function whole() {
  const service = live.rows.get("service");
  if (!service) return null;
  const upstreams = new Map(service.pool_names.map((name) => [name, []]));
  for (const [key, upstream] of live.of("upstream/")) upstreams.get(key.slice(0, key.indexOf("/")))?.push(upstream);
  const pools = service.pool_names.map((name, index) => ({ ...live.rows.get(`pool/${name}`), index, upstreams: upstreams.get(name) }));
  return { ...service, pools, rollout: live.rows.get("rollout"), newest: live.rows.get("revision"), slo: live.rows.get("slo") };
}

export function open(view, [name]) {
  const path = `/v1/services/${inPath(name)}`;
  const mode = h("span", { class: "mode" });
  const facts = h("p", { class: "sum" });
  const wrong = h("ul", { class: "wrongs" });
  const standing = h("div", { class: "panel", hidden: true });
  const objectives = h("div", { class: "panel", hidden: true });
  const tabs = h("nav", { class: "tabs", "aria-label": `Views of ${name}` });
  const actions = modes.buttons(name, path);
  put(view,
    h("div", { class: "title" },
      h("div", { class: "names" }, h("p", { class: "crumb" }, h("a", { href: "#/" }, "Services"), " /"), h("h1", {}, name), mode),
      actions.node),
    tabs, facts, wrong);
  put(tabs,
    h("a", { href: `#/service/${inPath(name)}`, "aria-current": "page" }, "Now"),
    h("a", { href: `#/history/${inPath(name)}` }, "History"),
    h("a", { href: `#/events/${inPath(name)}` }, "Events"));
  const parts = [
    split.panel(name, path),
    rollout.panel(name, path),
    plots.panel(name),
    pools.panel(name, path),
  ];
  view.append(h("div", { class: "two" }, h("div", {}, parts[0].node, standing, objectives), parts[1].node), parts[2].node, parts[3].node);

  function draw(changed) {
    const service = whole();
    if (!service || service.name !== name) return;
    say(mode, service.mode === "serve" ? "" : service.mode);
    mode.hidden = service.mode === "serve";
    const failing = service.pools.reduce((sum, pool) => sum + pool.requests_per_second * pool.errors, 0);
    const slowest = service.pools.map((pool) => pool.latency[0]?.p99).filter((p99) => p99 !== null && p99 !== undefined);
    say(facts, [
      words.rate(service.requests_per_second),
      `${words.percent(service.requests_per_second > 0 ? failing / service.requests_per_second : 0)} fail`,
      `p99 ${words.took(slowest.length ? Math.max(...slowest) : null)}`,
      service.waiting ? `${service.waiting} wait` : null,
      service.budget?.remaining !== undefined ? `error budget ${words.percent(service.budget.remaining)} left (${service.budget.state})` : null,
      `revision ${service.revision}`,
    ].filter(Boolean).join(" · "));
    drawWrong(wrong, service.wrong);
    drawStanding(standing, service);
    drawObjectives(objectives, service.slo);
    actions.draw(service);
    for (const part of parts) part.draw(service, changed);
  }
  return { draw, close: () => parts.forEach((part) => part.close?.()) };
}

export function drawWrong(node, list) {
  node.hidden = list.length === 0;
  if (isSame(node, list)) return;
  put(node, list.map((one) => h("li", { class: `wrong ${one.severity}` }, h("span", { class: "severity" }, one.severity), h("span", {}, one.what))));
}

/** What was ordered above the file, and stands. */
function drawStanding(node, service) {
  const list = service.orders;
  node.hidden = list.length === 0;
  if (isSame(node, list)) return;
  const one = (order) => h("li", {},
    h("strong", {}, [order.pool, order.upstream].filter(Boolean).join(" ") || service.name), ` ${order.what}`,
    h("span", { class: "hint" }, ` by ${order.author}${order.reason ? `: ${order.reason}` : ""}, since ${words.clock(order.since)}${order.until ? `, until ${words.clock(order.until)}` : ""}`));
  put(node, h("h2", {}, "Ordered, and stands until it is taken back"), h("ul", { class: "plain" }, list.map(one)));
  mark(node, "data-orders", list.length);
}

/** What it promises, and how much of each error budget is left. */
function drawObjectives(node, slo) {
  node.hidden = !slo || slo.objectives.length === 0;
  if (node.hidden || isSame(node, slo)) return;
  put(node, h("div", { class: "panel-head" }, h("h2", {}, "Error budget"), h("span", { class: "state", "data-state": slo.state === "open" ? "" : "paused" }, slo.state)),
    slo.why ? h("p", {}, slo.why) : null,
    h("ul", { class: "plain objectives" }, slo.objectives.map((one) => {
      const fill = h("span", { class: "fill", style: { width: `${Math.max(0, Math.min(100, one.remaining))}%` } });
      const promise = one.at_most_seconds === undefined ? `${one.target} % answered well` : `${one.target} % within ${words.took(one.at_most_seconds)}`;
      return h("li", { class: one.state === "open" ? "bar-row fine" : "bar-row" }, h("span", { class: "bar-name" }, one.name), h("span", { class: "track" }, fill), h("span", { class: "odds" }, `${words.percent(one.remaining)} left`),
        h("span", { class: "hint promise" }, `${promise} over ${words.several(one.window_days, "day", "days")}; ${words.number(one.bad)} of ${words.number(one.requests)} were not${one.warming ? "; the history is shorter than that" : ""}`));
    })));
}
