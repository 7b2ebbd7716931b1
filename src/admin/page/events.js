// What happened, the newest first: found by words, by how much it matters, by kind.

import { events } from "./app.js";
import { Rows, h, isSame, mark, put, say } from "./dom.js";
import { worth } from "./states.js";
import * as words from "./words.js";

function height() {
  return matchMedia("(max-width: 700px)").matches ? 98 : 50;
}

export function open(view, [service]) {
  const search = h("input", { type: "search", placeholder: "Find in events", "aria-label": "Find in events", value: service ?? "", oninput: () => draw() });
  const least = h("select", { "aria-label": "How much they matter", onchange: () => draw() },
    h("option", { value: "" }, "all"), h("option", { value: "medium" }, "medium and worse"), h("option", { value: "high" }, "high and worse"), h("option", { value: "critical" }, "critical"));
  const kind = h("select", { "aria-label": "Kind", onchange: () => draw() }, h("option", { value: "" }, "of every kind"));
  const sum = h("p", { class: "sum" });
  const scroller = h("div", { class: "rows events", role: "rowgroup", tabindex: "0", "aria-label": "Events" });
  const table = h("div", { class: "table", role: "table", "aria-label": "Events" },
    h("div", { role: "rowgroup" }, h("div", { class: "event-row headings", role: "row", "aria-rowindex": 1 }, ["When", "Matters", "Kind", "Where", "What"].map((text) => h("span", { role: "columnheader" }, text)))), scroller);
  put(view, h("div", { class: "title" }, h("h1", {}, "Events"), h("div", { class: "tools" }, search, least, kind)), sum, table);
  const rows = new Rows(scroller, height, makeRow, updateRow);
  let kinds = "";

  function draw() {
    const all = [...new Set(events.map((event) => event.kind))].sort();
    if (kinds !== all.join(" ")) {
      kinds = all.join(" ");
      const chosen = kind.value;
      put(kind, h("option", { value: "" }, "of every kind"), all.map((one) => h("option", { value: one, selected: one === chosen }, one)));
    }
    const wanted = search.value.trim().toLowerCase();
    const text = (event) => [event.service, event.pool, event.upstream, event.what, event.author, event.reason].join(" ").toLowerCase();
    const list = events.filter((event) => worth(event.severity) >= worth(least.value) && (!kind.value || event.kind === kind.value) && (!wanted || text(event).includes(wanted))).reverse();
    say(sum, `${words.several(list.length, "event", "events")} of the last ${words.several(events.length, "one", "events")}`);
    mark(table, "aria-rowcount", list.length + 1);
    table.hidden = list.length === 0;
    scroller.style.height = `${Math.min(list.length, 400) * height() - 1}px`;
    scroller.style.maxHeight = `max(${height() * 5}px, calc(100dvh - 15rem))`;
    rows.set(list);
  }
  draw();
  let drawn = events;
  return { draw: () => { if (drawn !== events) { drawn = events; draw(); } }, close: () => rows.end() };
}

function makeRow() {
  const cell = (name) => h("span", { role: "cell", class: name });
  const part = { time: cell("when"), severity: cell("severity"), kind: cell("kind hint"), where: cell("where-cell"), what: cell("what-cell") };
  part.node = h("div", { class: "event-row", role: "row" }, part.time, part.severity, part.kind, part.where, part.what);
  return part;
}

function updateRow(part, event) {
  // Not by its number alone: another process may count from the beginning again.
  if (isSame(part.node, event)) return;
  say(part.time, words.clock(event.at));
  mark(part.time, "title", words.iso(event.at));
  say(part.severity, event.severity);
  mark(part.node, "class", `event-row ${event.severity}`);
  say(part.kind, event.kind);
  const rest = [event.pool, event.upstream].filter(Boolean).join(" ");
  put(part.where, event.service ? h("a", { href: `#/service/${encodeURIComponent(event.service)}` }, event.service) : "", rest ? ` ${rest}` : "");
  mark(part.where, "title", [event.service, rest].join(" "));
  const by = [event.author ? `by ${event.author}` : "", event.reason ?? ""].filter(Boolean).join(": ");
  put(part.what, event.what, by ? h("span", { class: "hint" }, ` ${by}`) : null);
  mark(part.what, "title", `${event.what} ${by}`);
}
