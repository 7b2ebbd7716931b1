// What is in place for production: a diagnosis in; what is missing, why it matters and the lines that mend
// it out. What is missing comes first, the worst at the top.

import { ask } from "./api.js";
import { h, put, say } from "./dom.js";
import { command } from "./command.js";
import * as words from "./words.js";

const WORTH = { critical: 4, high: 3, medium: 2, low: 1 };

/** States in the order in which they want to be seen, with a sign and a word for each. */
const STATES = {
  missing: ["✕", "missing"],
  unknown: ["?", "not known yet"],
  well: ["✓", "well"],
  skipped: ["–", "not looked at"],
};

/** Where lines belong. */
const PLACES = {
  file: "In the file",
  command: "By command",
  unit: "In the [Service] of its unit (systemctl edit pointsman)",
  system: "On the machine",
};

export function open(view) {
  const sum = h("p", { class: "sum", role: "status" }, "Looking…");
  const when = h("p", { class: "hint" });
  const list = h("div", { class: "findings" });
  const rest = h("div");
  const again = h("button", { type: "button", onclick: look }, "Look again");
  put(view, h("div", { class: "title" }, h("h1", {}, "Doctor"), h("div", { class: "tools" }, again)), sum, when, list, rest,
    h("div", { class: "same" }, h("span", { class: "hint" }, "The same from a terminal; on the proxy's machine it sees more"),
      h("div", { class: "command-line" }, h("code", { class: "command" }, command(["doctor"])))));

  async function look() {
    again.disabled = true;
    try {
      const diagnosis = await ask("GET", "/v1/doctor");
      draw(diagnosis.findings);
      say(when, `Looked at ${words.clock(diagnosis.at)}.`);
    } catch (error) {
      put(list, h("p", { class: "problem", role: "alert" }, error.message));
      say(sum, "");
    } finally {
      again.disabled = false;
    }
  }

  function draw(findings) {
    const of = (state) => findings.filter((one) => one.state === state);
    say(sum, Object.entries(STATES).map(([state, [, word]]) => [of(state).length, word]).filter(([count]) => count > 0)
      .map(([count, word]) => `${count} ${word}`).join(" · "));
    const missing = of("missing").sort((one, other) => WORTH[other.severity] - WORTH[one.severity]);
    const open = [...missing, ...of("unknown")];
    put(list, open.length ? open.map(finding) : h("p", { class: "none" }, "Nothing is missing of what can be seen from here."));
    put(rest, closed("well", of("well")), closed("skipped", of("skipped")));
  }

  look();
  return {};
}

/** One with why and what mends it. */
function finding(one) {
  const [sign, word] = STATES[one.state];
  const kind = one.state === "unknown" ? "low" : one.severity;
  const others = (one.of ?? []).slice(1);
  const title = `finding-${one.check}`;
  return h("section", { class: `panel finding ${kind}`, "aria-labelledby": title, "data-check": one.check },
    h("div", { class: "panel-head" }, h("h2", { id: title }, h("i", { class: "sign", "aria-hidden": "true" }, sign), " ", one.title),
      h("span", { class: `flag ${kind}` }, one.state === "missing" ? `${word}, ${one.severity}` : word)),
    h("p", {}, one.what),
    h("p", { class: "hint" }, `Why: ${one.why}.`),
    one.mend?.length ? h("h3", {}, one.mend_by === "command" && one.state === "unknown" ? "To find out" : PLACES[one.mend_by]) : null,
    one.mend?.length ? mending(one.mend) : null,
    others.length ? h("p", { class: "hint" }, `The same for ${others.join(", ")}.`) : null);
}

/** Lines that are there to be copied. */
function mending(lines) {
  const text = h("pre", { class: "mend", tabindex: "0" }, lines.join("\n"));
  const copy = h("button", { type: "button", class: "quiet small", onclick: async () => {
    try {
      await navigator.clipboard.writeText(lines.join("\n"));
      say(copy, "Copied");
    } catch {
      getSelection().selectAllChildren(text);
    }
  } }, "Copy");
  return h("div", { class: "command-line" }, text, copy);
}

/** A list that is opened by whoever wants it. */
function closed(state, list) {
  if (list.length === 0) return null;
  const [sign, word] = STATES[state];
  return h("details", { class: "panel", "data-state": state }, h("summary", {}, `${list.length} ${word}`),
    h("ul", { class: "plain checked" }, list.map((one) => h("li", {}, h("i", { class: "sign", "aria-hidden": "true" }, sign), " ",
      h("strong", {}, one.title), " ", h("span", { class: "hint" }, one.what)))));
}
