// All services, what is wrong first: rows of a live board in, a long list out of which only what can be
// seen is drawn.

import { live, may } from "./app.js";
import { Rows, h, isSame, keep, mark, put, say, svg } from "./dom.js";
import { colour } from "./colours.js";
import { ofErrors, worst, worth } from "./states.js";
import * as words from "./words.js";

/** How many things that are wrong are listed above all services. */
const LISTED = 6;

/** Above this height of a row it is written in two lines. */
function height() {
  return matchMedia("(max-width: 700px)").matches ? 92 : 52;
}

export function open(view) {
  const search = h("input", { type: "search", id: "search", placeholder: "Find a service", "aria-label": "Find a service", autocomplete: "off", oninput: () => draw() });
  const order = h("select", { id: "order", "aria-label": "Order", onchange: () => draw() },
    h("option", { value: "wrong" }, "what is wrong first"),
    h("option", { value: "name" }, "by name"),
    h("option", { value: "rate" }, "busiest first"),
    h("option", { value: "p99" }, "slowest first"));
  const sum = h("p", { class: "sum" });
  const wrong = h("ul", { class: "wrongs" });
  const notes = h("div", { class: "notes" });
  const scroller = h("div", { class: "rows services", role: "rowgroup", tabindex: "0", "aria-label": "Services" });
  const table = h("div", { class: "table", role: "table", "aria-label": "Services" },
    h("div", { role: "rowgroup" }, h("div", { class: "service-row headings", role: "row", "aria-rowindex": 1 },
      ["Service", "Split: set, and measured", "Requests", "Errors", "p99", "Budget", "Upstreams"].map((text) => h("span", { role: "columnheader" }, text)))),
    scroller);
  const none = h("p", { class: "none", hidden: true });
  put(view, h("div", { class: "title" }, h("h1", {}, "Services"), h("div", { class: "tools" }, search, order)), notes, sum, wrong, table, none);
  const rows = new Rows(scroller, height, makeRow, updateRow);
  let [names, places] = [[], new Map()];
  addEventListener("resize", draw);

  /** All services by name. The order is found anew when there are others, and not each second. */
  function inOrder() {
    const rows = live.of("service/");
    if (rows.length !== names.length || rows.some(([name]) => !places.has(name))) {
      names = rows.map(([name]) => name).sort();
      places = new Map(names.map((name, nth) => [name, nth]));
    }
    const all = new Array(names.length);
    for (const [name, glance] of rows) all[places.get(name)] = glance;
    return all;
  }

  function draw() {
    const all = inOrder();
    const wanted = search.value.trim().toLowerCase();
    const list = wanted ? all.filter((one) => one.name.toLowerCase().includes(wanted)) : [...all];
    const by = {
      name: () => 0,
      wrong: (one, other) => worst(other.wrong) - worst(one.wrong),
      rate: (one, other) => other.requests_per_second - one.requests_per_second,
      p99: (one, other) => (other.p99 ?? 0) - (one.p99 ?? 0),
    }[order.value];
    // What is equal stays in the order of names.
    list.sort(by);
    const rate = all.reduce((sum, one) => sum + one.requests_per_second, 0);
    const failing = all.reduce((sum, one) => sum + one.requests_per_second * one.errors, 0);
    const rollouts = all.filter((one) => one.rollout).length;
    say(sum, [
      words.several(all.length, "service", "services"),
      words.rate(rate),
      `${words.percent(rate > 0 ? failing / rate : 0)} fail`,
      rollouts ? words.several(rollouts, "rollout under way", "rollouts under way") : "no rollout under way",
    ].join(" · "));
    mark(table, "aria-rowcount", list.length + 1);
    scroller.style.maxHeight = `max(${height() * 4}px, calc(100dvh - 19rem))`;
    scroller.style.height = `${Math.min(list.length, 2000) * height()}px`;
    rows.set(list);
    none.hidden = list.length > 0;
    say(none, all.length === 0 ? "The config has no service." : `No service is called like “${wanted}”.`);
    table.hidden = list.length === 0;
    drawWrong(wrong, all);
    drawNotes(notes);
  }
  return { draw, close: () => { rows.end(); removeEventListener("resize", draw); } };
}

/** The worst that is wrong, in words, each with the way there. */
function drawWrong(node, all) {
  const found = all.flatMap((one) => one.wrong.map((wrong) => ({ ...wrong, service: one.name })));
  found.sort((one, other) => worth(other.severity) - worth(one.severity));
  const listed = found.slice(0, LISTED);
  node.hidden = listed.length === 0;
  keep(node, listed, (one) => `${one.service} ${one.severity} ${one.what}`, (one) => ({
    node: h("li", { class: `wrong ${one.severity}` },
      h("span", { class: "severity" }, one.severity),
      h("span", {}, h("a", { href: `#/service/${encodeURIComponent(one.service)}` }, one.service), `: ${one.what}`)),
  }));
  const more = found.length - listed.length;
  if (more > 0) {
    node.more ??= h("li", { class: "more" });
    say(node.more, `and ${more} more, in the list below`);
    node.append(node.more);
  } else node.more?.remove();
}

