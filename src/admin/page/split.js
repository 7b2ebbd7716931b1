// The split as a control: it shows beforehand what it would move.

import { may } from "./app.js";
import { colour } from "./colours.js";
import { h, isSame, keep, mark, put, say, svg } from "./dom.js";
import { order, orderButton, paragraph } from "./order.js";
import { isUnderWay } from "./states.js";
import * as words from "./words.js";

const SHIFT = "PUT /v1/services/{service}/split";
const FLIP = "POST /v1/services/{service}/flip";

/** Shares in hundredths of a percent, as the API counts them. */
const WHOLE = 10000;

/** What moves between two splits: from whom, to whom, how much, in hundredths of a percent. */
export function moves(before, after) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const left = names.map((name) => [name, (before[name] ?? 0) - (after[name] ?? 0)]).filter(([, by]) => by > 0);
  const found = [];
  for (const name of names) {
    let gains = (after[name] ?? 0) - (before[name] ?? 0);
    for (const giver of left) {
      const moved = Math.min(gains, giver[1]);
      if (moved <= 0) continue;
      found.push([giver[0], name, moved]);
      giver[1] -= moved;
      gains -= moved;
    }
  }
  return found;
}

/** Gives `name` the share `to` and takes it from, or gives it to, the others: the largest first. */
export function moved(split, name, to) {
  const next = { ...split };
  const wanted = Math.max(0, Math.min(WHOLE, Math.round(to)));
  let rest = wanted - (split[name] ?? 0);
  next[name] = wanted;
  const others = Object.keys(split).filter((other) => other !== name).sort((one, other) => split[other] - split[one]);
  for (const other of others) {
    const share = Math.max(0, Math.min(WHOLE, next[other] - rest));
    rest -= next[other] - share;
    next[other] = share;
  }
  return rest === 0 ? next : split;
}

