// A rollout: its row in; its steps as a line, its evidence, what the judge says and what can be ordered
// out. One that is over says how it ended, and why.

import { ask } from "./api.js";
import { live, may, now } from "./app.js";
import { colour } from "./colours.js";
import { h, isSame, keep, mark, put, say } from "./dom.js";
import { Evidence } from "./evidence.js";
import { Once } from "./once.js";
import { choice, order, orderButton, paragraph } from "./order.js";
import { isBack, isUnderWay } from "./states.js";
import * as words from "./words.js";

const START = "POST /v1/services/{service}/rollout";
const VERB = "POST /v1/services/{service}/rollout/{verb}";

/** What each order does; and why it cannot be given where a rollout is under way and does not take it. */
const VERBS = {
  pause: ["Pause…", "It stays at its share until it is resumed.", "It is paused already."],
  resume: ["Resume…", "It goes on from where it is.", "It is not paused."],
  step: ["One step…", "It goes to its next share now, whatever the judge still waits for.", "There is no next step to take now."],
  promote: ["All the way…", "Everything goes to the new pool now, and it is watched there.", "It has everything already."],
  abort: ["Take back…", "Everything goes back to the old pool at once.", "It cannot be taken back now."],
};

export function panel(name, path) {
  const title = h("h2", { id: "rollout-title" }, "Rollout");
  const state = h("span", { class: "state", role: "status" });
  const line = h("div", { class: "steps" });
  const status = h("p", { class: "status" });
  const counts = h("div", { class: "versus" });
  const evidence = new Evidence();
  const says = h("p", { class: "judge" });
  const regressed = h("div", { class: "regressed" });
  const verbs = h("div", { class: "buttons verbs" });
  const log = h("div", { class: "log" });
  const more = h("details", { hidden: true, ontoggle: () => more.open && fetchLog() }, h("summary", {}, "What was said of it, and requests that failed"), log);
  const node = h("section", { class: "panel rollout-panel", "aria-labelledby": "rollout-title" },
    h("div", { class: "panel-head" }, title, state), line, status, counts, evidence.node, says, regressed, verbs, more);
  const [buttons, start] = makeButtons();
  let [service, rollout, reached] = [null, null, 0];

  function makeButtons() {
    const made = new Map();
    const start = may(START) ? orderButton("Start a rollout…", () => ask_to_start(), { class: "main" }) : null;
    if (start) verbs.append(start);
    if (may(VERB)) {
      for (const [verb, [text]] of Object.entries(VERBS)) {
        const button = orderButton(text, () => give(verb), { class: verb === "abort" ? "danger-line" : "" });
        made.set(verb, button);
        verbs.append(button);
      }
    }
    return [made, start];
  }

  function give(verb) {
    const [text, does] = VERBS[verb];
    const what = {
      step: () => {
        const next = rollout.steps[rollout.steps_taken];
        return `${rollout.to} goes from ${words.percent(rollout.share)} to ${words.percent(next ?? 100)} now, whatever the judge still waits for. Then it waits for the judge again.`;
      },
      promote: () => `${rollout.to} goes from ${words.percent(rollout.share)} to 100 % now, past ${words.several(Math.max(0, rollout.steps.length - rollout.steps_taken - 1), "step", "steps")} on the way. ${rollout.from} is kept warm for a while.`,
      abort: () => `${words.percent(rollout.share)} of the clients go back from ${rollout.to} to ${rollout.from} at once.`,
    }[verb]?.() ?? does;
    order({
      title: { pause: "Pause the rollout", resume: "Resume the rollout", step: "Take one step", promote: `Everything to ${rollout.to}`, abort: "Take the rollout back" }[verb],
      what: paragraph(what),
      method: "POST",
      path: `${path}/rollout/${verb}`,
      body: {},
      command: ["rollout", verb, name],
      force: verb === "abort" ? `Even if nobody of ${rollout.from} takes requests` : undefined,
      danger: verb === "abort" || verb === "promote",
      button: text.replace("…", ""),
      done: (made) => `${made.status}.`,
    });
  }

  function ask_to_start() {
    const others = service.pools.filter((pool) => pool.weight < 100);
    const to = h("select", { "data-first": true }, others.map((pool) => h("option", { value: pool.name }, pool.name)));
    const strategy = h("select", {}, ["as the file says", "canary", "blue-green", "all-at-once", "rolling"].map((one, nth) => h("option", { value: nth ? one : "" }, one)));
    const steps = h("input", { type: "text", placeholder: "as the file says", pattern: "[0-9., ]*" });
    const hold = h("input", { type: "text", placeholder: "as the file says" });
    const list = () => steps.value.split(",").map((one) => one.trim()).filter(Boolean).map(Number);
    order({
      title: `Start a rollout of ${name}`,
      what: paragraph("It goes step by step; after each the judge compares both pools. Where the new one is worse, everything goes back by itself."),
      more: h("div", { class: "fields" }, choice("to", "To which pool", to), choice("strategy", "How", strategy),
        choice("steps", "Steps in percent", steps, "such as 1, 10, 50, 100"), choice("hold", "A step lasts at least", hold, "such as 60s")),
      method: "POST",
      path: `${path}/rollout`,
      body: () => ({
        to: to.value,
        ...(strategy.value ? { strategy: strategy.value } : {}),
        ...(list().length ? { steps: list() } : {}),
        ...(hold.value.trim() ? { hold: hold.value.trim() } : {}),
      }),
      expects: service.revision,
      command: () => ["rollout", "start", name, "--to", to.value, ...(strategy.value ? ["--strategy", strategy.value] : []),
        ...(list().length ? ["--steps", list().join(",")] : []), ...(hold.value.trim() ? ["--hold", hold.value.trim()] : [])],
      force: "Even though nobody of the pool accepts connections yet",
      button: "Start",
      done: (made) => `Rollout ${made.id} to ${made.to} is under way.`,
    });
  }

  const report = (id) => ask("GET", `${path}/rollouts/${id}/report`);

  /** How far it had come when it was taken back: its row says how it is now. */
  const reach = new Once(report, ({ trail }) => {
    reached = trail.reduce((most, second) => Math.max(most, second.share), 0);
  });

  /** What was said of it, and which requests failed. */
  const said = new Once(() => report(rollout.id), (told) => {
    put(log,
      h("ol", { class: "said" }, told.log.map((said) => h("li", {}, h("time", { datetime: words.iso(said.at) }, words.clock(said.at)), " ", said.what))),
      told.failing.length ? h("h3", {}, `A few requests that failed at ${rollout.to}`) : null,
      told.failing.length ? h("ul", { class: "plain failing" }, told.failing.map((one) => h("li", {},
        h("code", {}, `${one.method} ${one.path}`), " ", h("strong", {}, one.ended), ` after ${words.took(one.took_ms / 1000)} at ${one.upstream} `,
        may("GET /v1/requests/{id}") ? h("a", { href: `#/why/${encodeURIComponent(one.request_id)}` }, "why") : null))) : null);
  }, (error) => put(log, h("p", { class: "problem" }, error.message)));

  function fetchLog() {
    said.want(`${rollout.id} ${rollout.state} ${rollout.share}`);
  }

  function draw(next) {
    if (rollout?.id !== next.rollout?.id) reached = 0;
    [service, rollout] = [next, next.rollout];
    const goesOn = isUnderWay(rollout);
    const sharing = service.pools.filter((pool) => pool.weight > 0);
    start?.cannot(goesOn ? "One is under way already." : service.pools.length < 2 ? "There is only one pool." : sharing.length > 1 ? `${sharing.map((pool) => pool.name).join(" and ")} share the traffic: shift all of it to one first.` : "");
    for (const [verb, button] of buttons) {
      const why = !goesOn ? "Only while a rollout is under way." : rollout.verbs.includes(verb) ? "" : VERBS[verb][2];
      button.cannot(why);
    }
    if (start) start.hidden = goesOn;
    mark(node, "data-state", rollout?.state ?? "none");
    more.hidden = !rollout;
    if (!rollout) {
      say(status, "There has been none yet.");
      evidence.node.hidden = true;
      return;
    }
    say(title, `Rollout ${rollout.id}: ${rollout.from} → ${rollout.to}${rollout.deploys?.tag ? ` (${rollout.deploys.tag})` : ""}`);
    say(state, rollout.state);
    mark(state, "data-state", rollout.state);
    if (isBack(rollout)) reach.want(rollout.id);
    drawSteps(line, rollout, service, isBack(rollout) ? reached : null);
    say(status, [rollout.status, rollout.waits_for?.length ? `waits for ${rollout.waits_for.join(", ")}` : null,
      rollout.ended ? `${words.ago(rollout.ended, now())}, by ${rollout.author}` : `begun ${words.ago(rollout.started, now())} by ${rollout.author}`,
      rollout.reason ? `“${rollout.reason}”` : null].filter(Boolean).join(" · "));
    drawCounts(counts, rollout, service);
    evidence.draw(rollout, goesOn, live.at);
    const isTold = rollout.judgement && rollout.status.includes(rollout.judgement.evidence);
    says.hidden = isTold;
    say(says, rollout.judgement && !isTold ? `${rollout.judgement.evidence}${rollout.judgement.prometheus ? ` Prometheus: ${rollout.judgement.prometheus}` : ""}` : "");
    drawRegressed(regressed, rollout.judgement?.regressed ?? []);
    if (more.open) fetchLog();
  }
  return { node, draw };
}

