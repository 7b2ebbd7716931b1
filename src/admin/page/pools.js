// Pools and their upstreams: state, since when, the last failure, labels; and what can be ordered of
// each. Of many upstreams only those that can be seen are drawn, those that are not well first.

import { part as inPath } from "./api.js";
import { may, now } from "./app.js";
import { colour } from "./colours.js";
import { Rows, h, isSame, keep, mark, say } from "./dom.js";
import { choice, order, orderButton, paragraph } from "./order.js";
import { ofErrors } from "./states.js";
import * as words from "./words.js";

const DRAIN = "PUT /v1/services/{service}/pools/{pool}/upstreams/{address}/state";
const BREAKER = "PUT /v1/services/{service}/pools/{pool}/breaker";
const OWN_BREAKER = "PUT /v1/services/{service}/pools/{pool}/upstreams/{address}/breaker";
const ADD = "POST /v1/services/{service}/pools/{pool}/upstreams";
const REMOVE = "DELETE /v1/services/{service}/pools/{pool}/upstreams/{address}";

/** States in the order in which they want to be seen, with a sign for each. */
const STATES = {
  down: ["down", "✕", "bad"],
  refusing: ["refusing", "✕", "bad"],
  failing: ["failing", "✕", "bad"],
  ejected: ["ejected", "✕", "bad"],
  "breaker-open": ["breaker open", "✕", "bad"],
  "breaker-half-open": ["breaker half open", "◐", "odd"],
  unresolved: ["unresolved", "?", "odd"],
  unproven: ["unproven", "?", "odd"],
  draining: ["draining", "↓", "odd"],
  "slow-start": ["slow start", "↑", "odd"],
  active: ["active", "●", "well"],
};
const ORDER = Object.keys(STATES);

function height() {
  return matchMedia("(max-width: 700px)").matches ? 132 : 58;
}

export function panel(name, path) {
  const node = h("section", { class: "panel pools-panel", "aria-labelledby": "pools-title" }, h("h2", { id: "pools-title" }, "Pools and upstreams"));
  const list = h("div", { class: "pools" });
  node.append(list);
  const parts = [];
  return {
    node,
    draw(service) {
      keep(list, service.pools, (pool) => pool.name, (pool) => {
        const made = new PoolPart(name, path, pool);
        parts.push(made);
        return made;
      }, (part, pool) => part.draw(pool, service));
    },
    close: () => parts.forEach((part) => part.rows.end()),
  };
}

class PoolPart {
  constructor(service, path, pool) {
    Object.assign(this, { service, pool, path: `${path}/pools/${inPath(pool.name)}` });
    this.facts = h("p", { class: "facts" });
    this.tag = h("span", { class: "hint tag" });
    this.buttons = h("div", { class: "buttons" });
    this.scroller = h("div", { class: "rows upstreams", role: "rowgroup", tabindex: "0", "aria-label": `Upstreams of ${pool.name}` });
    this.rows = new Rows(this.scroller, height, () => this.makeRow(), (part, upstream) => this.updateRow(part, upstream));
    const heads = ["Upstream", "State", "Last failure", "Requests", "Errors", "Latency", "In flight", "Weight", may(DRAIN) ? "Orders" : ""];
    this.table = h("div", { class: "table", role: "table", "aria-label": `Upstreams of ${pool.name}` },
      h("div", { role: "rowgroup" }, h("div", { class: "upstream-row headings", role: "row", "aria-rowindex": 1 }, heads.map((text) => h("span", { role: "columnheader" }, text)))), this.scroller);
    this.node = h("div", { class: "pool" },
      h("div", { class: "panel-head" }, h("h3", {}, h("i", { class: "dot", style: { background: colour(pool.index) } }), pool.name, " ", this.tag), this.buttons), this.facts, this.table);
    if (may(BREAKER)) {
      this.breaker = orderButton("Breaker…", () => this.orderBreaker(this.path, `${this.service}/${this.pool.name}`, this.pool.breaker));
      this.buttons.append(this.breaker);
    }
    if (may(ADD)) this.buttons.append(orderButton("Add an upstream…", () => this.add()));
  }

