// The config: its text and its problems in, a text to try, and what would become of it, out. Nothing is
// saved from here: the file is the operator's, and its way through review.

import { ask } from "./api.js";
import { live, may } from "./app.js";
import { h, isSame, put } from "./dom.js";
import { order, orderButton, paragraph } from "./order.js";
import { Texts } from "./texts.js";
import * as words from "./words.js";

/** After so long without a key the text is looked at. */
const REST = 600;

export function open(view) {
  const state = h("div", { class: "notes" });
  const files = h("nav", { class: "tabs", "aria-label": "Files" });
  const text = h("textarea", { id: "config-text", spellcheck: "false", autocomplete: "off", wrap: "off", rows: 24, readonly: true, placeholder: "One moment…", oninput: () => typed() });
  const problems = h("div", { class: "problems", "aria-live": "polite" });
  const changes = h("div", { class: "changes", "aria-live": "polite" });
  const download = h("a", { class: "button", download: "pointsman.toml", href: "#/config" }, "Save the text to a file…");
  const back = h("button", { type: "button", class: "quiet", onclick: () => restore() }, "As it is in force");
  const reload = may("POST /v1/config/reload") ? orderButton("Reload…", () => give()) : null;
  put(view,
    h("div", { class: "title" }, h("h1", {}, "Config"), h("div", { class: "buttons" }, reload)), state,
    h("div", { class: "two config" },
      h("section", { class: "panel", "aria-labelledby": "text-title" }, h("div", { class: "panel-head" }, h("h2", { id: "text-title" }, h("label", { for: "config-text" }, "Text")), back), files, text, h("div", { class: "buttons" }, download)),
      h("div", {},
        h("section", { class: "panel" }, h("h2", {}, "What is wrong or odd"), problems),
        h("section", { class: "panel" }, h("h2", {}, "What it would change"), changes))));
  const texts = new Texts();
  let [timer, asked, isOver] = [0, 0, false];

  function show(nth) {
    texts.at = nth;
    text.value = texts.text;
    download.download = texts.part.path.split("/").pop();
    put(files, texts.parts.length > 1
      ? texts.parts.map((one, nth) => h("button", { type: "button", class: "small", "aria-pressed": String(nth === texts.at), onclick: () => show(nth) }, one.path))
      : h("p", { class: "hint" }, texts.part.path));
    later(0);
  }

  function typed() {
    texts.type(text.value);
    later();
  }

  function restore() {
    if (!texts.are) return;
    texts.restore();
    show(texts.at);
  }

  function later(wait = REST) {
    clearTimeout(timer);
    timer = setTimeout(look, wait);
  }

  async function look() {
    const mine = (asked += 1);
    const body = texts.body();
    download.href = `data:text/plain;charset=utf-8,${encodeURIComponent(text.value)}`;
    const checked = await ask("POST", "/v1/config/check", body).catch((error) => ({ error }));
    if (mine !== asked) return;
    if (checked.error) return put(problems, h("p", { class: "problem" }, checked.error.message));
    put(problems, checked.problems.length === 0 ? h("p", {}, "Nothing.") : h("ol", { class: "plain" }, checked.problems.map(problem)));
    if (!checked.valid) return put(changes, h("p", { class: "hint" }, "A text that is wrong would change nothing: what is in force stays."));
    const found = await ask("POST", "/v1/config/diff", body).catch((error) => ({ error }));
    if (mine !== asked) return;
    if (found.error) return put(changes, h("p", { class: "problem" }, found.error.message));
    put(changes, found.changes.length === 0 ? h("p", {}, "Nothing.") : h("ul", { class: "plain differences" }, found.changes.map((one) =>
      h("li", {}, h("strong", {}, one.subject), ` ${one.what}`, one.needs_restart ? h("span", { class: "hint" }, " · waits for the next start") : null))));
  }

  function problem(one) {
    const place = [one.file, one.line ? `line ${one.line}` : null].filter(Boolean).join(", ");
    const nth = one.line ? texts.find(one.file) : -1;
    return h("li", { class: `config-problem ${one.level}` },
      h("p", {}, h("strong", {}, one.level), " ", nth >= 0 ? h("button", { type: "button", class: "quiet small", onclick: () => go(nth, one.line) }, place) : place, " ", one.message, one.label ? `: ${one.label}` : ""),
      one.help ? h("p", { class: "hint" }, one.help) : null);
  }

  function go(nth, line) {
    if (nth !== texts.at) show(nth);
    const lines = text.value.split("\n");
    const there = lines[line - 1] ?? "";
    const start = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
    text.focus();
    text.setSelectionRange(start, start + there.length);
    text.scrollTop = (line - 5) * (text.scrollHeight / lines.length);
  }

  function give() {
    order({
      title: "Reload the config",
      what: paragraph("The file on the disk is read again and put in force if it is good; of a bad one nothing changes. The text on this page is not sent."),
      method: "POST",
      path: "/v1/config/reload",
      query: true,
      command: ["reload"],
      button: "Reload",
      done: (made) => (made.changes.length ? `${words.several(made.changes.length, "change", "changes")} in force.` : "Nothing has changed."),
      after: fetchText,
    });
  }

  async function fetchText() {
    try {
      const found = await ask("GET", "/v1/config");
      texts.arrive([{ path: found.path || "the config", text: found.text }, ...(found.included ?? [])]);
    } catch (error) {
      return put(problems, h("p", { class: "problem" }, error.message), h("button", { type: "button", onclick: fetchText }, "Try again"));
    }
    if (isOver) return;
    // Before it has come there is nothing to type into, and nothing typed is lost.
    text.readOnly = false;
    show(texts.at);
  }
  fetchText();

  return {
    draw() {
      const config = live.rows.get("config");
      if (!config || isSame(state, config)) return;
      const told = [];
      if (config.refused) told.push(h("div", { class: "banner bad" }, h("p", {}, h("strong", {}, "The file on the disk is not in force.")), h("pre", {}, config.refused)));
      else if (config.waits_for_reload) told.push(h("p", { class: "banner" }, "The file on the disk takes away what is in use: it waits for a reload."));
      told.push(h("p", { class: "sum" }, `In force since ${words.clock(config.last_reload_success)} · ${words.several(config.reloads, "reload", "reloads")} · ${config.refused_reloads} refused`));
      put(state, told);
    },
    close() {
      [asked, isOver] = [asked + 1, true];
      clearTimeout(timer);
    },
  };
}

