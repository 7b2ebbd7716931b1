// Evidence as it grows: what the judge has found in, a plot with both verdicts out. Upwards that the new
// pool is fine, downwards that it is worse; at the edges it is decided. Both are odds, and drawn as their
// logarithm: so each good second is the same step, and it shows how far there still is to go.

import { h, isSame, keep, mark, say, svg } from "./dom.js";
import * as words from "./words.js";

/** As many moments are kept of one rollout. */
const MOMENTS = 900;

/** The plot's measures. */
const [WIDE, HIGH] = [600, 150];

/** How far odds are on their way to enough, 0 to 1. */
export function way({ odds, enough }) {
  if (!(odds > 1) || !(enough > 1)) return 0;
  return Math.min(1, Math.log(odds) / Math.log(enough));
}

/** The strongest evidence that the new pool is worse. */
function worst(judgement) {
  const found = judgement.metrics.filter((metric) => metric.says !== "not-judged");
  return found.reduce((most, one) => (most === null || way(one.worse) > way(most.worse) ? one : most), null);
}

export class Evidence {
  constructor() {
    this.moments = [];
    this.of = "";
    const line = (name) => svg("polyline", { class: name, fill: "none", "vector-effect": "non-scaling-stroke" });
    this.fine = line("fine");
    this.worse = line("worse");
    this.marks = svg("g", { class: "marks" });
    const edge = (y, name) => svg("line", { x1: 0, x2: WIDE, y1: y, y2: y, class: name, "vector-effect": "non-scaling-stroke" });
    this.plot = svg("svg", { class: "evidence-plot", viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img" },
      edge(1, "edge fine"), edge(HIGH / 2, "zero"), edge(HIGH - 1, "edge worse"), this.marks, this.fine, this.worse);
    this.above = h("p", { class: "edge-name fine" });
    this.below = h("p", { class: "edge-name worse" });
    this.bars = h("div", { class: "bars" });
    this.node = h("div", { class: "evidence" }, h("h3", {}, "Evidence"), this.above, this.plot, this.below, this.bars);
  }

  draw(rollout, isUnderWay, at) {
    const { judgement } = rollout;
    this.node.hidden = !judgement;
    if (!judgement) return;
    const of = `${rollout.service} ${rollout.id}`;
    if (of !== this.of) [this.of, this.moments] = [of, []];
    const worse = worst(judgement);
    const last = this.moments[this.moments.length - 1];
    const moment = { at, share: rollout.share, fine: way(judgement.fine), worse: worse ? way(worse.worse) : 0 };
    if (isUnderWay || this.moments.length === 0) {
      if (!last || last.at !== at) this.moments.push(moment);
      if (this.moments.length > MOMENTS) this.moments.shift();
    }
    this.plot.parentNode.classList.toggle("grows", this.moments.length > 1);
    this.drawPlot(judgement, worse);
    this.drawBars(judgement);
  }

  drawPlot(judgement, worse) {
    const first = this.moments[0].at;
    const span = Math.max(30, this.moments[this.moments.length - 1].at - first);
    const x = (at) => ((at - first) / span) * WIDE;
    const points = (name, sign) => this.moments.map((one) => `${x(one.at).toFixed(1)},${(HIGH / 2 - sign * one[name] * (HIGH / 2 - 2)).toFixed(1)}`).join(" ");
    mark(this.fine, "points", points("fine", 1));
    mark(this.worse, "points", points("worse", -1));
    const steps = this.moments.filter((one, nth) => nth > 0 && one.share !== this.moments[nth - 1].share);
    keep(this.marks, steps, (one) => one.at, () => ({ node: svg("line", { y1: 0, y2: HIGH, "vector-effect": "non-scaling-stroke" }) }), (part, one) => {
      mark(part.node, "x1", x(one.at));
      mark(part.node, "x2", x(one.at));
    });
    const fine = `fine ${words.odds(judgement.fine.odds)} of ${words.odds(judgement.fine.enough)}`;
    const bad = worse ? `worse ${words.odds(worse.worse.odds)} of ${words.odds(worse.worse.enough)} (${worse.metric})` : "nothing judged yet";
    mark(this.plot, "aria-label", `Evidence over ${words.length(span)}: ${fine}; ${bad}`);
    say(this.above, `▲ goes on at ${words.odds(judgement.fine.enough)} that it is fine${judgement.requests_missing ? `; about ${words.number(judgement.requests_missing)} more good requests` : ""}`);
    say(this.below, `▼ is taken back at ${worse ? words.odds(worse.worse.enough) : "enough"} that it is worse`);
  }

  drawBars(judgement) {
    const told = [
      { name: "fine", kind: "fine", bar: judgement.fine, says: "" },
      ...judgement.metrics.map((metric) => ({ name: `worse: ${metric.metric}`, kind: "worse", bar: metric.worse, says: metric.says })),
    ];
    if (isSame(this.bars, told)) return;
    keep(this.bars, told, (one) => one.name, (one) => {
      const [fill, text] = [h("span", { class: "fill" }), h("span", { class: "odds" })];
      return { node: h("div", { class: `bar-row ${one.kind}` }, h("span", { class: "bar-name" }, one.name), h("span", { class: "track" }, fill), text), fill, text };
    }, (part, one) => {
      part.fill.style.width = `${(way(one.bar) * 100).toFixed(1)}%`;
      say(part.text, one.says === "not-judged" ? "not judged" : `${words.odds(one.bar.odds)} of ${words.odds(one.bar.enough)}${one.says === "fails" ? " · fails" : ""}`);
      mark(part.node, "data-says", one.says);
    });
  }
}