  draw(pool, service) {
    this.pool = pool;
    this.all = service;
    say(this.tag, pool.tag ? `${pool.tag}${pool.deployed_by ? `, deployed by rollout ${pool.deployed_by}` : ""}` : "");
    const took = pool.latency[0] ?? {};
    say(this.facts, [
      `set ${words.percent(pool.weight)}`,
      pool.measured !== null ? `measured ${words.percent(pool.measured)}` : null,
      words.rate(pool.requests_per_second),
      `${words.percent(pool.errors)} errors`,
      `p50 ${words.took(took.p50)}`, `p95 ${words.took(took.p95)}`, `p99 ${words.took(took.p99)}`,
      `${words.number(pool.in_flight)} in flight`,
      pool.breaker.state !== "closed" || pool.breaker.order !== "auto" ? `breaker ${pool.breaker.state}${pool.breaker.order !== "auto" ? " by order" : ""}` : pool.breaker.opened ? `breaker closed, has opened ${words.several(pool.breaker.opened, "time", "times")}` : "breaker closed",
      pool.available ? null : "takes no requests",
    ].filter(Boolean).join(" · "));
    const worth = (one) => ORDER.indexOf(one.state);
    const list = [...pool.upstreams].sort((one, other) => worth(one) - worth(other) || (one.address < other.address ? -1 : 1));
    mark(this.table, "aria-rowcount", list.length + 1);
    this.scroller.style.height = `${Math.min(list.length, 8) * height()}px`;
    this.rows.set(list);
  }

  makeRow() {
    const cell = (name, ...inside) => h("span", { role: "cell", class: name }, ...inside);
    const part = { address: h("strong"), labels: h("span", { class: "labels hint" }), sign: h("i", { class: "sign", "aria-hidden": "true" }), state: h("span"), since: h("span", { class: "hint" }), failure: h("span"), when: h("span", { class: "hint" }) };
    for (const one of ["rate", "errors", "latency", "flight", "weight"]) part[one] = h("span");
    const named = (one, text) => cell(one, h("span", { class: "label" }, text), part[one]);
    const buttons = h("span", { class: "row-buttons" });
    if (may(DRAIN)) {
      part.drain = orderButton("Drain…", () => this.drain(part.upstream), { class: "small" });
      buttons.append(part.drain);
    }
    if (may(OWN_BREAKER)) {
      buttons.append(orderButton("Breaker…", () => this.orderBreaker(`${this.path}/upstreams/${inPath(part.upstream.address)}`, `${this.service}/${this.pool.name}`, part.upstream.breaker, part.upstream.address), { class: "small" }));
    }
    if (may(REMOVE)) {
      part.remove = orderButton("Remove…", () => this.remove(part.upstream), { class: "small" });
      buttons.append(part.remove);
    }
    part.node = h("div", { class: "upstream-row", role: "row" },
      cell("address", part.address, part.labels), cell("state", part.sign, h("span", {}, part.state, " ", part.since)),
      cell("failure", part.failure, " ", part.when),
      named("rate", "requests"), named("errors", "errors"), named("latency", "latency"), named("flight", "in flight"), named("weight", "weight"), cell("orders", buttons));
    return part;
  }

  updateRow(part, upstream) {
    part.upstream = upstream;
    const [text, sign, kind] = STATES[upstream.state] ?? [upstream.state, "?", "odd"];
    say(part.since, upstream.since ? `for ${words.length(now() - upstream.since)}` : "");
    const failure = upstream.last_error ?? upstream.last_probe_failure;
    say(part.when, upstream.last_error_at ? words.ago(upstream.last_error_at, now()) : "");
    const isDrained = this.isDrained(upstream);
    const isLast = this.pool.upstreams.length < 2;
    // What can be ordered of it hangs on the others, too.
    if (isSame(part.node, [upstream, isDrained, isLast])) return;
    say(part.address, upstream.address);
    const labels = Object.entries(upstream.labels ?? {}).map(([label, value]) => `${label}=${value}`);
    say(part.labels, [upstream.name, ...labels].filter(Boolean).join(" "));
    say(part.sign, sign);
    mark(part.node, "data-kind", kind);
    say(part.state, text + (upstream.ejected_for ? `, back in ${words.length(upstream.ejected_for)}` : ""));
    mark(part.since, "title", upstream.since ? words.clock(upstream.since) : null);
    say(part.failure, failure ?? "none");
    mark(part.failure, "title", failure ?? null);
    say(part.rate, words.rate(upstream.requests_per_second));
    say(part.errors, upstream.requests_per_second > 0 ? words.percent(upstream.errors_percent) : "–");
    mark(part.errors, "class", ofErrors(upstream.errors_percent));
    say(part.latency, words.took(upstream.latency_seconds));
    say(part.flight, words.number(upstream.in_flight));
    say(part.weight, upstream.weight);
    if (part.drain) say(part.drain, isDrained ? "Let back…" : "Drain…");
    part.remove?.cannot(upstream.name ? "It belongs to a name: remove that." : isLast ? "It is the pool's last one." : "");
  }

