// How much pools carry, and how much more they could: one service after the other in; a table for each out,
// the least room first. Services are asked for as they come into sight, so that thousands cost nothing.

import { ask, part as inPath } from "./api.js";
import { live } from "./app.js";
import { colour } from "./colours.js";
import { h, put, say } from "./dom.js";
import { command } from "./command.js";
import * as words from "./words.js";

/** So many services are there at once; the rest once they are asked for. */
const PAGE = 20;

const BY = {
  limit: "held at once: the limit",
  doubled: "held at once: p99 doubles",
  carried: "a second: what one has carried well",
};

export function open(view, rest = []) {
  const search = h("input", { type: "search", "aria-label": "Find a service", placeholder: "Find a service", autocomplete: "off", value: rest[0] ?? "", oninput: () => list(PAGE) });
  const all = h("div", { class: "capacities" });
  const more = h("button", { type: "button", hidden: true, onclick: () => list(shown + PAGE) }, "More services");
  const none = h("p", { class: "none", hidden: true });
  put(view, h("div", { class: "title" }, h("h1", {}, "Capacity"), h("div", { class: "tools" }, search)),
    h("p", { class: "hint" }, "The highest of 28 days, over ten seconds. A ceiling is a limit of the config, or how many at once double the p99; where neither is known, what one upstream of the service has carried well: it may be able to carry more."),
    all, none, more,
    h("div", { class: "same" }, h("span", { class: "hint" }, "The same from a terminal"), h("div", { class: "command-line" }, h("code", { class: "command" }, command(["capacity"])))));
  const parts = new Map();
  let [names, shown, has] = ["", 0, false];

  /** Lists so many of those that are called like what is looked for, the busiest first. */
  function list(most) {
    const wanted = search.value.trim().toLowerCase();
    const found = live.of("service/").filter(([name]) => name.toLowerCase().includes(wanted));
    found.sort(([one, first], [other, second]) => second.requests_per_second - first.requests_per_second || (one < other ? -1 : 1));
    shown = most;
    put(all, found.slice(0, most).map(([name]) => {
      if (!parts.has(name)) parts.set(name, section(name));
      return parts.get(name);
    }));
    more.hidden = found.length <= most;
    none.hidden = found.length > 0;
    say(none, live.of("service/").length === 0 ? "The config has no service." : `No service is called like “${search.value.trim()}”.`);
  }

  return {
    draw() {
      // What moves each second is not sorted anew each second: nobody could read it.
      const now = live.of("service/").map(([name]) => name).join("\n");
      if (has && now === names) return;
      [has, names] = [true, now];
      list(shown || PAGE);
    },
  };
}

/** A service, which is asked about when it is made. */
function section(name) {
  const table = h("div", {}, h("p", { class: "hint" }, "Looking…"));
  const said = h("p", { class: "hint" });
  const title = `capacity-${name}`;
  const node = h("section", { class: "panel capacity", "aria-labelledby": title, "data-service": name },
    h("h2", { id: title }, h("a", { href: `#/service/${inPath(name)}` }, name)), table, said);
  ask("GET", `/v1/services/${inPath(name)}/capacity`).then((of) => {
    put(table, tableOf(of));
    say(said, about(of));
  }, (error) => put(table, h("p", { class: "problem" }, error.message)));
  return node;
}

function tableOf(of) {
  // What matters most stands first: on a phone the rest is out of sight.
  const heads = ["Pool", "Room", "One lost", "Ceiling", "Share", "Upstreams", "Requests", "Most", "Held", "Most held"];
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Pools of ${of.service}` }, h("table", {},
    h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, of.pools.map((pool, nth) => h("tr", { "data-pool": pool.pool },
      h("th", { scope: "row" }, h("i", { class: "dot", style: { background: colour(nth) } }), pool.pool),
      h("td", {}, room(pool.ceiling, pool.ceiling?.head_room)),
      h("td", {}, room(pool.ceiling, pool.ceiling?.head_room_without_largest)),
      h("td", {}, pool.ceiling ? `${pool.ceiling.by === "carried" ? "≥ " : ""}${words.number(pool.ceiling.most)} ${BY[pool.ceiling.by]}` : "not known yet"),
      h("td", {}, words.percent(pool.share)),
      h("td", {}, `${pool.well} of ${pool.upstreams} well`),
      h("td", {}, words.rate(pool.requests_per_second)),
      h("td", {}, highest(pool.highest_rate, words.rate)),
      h("td", {}, words.number(pool.in_flight)),
      h("td", {}, highest(pool.highest_in_flight, words.number)))))));
}

function highest(one, say) {
  return one ? h("span", { title: words.clock(one.hour) }, say(one.value)) : "–";
}

/** How much is free: as a bar and in words; below nothing there is more than it can carry. */
function room(ceiling, free) {
  if (!ceiling) return "–";
  const used = Math.max(0, Math.min(100, 100 - free));
  const kind = free < 0 ? "bad-number" : free < 20 ? "odd-number" : null;
  return h("span", { class: "room" },
    h("span", { class: "track", "aria-hidden": "true" }, h("span", { class: "fill", "data-kind": kind, style: { width: `${used}%` } })),
    h("span", { class: kind }, free < 0 ? `${Math.round(-free)} % too much` : `${ceiling.by === "carried" && free > 0 ? "≥ " : ""}${Math.round(free)} % free`));
}

/** What is to be said of a service beside its numbers. */
function about(of) {
  if (of.carried === null || of.carried === undefined) return "Nothing shows yet how much one upstream carries.";
  const carried = `One upstream has carried ${words.rate(of.carried)} well at most (pool ${of.carried_in}, for each 100 of weight).`;
  return of.hours < of.hours_needed
    ? `${carried} Changes that give one too much are warned of after ${of.hours_needed} hours with requests; ${of.hours} so far.`
    : `${carried} A change that gives one more than 80 % of it is warned of.`;
}