/** What is wrong with the process itself. */
function drawNotes(node) {
  const [status, config] = [live.rows.get("status"), live.rows.get("config")];
  const notes = [];
  if (status && !status.store_writable) notes.push(["bad", "What is ordered cannot be stored: orders are refused until it can."]);
  if (status && !status.ready) notes.push(["bad", "The process is stopping."]);
  if (config?.refused) notes.push(["bad", `The config on the disk is not in force: ${config.refused.split("\n")[0]}`]);
  else if (config?.waits_for_reload) notes.push(["note", "The file takes away what is in use: it waits for a reload."]);
  if (isSame(node, notes)) return;
  put(node, notes.map(([kind, text]) => h("p", { class: `banner ${kind}` }, text, kind && config && may("GET /v1/config") ? [" ", h("a", { href: "#/config" }, "Config")] : null)));
}

/** The split as a bar: what is set, and a thin line below of what was measured. */
export function splitBar(pools) {
  const node = svg("svg", { class: "split", viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" });
  const draw = (list, y, height) => {
    let x = 0;
    for (const [index, share] of list) {
      if (!share) continue;
      node.append(svg("rect", { x, y, width: Math.max(0, share - (x + share < 99.9 ? 0.6 : 0)), height, fill: colour(index) }));
      x += share;
    }
  };
  draw(pools.map((pool, index) => [index, pool.weight]), 0, 8);
  draw(pools.map((pool, index) => [index, pool.measured]), 9.5, 2.5);
  return node;
}

function makeRow() {
  const cell = (name, ...inside) => h("span", { role: "cell", class: name }, ...inside);
  const part = {
    link: h("a", { class: "name" }),
    flags: h("span", { class: "flags" }),
    bar: h("span", { class: "bar" }),
    shares: h("span", { class: "shares" }),
  };
  for (const name of ["rate", "errors", "p99", "budget", "well"]) part[name] = h("span");
  const named = (name, text) => cell(name, h("span", { class: "label" }, text), part[name]);
  part.node = h("div", { class: "service-row", role: "row" },
    cell("who", part.link, part.flags), cell("split-cell", part.bar, part.shares),
    named("rate", "requests"), named("errors", "errors"), named("p99", "p99"), named("budget", "budget"), named("well", "upstreams"));
  return part;
}

function updateRow(part, glance) {
  if (isSame(part.node, glance)) return;
  const bad = worst(glance.wrong);
  mark(part.node, "data-bad", bad || null);
  say(part.link, glance.name);
  mark(part.link, "href", `#/service/${encodeURIComponent(glance.name)}`);
  const first = glance.wrong[0];
  const flags = [];
  if (glance.rollout) flags.push(["rollout", `${glance.rollout.state === "paused" ? "paused" : "rollout"} → ${glance.rollout.to} ${words.percent(glance.rollout.share)}`]);
  else if (glance.mode !== "serve") flags.push(["high", glance.mode]);
  else if (first) flags.push([first.severity, first.what]);
  put(part.flags, flags.map(([kind, text]) => h("span", { class: `flag ${kind}`, title: text }, text)));
  put(part.bar, splitBar(glance.pools));
  const text = (pool) => `${pool.name}${pool.tag ? ` (${pool.tag})` : ""} ${words.percent(pool.weight)}` +
    (pool.measured !== null && pool.weight > 0 && pool.weight < 100 ? ` (${words.percent(pool.measured)})` : "");
  const some = glance.pools.filter((pool) => pool.weight > 0 || pool.measured > 0);
  put(part.shares, some.map((pool) => h("span", {}, h("i", { class: "dot", style: { background: colour(glance.pools.indexOf(pool)) } }), text(pool))));
  say(part.rate, words.rate(glance.requests_per_second));
  say(part.errors, glance.requests_per_second > 0 ? words.percent(glance.errors) : "–");
  mark(part.errors, "class", ofErrors(glance.errors));
  say(part.p99, words.took(glance.p99));
  const budget = glance.budget;
  say(part.budget, budget ? (budget.remaining === undefined ? budget.state : `${words.percent(budget.remaining)} left`) : "–");
  mark(part.budget, "class", budget && budget.state !== "open" ? "odd-number" : null);
  say(part.well, `${glance.well} of ${glance.upstreams}`);
  mark(part.well, "class", glance.well < glance.upstreams ? "odd-number" : null);
}
