// An order: what it is to do in; a dialog that asks why, shows the command that does the same, and says
// what came of it, out.

import * as api from "./api.js";
import { ask } from "./api.js";
import { live, me, tell } from "./app.js";
import { beside, command, flag } from "./command.js";
import { h, put, say } from "./dom.js";

/** A command line with what is needed beside it, and `more` behind it. */
export function fromTerminal(line, ...more) {
  const needs = beside(Boolean(api.token()));
  return h("div", { class: "same" },
    h("span", { class: "hint" }, "The same from a terminal"), h("div", { class: "command-line" }, line, more),
    needs ? h("span", { class: "hint" }, needs) : null);
}

/**
 * Asks for the reason of an order and gives it.
 *
 * `title`, `what` (nodes that say what it does), `method`, `path`, `body` (an object, or a function that
 * makes it), `command` (words, or a function that makes them), `more` (nodes with further choices),
 * `expects` (the revision it is meant for), `force` (words for what `force` lets through), `needsReason`,
 * `noReason` (what is said is the order itself), `done` (what is said once it is so, of the answer), `button`, `query` (reason and author go there).
 */
export function order(said) {
  const reason = h("input", { id: "reason", type: "text", maxlength: 1024, autocomplete: "off", required: !said.noReason });
  const author = h("input", { id: "author", type: "text", maxlength: 200, autocomplete: "off", value: api.name() });
  const problem = h("p", { class: "problem", role: "alert" });
  const line = h("code", { class: "command" });
  const force = h("input", { type: "checkbox", id: "force" });
  const forced = h("div", { class: "field row", hidden: true }, force, h("label", { for: "force" }, said.force ?? ""));
  const go = h("button", { type: "submit", class: `main ${said.danger ? "danger" : ""}` }, said.button ?? said.title);
  const copy = h("button", { type: "button", class: "quiet small", onclick: copied }, "Copy");

  function words() {
    const parts = typeof said.command === "function" ? said.command() : said.command;
    const more = reason.value.trim() ? flag("--reason", reason.value.trim()) : [];
    const even = force.checked ? ["--force"] : [];
    say(line, command([...parts, ...even, ...more]));
  }

  async function copied() {
    try {
      await navigator.clipboard.writeText(line.textContent);
      say(copy, "Copied");
    } catch {
      getSelection().selectAllChildren(line);
    }
  }

  async function give(event) {
    event.preventDefault();
    if (go.disabled) return;
    const why = reason.value.trim();
    if (!me?.name) api.setName(author.value);
    const by = { ...(said.noReason ? {} : { reason: why }), ...(me?.name || !author.value.trim() ? {} : { author: author.value.trim() }) };
    const body = { ...(typeof said.body === "function" ? said.body() : said.body), ...(force.checked ? { force: true } : {}) };
    go.disabled = true;
    say(problem, "");
    try {
      const inPath = said.query ? `?${new URLSearchParams(by)}` : "";
      const fields = said.expects === undefined ? {} : { "if-match": `"${said.expects}"` };
      const answer = await ask(said.method, said.path + inPath, said.query ? undefined : { ...body, ...by }, fields);
      dialog.close();
      tell([said.done?.(answer) ?? "It is so.", answer?.note].filter(Boolean).join(" "));
      said.after?.(answer);
    } catch (error) {
      say(problem, error.message);
      if (error.status === 409 && said.force) forced.hidden = false;
      if (error.status === 412) say(problem, `${error.message}. Close this, look again, and order what you still want.`);
    } finally {
      go.disabled = false;
    }
  }

  const dialog = h(
    "dialog",
    { class: "order", "aria-labelledby": "order-title" },
    h(
      "form",
      { method: "dialog", onsubmit: give, oninput: words, onchange: words },
      h("h2", { id: "order-title" }, said.title),
      h("div", { class: "what" }, said.what),
      said.more ?? null,
      said.noReason ? null : h("div", { class: "field" }, h("label", { for: "reason" }, "Why?"), reason,
        h("p", { class: "hint" }, "Kept with what it changes, for whoever asks later.")),
      me?.name ? null : h("div", { class: "field" }, h("label", { for: "author" }, "Your name"), author),
      forced,
      problem,
      fromTerminal(line, copy),
      h("div", { class: "buttons" },
        h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Cancel"), go),
    ),
  );
  const back = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (back?.isConnected) back.focus();
  });
  document.body.append(dialog);
  words();
  dialog.showModal();
  (dialog.querySelector("[data-first]") ?? reason).focus();
  return dialog;
}

/**
 * A button that orders something. Where it cannot be used now, `why()` says why, and it says so to
 * whoever points at it, reaches it by keyboard or presses it.
 */
export function orderButton(text, press, said = {}) {
  const node = h("button", { type: "button", class: said.class ?? "" }, text);
  node.addEventListener("click", () => {
    if (live.state.is !== "live") return tell("There is no connection: nothing can be ordered now.", "bad");
    if (node.why) return tell(node.why, "note");
    press();
  });
  node.cannot = (why) => {
    const now = why ?? "";
    if (node.why === now) return;
    node.why = now;
    if (now) {
      node.setAttribute("aria-disabled", "true");
      node.setAttribute("aria-description", now);
      node.setAttribute("data-why", now);
    } else ["aria-disabled", "aria-description", "data-why"].forEach((one) => node.removeAttribute(one));
  };
  return node;
}

/** A choice of an order's dialog. */
export function choice(id, text, input, hint) {
  input.id = id;
  return h("div", { class: "field" }, h("label", { for: id }, text), input, hint ? h("p", { class: "hint" }, hint) : null);
}

/** Puts an order's own words in its place. */
export function paragraph(...inside) {
  return put(h("p"), ...inside);
}