  isDrained(upstream) {
    return this.all.orders.some((one) => one.kind === "drain" && one.pool === this.pool.name && one.upstream === upstream.address);
  }

  drain(upstream) {
    const undo = this.isDrained(upstream);
    order({
      title: undo ? `Let ${upstream.address} back` : `Drain ${upstream.address}`,
      what: paragraph(undo ? "It gets requests again." : `It gets no new requests; ${words.several(upstream.in_flight, "request", "requests")} that it holds end. The others of ${this.pool.name} take its ${words.rate(upstream.requests_per_second)}.`),
      method: "PUT",
      path: `${this.path}/upstreams/${inPath(upstream.address)}/state`,
      body: { state: undo ? "active" : "drain" },
      command: ["drain", `${this.service}/${this.pool.name}`, upstream.address, ...(undo ? ["--undo"] : [])],
      force: undo ? undefined : "Even if it is the last one of a pool that gets traffic",
      button: undo ? "Let back" : "Drain",
      done: (set) => (undo ? `${upstream.address} is back.` : `${upstream.address} drains, ${words.several(set.in_flight, "request", "requests")} to end.`),
    });
  }

  orderBreaker(path, target, breaker, address) {
    const state = h("select", { "data-first": true }, [["auto", "decides by itself"], ["open", "lets nothing through"], ["closed", "lets everything through"]].map(([value, text]) => h("option", { value, selected: value === breaker.order }, `${value}: ${text}`)));
    order({
      title: `The circuit breaker of ${address ?? this.pool.name}`,
      what: paragraph(`It is ${breaker.state}, and ${{ auto: "decides by itself", open: "was told to stay open", closed: "was told to stay closed" }[breaker.order]}.`),
      more: choice("breaker", "What it is to do", state),
      method: "PUT",
      path: `${path}/breaker`,
      body: () => ({ state: state.value }),
      command: () => ["breaker", target, state.value, ...(address ? ["--upstream", address] : [])],
      button: "Order it",
      done: (set) => `The breaker: ${set.state}.`,
    });
  }

  add() {
    const address = h("input", { type: "text", required: true, "data-first": true, placeholder: "10.0.0.13:9000", maxlength: 255 });
    const weight = h("input", { type: "number", min: 1, max: 10000, value: 100 });
    order({
      title: `Add an upstream to ${this.pool.name}`,
      what: paragraph("It stays until the pool is edited in the file."),
      more: h("div", { class: "fields" }, choice("address", "Address", address), choice("weight", "Weight", weight)),
      method: "POST",
      path: `${this.path}/upstreams`,
      body: () => ({ address: address.value.trim(), weight: Number(weight.value) }),
      command: () => ["upstream", "add", `${this.service}/${this.pool.name}`, address.value.trim() || "ADDRESS", "--weight", weight.value],
      button: "Add",
      done: (changed) => `${changed.address} is in the pool.`,
    });
  }

  remove(upstream) {
    order({
      title: `Remove ${upstream.address}`,
      what: paragraph("It leaves the pool; requests that it holds end. It stays out until the pool is edited in the file."),
      method: "DELETE",
      path: `${this.path}/upstreams/${inPath(upstream.address)}`,
      query: true,
      command: ["upstream", "remove", `${this.service}/${this.pool.name}`, upstream.address],
      danger: true,
      button: "Remove",
      done: (changed) => `${changed.address} is gone.`,
    });
  }
}

