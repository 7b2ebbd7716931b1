// Where a request would go: a request that nobody sends in; route, pool, upstream and why no other one
// out.

import { ask, part as inPath } from "./api.js";
import { command } from "./command.js";
import { h, put, say } from "./dom.js";
import { fromTerminal } from "./order.js";
import { notTaken } from "./why.js";

export function open(view) {
  const field = (id, text, input, hint) => {
    input.id = id;
    return h("div", { class: "field" }, h("label", { for: id }, text), input, hint ? h("p", { class: "hint" }, hint) : null);
  };
  const url = h("input", { type: "text", inputmode: "url", required: true, placeholder: "https://shop.example.com/cart", spellcheck: "false", autocomplete: "off" });
  const method = h("input", { type: "text", value: "GET", maxlength: 20 });
  const client = h("input", { type: "text", placeholder: "127.0.0.1", autocomplete: "off" });
  const fields = h("textarea", { rows: 3, spellcheck: "false", placeholder: "cookie: session=abc" });
  const problem = h("p", { class: "problem", role: "alert" });
  const line = h("code", { class: "command" });
  const found = h("div", {});

  const pairs = () => fields.value.split("\n").map((one) => one.trim()).filter(Boolean).map((one) => {
    const at = one.indexOf(":");
    return at < 1 ? { name: one, value: "" } : { name: one.slice(0, at).trim(), value: one.slice(at + 1).trim() };
  });

  function words() {
    const parts = ["explain", url.value.trim() || "URL"];
    if (method.value.trim() && method.value.trim() !== "GET") parts.push("-X", method.value.trim());
    for (const { name, value } of pairs()) parts.push("-H", `${name}: ${value}`);
    if (client.value.trim()) parts.push("--from", client.value.trim());
    say(line, command(parts));
  }

  async function give(event) {
    event.preventDefault();
    say(problem, "");
    const body = { url: url.value.trim(), fields: pairs(), ...(method.value.trim() ? { method: method.value.trim() } : {}), ...(client.value.trim() ? { client: client.value.trim() } : {}) };
    try {
      put(found, told(await ask("POST", "/v1/explain", body)));
      found.querySelector("h2").focus();
    } catch (error) {
      put(found);
      say(problem, error.message);
    }
  }

  put(view, h("div", { class: "title" }, h("h1", {}, "Explain")),
    h("form", { class: "panel", onsubmit: give, oninput: words },
      field("url", "Where would this go now?", url),
      h("div", { class: "fields" }, field("method", "Method", method), field("client", "From which address", client, "The connection's; 127.0.0.1 if empty.")),
      field("fields", "Fields, one a line", fields, "Cookies decide for clients that are recognised."),
      problem,
      fromTerminal(line),
      h("div", { class: "buttons" }, h("button", { type: "submit", class: "main" }, "Explain"))),
    found);
  words();
  return {};
}

const BY = { cohort: "the client's cohort", draw: "a draw, which may come out in another way next time", override: "an override in the request" };

/** The way of a request, stop by stop. */
function told(one) {
  const stops = [];
  const stop = (name, is, ...more) => stops.push(h("li", {}, h("span", { class: "stop-name" }, name), h("span", {}, is, ...more)));
  stop("Route", one.route ? h("strong", {}, one.route) : "none matches", one.route_number ? h("span", { class: "hint" }, ` the ${one.route_number}. in the file`) : "");
  if (one.asks) stop("Door", `asks for ${one.asks === "password" ? "a password" : "another service's word"}, which was not looked at`);
  if (one.is_rate_limited) stop("Limits", "may refuse it for its client's rate; they were not asked");
  if (one.service) stop("Service", h("a", { href: `#/service/${inPath(one.service)}` }, one.service), h("span", { class: "hint" }, ` revision ${one.revision}${one.mode && one.mode !== "serve" ? `, ${one.mode}` : ""}`));
  if (one.pool) stop("Pool", h("strong", {}, one.pool), h("span", { class: "hint" }, ` by ${BY[one.by] ?? one.by}${one.cohort !== undefined ? `, cohort ${one.cohort} of 10,000` : ""}${one.sets_cookie ? "; a cookie is set" : ""}`));
  if (one.breaker && one.breaker.state !== "closed") stop("Breaker", one.breaker.state);
  if (one.waits) stop("Waits", one.mode === "hold" ? "until its service is not held any more" : "in line for a place", one.cause ? h("span", { class: "hint" }, ` ${one.cause}`) : "");
  if (one.upstream) stop("Upstream", h("strong", {}, one.upstream));
  if (one.instead) stop("Instead", `${one.instead.pool} ${one.instead.upstream}`, h("span", { class: "hint" }, ` ${one.instead.by}`));
  if (one.target) stop("Asked for", h("code", {}, one.target));
  if (one.status) stop("Answer", h("strong", {}, String(one.status)), one.cause ? ` ${one.cause}` : "", one.location ? ` → ${one.location}` : "");
  if (one.fallback_status) stop("Instead", "the service's own answer, ", h("strong", {}, String(one.fallback_status)));
  return h("section", { class: "panel", "aria-labelledby": "way-title" }, h("h2", { id: "way-title", tabindex: "-1" }, `${one.host}${one.path}`), h("ol", { class: "way plain" }, stops), notTaken(one.not_taken));
}
