// What pools did over time: seconds and spans of the live board in; plots of rate, errors and latency
// with shifts and events as marks out.

import { events, live } from "./app.js";
import { dash, painted, read } from "./colours.js";
import { h, keep, mark, put, say } from "./dom.js";
import * as words from "./words.js";

/** What can be looked at: how far back, and how long a point is. */
const WINDOWS = { "5 min": [300, 1], "30 min": [1800, 10] };

/** Where each number stands in a point. */
const QUANTILES = { p50: 3, p95: 4, p99: 5 };

/** Kinds of events that change traffic; all others that are marked are troubles. */
const TRAFFIC = new Set(["traffic", "rollout", "mode", "flag", "upgrade"]);
const TROUBLES = new Set(["breaker", "ejection", "health", "panic", "upstream", "slo", "limit"]);

const HIGH = 160;

export function panel(name) {
  let [size, quantile, service] = ["5 min", "p99", null];
  const legend = h("div", { class: "legend" });
  const marks = h("p", { class: "marked hint", "aria-live": "off" });
  const plots = [
    new Plot("Requests a second", words.number, (point, length) => point[1] / length),
    new Plot("Errors, % of requests", words.percent, (point) => (point[1] > 0 ? (point[2] / point[1]) * 100 : null)),
    new Plot("Latency", words.took, (point) => point[QUANTILES[quantile]]),
  ];
  const pick = (label, list, chosen, choose) => {
    const group = h("div", { class: "pick", role: "group", "aria-label": label });
    const paint = () => put(group, list.map((one) => h("button", { type: "button", "aria-pressed": String(one === chosen()), onclick: () => { choose(one); paint(); redraw(); } }, one)));
    paint();
    return group;
  };
  const node = h("section", { class: "panel plots-panel", "aria-labelledby": "plots-title" },
    h("div", { class: "panel-head" }, h("h2", { id: "plots-title" }, "Over time"),
      h("div", { class: "tools" },
        pick("How far back", Object.keys(WINDOWS), () => size, (one) => (size = one)),
        pick("Which latency", Object.keys(QUANTILES), () => quantile, (one) => (quantile = one)))),
    legend, h("div", { class: "plots" }, plots.map((plot) => plot.node)), marks);

  function redraw() {
    if (!service || document.hidden) return;
    const [span, length] = WINDOWS[size];
    const to = Math.floor(live.at / length) * length - (length === 1 ? 1 : 0);
    const points = length === 1 ? live.seconds : withNewest(live.spans, live.seconds, to);
    // Where nothing is known yet there is nothing to be seen; but a minute is shown at least.
    const first = Math.min(to - 60 * length, ...Object.values(points).filter((known) => known.length).map((known) => known[0][0]));
    const count = Math.min(span / length, Math.max(60, Math.ceil((to - first) / length)));
    const xs = Array.from({ length: count }, (_, nth) => to - (count - nth - 1) * length);
    const found = marksOf(name, xs[0], to);
    say(plots[2].title, `Latency, ${quantile}`);
    for (const plot of plots) plot.draw(xs, points, service.pools, length, found);
    const last = found[found.length - 1];
    say(marks, last ? `Last mark, ${words.clock(last.at)}: ${last.what}` : "No shift and no trouble in this time.");
  }

  const again = () => plots.forEach((plot) => plot.end());
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const repaint = () => { again(); redraw(); };
  scheme.addEventListener("change", repaint);
  return {
    node,
    draw(next) {
      service = next;
      keep(legend, next.pools, (pool) => pool.name, (pool) => {
        const line = h("i", { class: "swatch" });
        line.style.setProperty("border-top-color", `var(--pool-${pool.index % 6})`);
        line.style.setProperty("border-top-style", dash(pool.index).length ? "dashed" : "solid");
        const text = h("span");
        return { node: h("span", {}, line, text), text };
      }, (part, pool) => say(part.text, `${pool.name} ${words.rate(pool.requests_per_second)} · ${words.percent(pool.errors)} errors · p50 ${words.took(pool.latency[0]?.p50)} · p95 ${words.took(pool.latency[0]?.p95)} · p99 ${words.took(pool.latency[0]?.p99)}`));
      redraw();
    },
    close() {
      scheme.removeEventListener("change", repaint);
      again();
    },
  };
}

/** Spans as they came, and those that can be put together from the seconds since. */
function withNewest(spans, seconds, to) {
  const found = Object.create(null);
  for (const pool of new Set([...Object.keys(spans), ...Object.keys(seconds)])) {
    const known = [...(spans[pool] ?? [])];
    const last = known.length ? known[known.length - 1][0] : 0;
    const sums = new Map();
    for (const [at, requests, errors, ...took] of seconds[pool] ?? []) {
      const end = (Math.floor(at / 10) + 1) * 10;
      if (end <= last || end > to) continue;
      const sum = sums.get(end) ?? [end, 0, 0, null, null, null];
      sum[1] += requests;
      sum[2] += errors;
      // The longest of ten seconds is not their quantile, but near enough until the span itself comes.
      took.forEach((one, nth) => { if (one !== null) sum[nth + 3] = Math.max(sum[nth + 3] ?? 0, one); });
      sums.set(end, sum);
    }
    found[pool] = [...known, ...sums.values()];
  }
  return found;
}