function bar(shares, indexOf, label) {
  const node = svg("svg", { class: "wide-split", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": label });
  let x = 0;
  for (const [pool, share] of Object.entries(shares)) {
    if (share > 0) node.append(svg("rect", { x, y: 0, width: share / 100, height: 10, fill: colour(indexOf(pool)) }));
    x += share / 100;
  }
  return node;
}

export function panel(name, path) {
  const node = h("section", { class: "panel split-panel", "aria-labelledby": "split-title" });
  const now = h("div", { class: "bar-line" });
  const then = h("div", { class: "bar-line" });
  const controls = h("div", { class: "sliders" });
  const forecast = h("div", { class: "forecast", "aria-live": "polite" });
  const by = h("p", { class: "hint" });
  const flips = h("div", { class: "buttons" });
  let [service, wanted] = [null, null];

  const shift = orderButton("Shift…", () => ask(), { class: "main" });
  const reset = h("button", { type: "button", class: "quiet", onclick: () => { wanted = null; paint(); } }, "As it is");
  put(node,
    h("h2", { id: "split-title" }, "Split"), now, then, controls, forecast,
    may(SHIFT) ? h("div", { class: "buttons" }, shift, reset) : null, flips, by);

  const set = () => Object.fromEntries(service.pools.map((pool) => [pool.name, Math.round(pool.weight * 100)]));
  const indexOf = (pool) => service.pools.findIndex((one) => one.name === pool);

  function choose(pool, to) {
    wanted = moved(wanted ?? set(), pool, to);
    if (JSON.stringify(wanted) === JSON.stringify(set())) wanted = null;
    paint();
  }

  function control(pool) {
    const range = h("input", { type: "range", min: 0, max: 100, step: 1, "aria-label": `Share of ${pool.name}`, oninput: () => choose(pool.name, range.value * 100) });
    const exact = h("input", { type: "number", min: 0, max: 100, step: 0.01, "aria-label": `Share of ${pool.name} in percent`, onchange: () => choose(pool.name, Number(exact.value) * 100) });
    range.style.setProperty("accent-color", colour(pool.index));
    const measured = h("span", { class: "measured" });
    const head = h("span", { class: "pool-name" }, h("i", { class: "dot", style: { background: colour(pool.index) } }), h("span", {}, pool.name), h("span", { class: "hint tag" }));
    const can = may(SHIFT);
    const share = h("strong", { class: "share" });
    return { node: h("div", { class: "slider" }, head, can ? range : h("span"), can ? h("span", { class: "exact" }, exact, "%") : share, measured), range, exact, measured, head, share };
  }

  function paint() {
    if (!service) return;
    const is = set();
    const to = wanted ?? is;
    put(now, h("span", { class: "hint" }, "set"), bar(is, indexOf, `Set: ${words.shares(Object.fromEntries(service.pools.map((pool) => [pool.name, pool.weight])))}`));
    const isMeasured = service.pools.some((pool) => pool.measured !== null);
    if (wanted) put(then, h("span", { class: "hint" }, "then"), bar(to, indexOf, "What it would be"));
    else if (isMeasured) put(then, h("span", { class: "hint" }, "measured"), bar(Object.fromEntries(service.pools.map((pool) => [pool.name, (pool.measured ?? 0) * 100])), indexOf, "Measured over the last ten seconds"));
    else put(then, h("span", { class: "hint" }, "measured"), h("span", { class: "hint" }, "nothing yet under this split"));
    keep(controls, service.pools, (pool) => pool.name, control, (part, pool) => {
      const share = to[pool.name] / 100;
      if (document.activeElement !== part.range || Number(part.range.value) !== Math.round(share)) part.range.value = share;
      if (document.activeElement !== part.exact) part.exact.value = share;
      say(part.share, words.percent(share));
      say(part.measured, pool.measured === null ? "" : `${words.percent(pool.measured)} measured`);
      say(part.head.lastChild, pool.tag ?? "");
    });
    foresee(is, to);
    reset.hidden = !wanted;
    shift.cannot(wanted ? "" : service.pools.length < 2 ? "There is only one pool." : "Move a share first: this is the split as it is.");
  }

  /** What a shift would move, in words. */
  function foresee(is, to) {
    // It is read aloud: said anew when something else would be moved, and not because rates waver.
    if (isSame(forecast, [wanted, is, service.pools.map((pool) => pool.available), service.rollout?.state])) return;
    const found = wanted ? moves(is, to) : [];
    const lines = found.map(([from, into, share]) => {
      const rate = service.requests_per_second * share / WHOLE;
      return h("p", {}, h("strong", {}, words.percent(share / 100)), " of the clients, about ", h("strong", {}, words.rate(rate)), `, go from ${from} to ${into}.`);
    });
    if (wanted) {
      const stay = WHOLE - found.reduce((sum, [, , share]) => sum + share, 0);
      lines.push(h("p", { class: "hint" }, stay > 0 ? `${words.percent(stay / 100)} stay where they are.` : "Nobody stays where they are.",
        isUnderWay(service.rollout) ? " The rollout under way ends: it is superseded." : ""));
      for (const pool of service.pools) {
        if (to[pool.name] > is[pool.name] && !pool.available) lines.push(h("p", { class: "problem" }, `${pool.name} takes no requests now.`));
        const full = service.pools.find((one) => is[one.name] > 0);
        if (to[pool.name] > is[pool.name] && full && pool.upstreams.length < full.upstreams.length) {
          lines.push(h("p", { class: "hint" }, `${pool.name} has ${words.several(pool.upstreams.length, "upstream", "upstreams")}, ${full.name} has ${full.upstreams.length}.`));
        }
      }
    }
    put(forecast, lines);
  }

  function ask() {
    const [to, revision] = [{ ...wanted }, service.revision];
    const percents = Object.fromEntries(Object.entries(to).map(([pool, share]) => [pool, share / 100]));
    order({
      title: `Shift ${name}`,
      what: [...forecast.children].map((line) => line.cloneNode(true)),
      method: "PUT",
      path: `${path}/split`,
      body: { weights: percents },
      expects: revision,
      command: ["shift", name, ...Object.entries(percents).map(([pool, share]) => `${pool}=${share}`), "--if-revision", String(revision)],
      force: "Even if nobody of a pool takes requests",
      button: "Shift",
      done: (made) => `Revision ${made.revision}: ${words.shares(made.weights)}.`,
      after: () => { wanted = null; paint(); },
    });
  }

  function flip(pool) {
    order({
      title: `Flip ${name} to ${pool}`,
      what: paragraph(h("strong", {}, "Everything"), `, about ${words.rate(service.requests_per_second)}, goes to ${pool} at once. It is one change: a rollback takes it back.`),
      method: "POST",
      path: `${path}/flip`,
      body: { to: pool },
      expects: service.revision,
      command: ["flip", name, pool],
      force: "Even if nobody of it takes requests",
      danger: true,
      button: `All to ${pool}`,
      done: (made) => `Revision ${made.revision}: ${words.shares(made.weights)}.`,
      after: () => { wanted = null; paint(); },
    });
  }

  function drawFlips() {
    if (!may(FLIP) || service.pools.length < 2) return;
    keep(flips, service.pools, (pool) => pool.name, (pool) => {
      const button = orderButton(`All to ${pool.name}…`, () => flip(pool.name));
      return { node: button };
    }, (part, pool) => part.node.cannot(pool.weight === 100 ? `${pool.name} gets everything already.` : ""));
  }

  return {
    node,
    draw(next) {
      // What somebody else has moved meanwhile is not moved back by what was chosen before.
      const names = (of) => of.pools.map((pool) => pool.name).join(" ");
      if (service && (service.revision !== next.revision || names(service) !== names(next))) wanted = null;
      service = next;
      paint();
      drawFlips();
      const newest = next.newest;
      mark(by, "title", newest?.reason ?? null);
      say(by, newest ? `Revision ${newest.revision}, ${words.clock(newest.at)}, by ${newest.author}${newest.reason ? `: ${newest.reason}` : ""}${newest.outcome ? ` (${newest.outcome})` : ""}` : "");
      mark(node, "data-revision", next.revision);
    },
  };
}