/** The steps as a line with a stop for each share. */
function drawSteps(node, rollout, service, reached) {
  const { steps, share, state } = rollout;
  const isBack = reached !== null;
  const taken = isBack ? steps.filter((step) => step <= reached).length : rollout.steps_taken;
  if (isSame(node, [rollout.id, steps, taken, share, state])) return;
  const index = service.pools.findIndex((pool) => pool.name === rollout.to);
  node.style.setProperty("--pool", colour(Math.max(0, index)));
  mark(node, "data-back", isBack);
  put(node, h("ol", { "aria-label": "Steps" }, steps.map((step, nth) => {
    const is = state === "promoted" || nth < taken - 1 ? "done" : nth === taken - 1 ? (isBack ? "back" : "here") : "ahead";
    const told = { done: "done", here: "here now", back: "taken back here", ahead: "ahead" }[is];
    return h("li", { class: is, "aria-current": is === "here" ? "step" : null }, h("span", { class: "stop" }), h("span", { class: "step-share" }, words.percent(step)), h("span", { class: "sr" }, ` ${told}`));
  })));
}

/** Both pools side by side. */
function drawCounts(node, rollout, service) {
  const took = new Map(rollout.latency.map((latency) => [latency.pool, latency]));
  const errors = rollout.judgement?.metrics.find((metric) => metric.metric === "errors");
  const of = { [rollout.from]: errors?.stable, [rollout.to]: errors?.target ?? rollout.step };
  const told = [rollout.from, rollout.to].map((pool) => ({ pool, counts: of[pool], took: took.get(pool) }));
  if (isSame(node, told)) return;
  keep(node, told, (one) => one.pool, (one) => {
    const index = service.pools.findIndex((pool) => pool.name === one.pool);
    const text = h("span");
    return { node: h("p", {}, h("i", { class: "dot", style: { background: colour(Math.max(0, index)) } }), h("strong", {}, one.pool), " ", text), text };
  }, (part, one) => say(part.text, [
    one.counts ? `${words.number(one.counts.failed)} of ${words.number(one.counts.requests)} failed (${words.percent(one.counts.errors)})` : null,
    one.took?.count ? `p50 ${words.took(one.took.p50)}, p99 ${words.took(one.took.p99)}` : null,
  ].filter(Boolean).join(" · ") || "nothing counted yet"));
}

/** Routes whose errors rose. */
function drawRegressed(node, list) {
  node.hidden = list.length === 0;
  if (isSame(node, list)) return;
  put(node, h("h3", {}, "Routes that got worse"),
    h("table", {}, h("thead", {}, h("tr", {}, ["Route", "Old pool", "New pool", "Evidence"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, list.map((one) => h("tr", {}, h("th", { scope: "row" }, one.route),
        h("td", {}, `${words.percent(one.stable.errors)} of ${words.number(one.stable.requests)}`),
        h("td", {}, `${words.percent(one.target.errors)} of ${words.number(one.target.requests)}`),
        h("td", {}, words.odds(one.odds)))))));
}