/** What happened to a service in this time and is marked. */
function marksOf(name, from, to) {
  return events.filter((event) => event.service === name && event.at >= from && event.at <= to + 1 && (TRAFFIC.has(event.kind) || TROUBLES.has(event.kind)));
}

class Plot {
  constructor(title, write, value) {
    Object.assign(this, { write, value });
    this.title = h("h3", {}, title);
    this.at = h("p", { class: "at hint" });
    this.box = h("div", { class: "plot" });
    this.node = h("figure", {}, h("figcaption", {}, this.title, this.at), this.box);
    this.watch = new ResizeObserver(() => this.plot && this.plot.setSize({ width: this.box.clientWidth, height: HIGH }));
    this.watch.observe(this.box);
  }

  draw(xs, points, pools, length, marks) {
    this.pools = pools;
    this.marks = marks;
    const place = new Map(xs.map((x, nth) => [x, nth]));
    const lines = pools.map((pool) => {
      const line = new Array(xs.length).fill(null);
      const known = points[pool.name] ?? [];
      const has = new Set();
      for (const point of known) {
        const nth = place.get(point[0]);
        if (nth === undefined) continue;
        has.add(nth);
        line[nth] = this.value(point, length);
      }
      // Nothing in it means none; but looks are a little more than a second apart, so that one second now
      // and then has none between two that have, and the newest may be still to come.
      const first = known.length ? known[0][0] : Infinity;
      const isEmpty = (nth) => !has.has(nth) && !(has.has(nth - 1) && has.has(nth + 1));
      if (this.isCounted()) xs.forEach((x, nth) => { if (x >= first && nth < xs.length - 2 && isEmpty(nth)) line[nth] = 0; });
      return line;
    });
    const data = [xs, ...lines];
    if (this.plot && this.plot.series.length === data.length) this.plot.setData(data);
    else {
      this.end();
      if (this.box.clientWidth) this.plot = new uPlot(this.options(pools), data, this.box);
    }
    const last = (line) => line.findLast((value) => value !== null);
    mark(this.box, "role", "img");
    mark(this.box, "aria-label", `${this.title.textContent}: ${pools.map((pool, nth) => `${pool.name} ${this.write(last(lines[nth]))}`).join(", ")}`);
  }

  /** Whether nothing means none. */
  isCounted() {
    return this.write === words.number;
  }

  options(pools) {
    const ink = read("--ink-2");
    const grid = { stroke: read("--line"), width: 1 };
    const axis = { stroke: ink, grid, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    // An axis of nothing still says what a little would be.
    const least = this.write === words.took ? 0.001 : 1;
    return {
      width: this.box.clientWidth,
      height: HIGH,
      legend: { show: false },
      cursor: { sync: { key: "time" }, points: { size: 6 }, drag: { x: false, y: false } },
      scales: { x: { time: true }, y: { range: (_, __, max) => [0, Math.max(least, (max || 0) * 1.1)] } },
      axes: [
        { ...axis, size: 30, space: 70, values: (_, ticks) => ticks.map((at) => new Date(at * 1000).toLocaleTimeString("en-GB").slice(0, 8)) },
        { ...axis, size: 62, space: 34, values: (_, ticks) => ticks.map((value) => this.write(value)) },
      ],
      series: [{}, ...pools.map((pool) => ({ label: pool.name, stroke: painted(pool.index), width: 2, dash: dash(pool.index), points: { show: false }, spanGaps: true }))],
      hooks: { draw: [(plot) => this.drawMarks(plot)], setCursor: [(plot) => this.point(plot)] },
    };
  }

  /** A line at each thing that happened: whole for what moved traffic, dotted for troubles. */
  drawMarks(plot) {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio || 1;
    ctx.save();
    for (const event of this.marks ?? []) {
      const x = Math.round(plot.valToPos(event.at, "x", true));
      const isTraffic = TRAFFIC.has(event.kind);
      ctx.strokeStyle = ctx.fillStyle = read(isTraffic ? "--ink" : "--bad");
      ctx.globalAlpha = 0.75;
      ctx.lineWidth = ratio;
      ctx.setLineDash(isTraffic ? [] : [2 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.beginPath();
      ctx.moveTo(x - 4 * ratio, bbox.top);
      ctx.lineTo(x + 4 * ratio, bbox.top);
      ctx.lineTo(x, bbox.top + 6 * ratio);
      ctx.fill();
    }
    ctx.restore();
  }

  /** What is under the cursor, in words. */
  point(plot) {
    const nth = plot.cursor.idx;
    if (nth === null || nth === undefined) return say(this.at, "");
    const at = plot.data[0][nth];
    const values = this.pools.map((pool, line) => `${pool.name} ${this.write(plot.data[line + 1]?.[nth])}`);
    const near = (this.marks ?? []).filter((event) => Math.abs(plot.valToPos(event.at, "x") - plot.cursor.left) < 6);
    say(this.at, [words.clock(at), ...values, ...near.map((event) => event.what)].join(" · "));
  }

  end() {
    this.plot?.destroy();
    this.plot = null;
  }
}
