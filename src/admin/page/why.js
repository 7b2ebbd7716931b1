// Why a request went as it did: an id in, what happened to it out; and the last ones, to choose from.

import { ask, part as inPath } from "./api.js";
import { h, put, say, svg } from "./dom.js";
import { isFailure } from "./states.js";
import * as words from "./words.js";

export function open(view, [id]) {
  const field = h("input", { type: "text", id: "request-id", value: id ?? "", autocomplete: "off", spellcheck: "false", placeholder: "x-request-id" });
  const problem = h("p", { class: "problem", role: "alert" });
  const found = h("div", { class: "found" });
  const failed = h("input", { type: "checkbox", id: "only-failed", onchange: () => list() });
  const last = h("tbody");
  put(view, h("div", { class: "title" }, h("h1", {}, "Why")),
    h("form", { class: "panel ask", onsubmit: (event) => { event.preventDefault(); location.hash = `#/why/${encodeURIComponent(field.value.trim())}`; } },
      h("div", { class: "field" }, h("label", { for: "request-id" }, "A request's id"), h("div", { class: "ask-line" }, field, h("button", { class: "main", type: "submit" }, "Why?"))),
      h("p", { class: "hint" }, "It is in the field x-request-id of each answer, and in the access log."), problem),
    found,
    h("section", { class: "panel", "aria-labelledby": "last-title" },
      h("div", { class: "panel-head" }, h("h2", { id: "last-title" }, "The last requests"),
        h("div", { class: "buttons" }, h("span", { class: "field row" }, failed, h("label", { for: "only-failed" }, "only those that failed")), h("button", { type: "button", onclick: () => list() }, "Look again"))),
      h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "The last requests" }, h("table", { class: "requests" }, h("thead", {}, h("tr", {}, ["When", "Request", "Status", "Took", "Pool", "Upstream", "Why"].map((text) => h("th", { scope: "col" }, text)))), last))));

  async function list() {
    const all = await ask("GET", "/v1/requests?limit=1000");
    const some = all.filter((one) => !failed.checked || one.cause || isFailure(one) || one.attempts.some((attempt) => attempt.cause)).slice(0, 50);
    put(last, some.map((one) => h("tr", {},
      h("td", {}, words.clock(one.at)),
      h("th", { scope: "row" }, h("code", {}, `${one.method} ${one.host}${one.path}`)),
      h("td", { class: isFailure(one) ? "bad-number" : null }, one.status ?? one.cause ?? "–"),
      h("td", {}, words.took(one.took_ms / 1000)), h("td", {}, one.pool ?? "–"),
      h("td", {}, one.attempts[one.attempts.length - 1]?.upstream ?? "–"),
      h("td", {}, h("a", { href: `#/why/${inPath(one.request_id)}`, "aria-label": `Why ${one.request_id}` }, "why")))),
    some.length === 0 ? h("tr", {}, h("td", { colspan: 7 }, "None is remembered.")) : null);
  }

  async function explain() {
    try {
      const one = await ask("GET", `/v1/requests/${inPath(id)}`);
      put(found, request(one));
    } catch (error) {
      say(problem, error.message);
    }
  }
  list();
  if (id) explain();
  return {};
}

const BY = {
  cohort: "its client's cohort",
  draw: "a draw, as nobody could tell its client from others",
  override: "its own wish (override)",
  "stand-in": "another pool stands in",
  shield: "the shield: the stable pool answers what the canary failed",
};

function facts(pairs) {
  return h("dl", {}, pairs.filter(([, value]) => value !== undefined && value !== null && value !== "").map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** One request, told. */
function request(one) {
  const cohort = one.cohort === undefined ? "" : ` (cohort ${one.cohort} of 10,000)`;
  return h("section", { class: "panel", "aria-labelledby": "one-title" },
    h("h2", { id: "one-title" }, h("code", {}, `${one.method} ${one.host}${one.path}`), " ", h("span", { class: isFailure(one) ? "bad-number" : "" }, one.status ?? "no answer")),
    one.cause ? h("p", { class: "problem" }, one.cause) : null,
    facts([
      ["When", words.clock(one.at)], ["Id", one.request_id], ["Client", one.client], ["Version", one.version],
      ["Service", one.service ? h("a", { href: `#/service/${inPath(one.service)}` }, one.service) : null], ["Revision", one.revision],
      ["Pool", one.pool], ["Chosen by", one.by ? (BY[one.by] ?? one.by) + cohort : null],
      ["Took", words.took(one.took_ms / 1000)], ["Waited", one.waited_ms > 0 ? words.took(one.waited_ms / 1000) : null],
      ["Bytes", `${words.number(one.request_bytes)} in, ${words.number(one.response_bytes)} out`], ["Trace", one.trace_id],
    ]),
    one.attempts.length ? [h("h3", {}, one.attempts.length === 1 ? "One attempt" : `${one.attempts.length} attempts`), h("ol", { class: "attempts plain" }, one.attempts.map((attempt, nth) => attemptLine(attempt, nth, one)))] : h("p", {}, "Nobody was asked."),
    notTaken(one.not_taken));
}

/** Who was not asked, and why. */
export function notTaken(list) {
  if (!list?.length) return null;
  return [h("h3", {}, "Not asked"), h("ul", { class: "plain" }, list.map((one) => h("li", {}, h("code", {}, `${one.pool} ${one.upstream}`), ` ${one.why}`)))];
}

/** One attempt, its phases as a bar over the whole request. */
function attemptLine(attempt, nth, one) {
  const all = Math.max(one.took_ms, attempt.done_ms, 0.001);
  const x = (ms) => (Math.min(ms, all) / all) * 100;
  const phases = [["wait", attempt.chosen_ms, attempt.began_ms], ["connect", attempt.began_ms, attempt.connected_ms], ["answer", attempt.connected_ms ?? attempt.began_ms, attempt.head_ms], ["body", attempt.head_ms, attempt.done_ms]];
  const bar = svg("svg", { class: "phases", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    phases.filter(([, from, to]) => from !== undefined && to !== undefined && to > from).map(([name, from, to]) => svg("rect", { class: name, x: x(from), width: Math.max(0.4, x(to) - x(from)), y: 0, height: 8 })));
  const head = attempt.head_ms === undefined ? "no head of an answer" : `head after ${words.took((attempt.head_ms - attempt.began_ms) / 1000)}`;
  const connection = attempt.is_reused ? "on a kept connection" : attempt.connected_ms === undefined ? "no connection" : `connected in ${words.took((attempt.connected_ms - attempt.began_ms) / 1000)}`;
  return h("li", {}, h("p", {}, `${nth + 1}. `, h("code", {}, `${attempt.pool} ${attempt.upstream}`), " ", h("strong", { class: attempt.cause ? "bad-number" : null }, attempt.cause ?? attempt.status ?? ""), h("span", { class: "hint" }, ` ${connection}, ${head}, done at ${words.took(attempt.done_ms / 1000)}`)), bar);
}
