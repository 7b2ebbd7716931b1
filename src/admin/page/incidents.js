// Incidents: all of them, or one with its timeline; what people say of it, for those who may.

import { ask } from "./api.js";
import { events, may } from "./app.js";
import { h, isSame, put } from "./dom.js";
import { order, orderButton } from "./order.js";
import * as words from "./words.js";

const NOTE = "POST /v1/incidents/{id}/notes";

export function open(view, [id]) {
  return id ? one(view, id) : all(view);
}

/** Fetches again when something happened that may concern it, one at a time. */
function following(fetchNow) {
  let seen = -1;
  let isBusy = false;
  const look = () => {
    const last = events.length ? events[events.length - 1].number : 0;
    if (last === seen || isBusy) return;
    seen = last;
    isBusy = true;
    fetchNow().finally(() => (isBusy = false));
  };
  return { draw: look, again: () => { seen = -1; look(); } };
}

function all(view) {
  const list = h("ol", { class: "revisions" });
  const alerts = h("div", {});
  const none = h("p", { class: "hint" }, "No incident is remembered.");
  put(view, h("div", { class: "title" }, h("h1", {}, "Incidents")), none, list, alerts);
  return following(async () => {
    const [incidents, said] = await Promise.all([ask("GET", "/v1/incidents"), ask("GET", "/v1/alerts")]);
    none.hidden = incidents.length > 0;
    if (!isSame(list, incidents)) put(list, incidents.map(brief));
    if (!isSame(alerts, said)) put(alerts, said.length ? [h("h2", {}, "Alerts of others"), h("ul", {}, said.map(alert))] : null);
  });
}

function brief(incident) {
  return h("li", { class: "panel revision" },
    h("div", { class: "panel-head" },
      h("h2", {}, h("a", { href: `#/incidents/${incident.id}` }, `${incident.id}: ${incident.title}`)),
      h("span", { class: "state", "data-state": incident.state }, incident.state)),
    h("p", {}, h("strong", {}, incident.severity), ` · ${incident.services.join(", ") || "no service named"} · ${incident.impact.words}`),
    h("p", { class: "hint" }, "opened ", h("time", { datetime: words.iso(incident.opened) }, words.clock(incident.opened))));
}

function alert(said) {
  const text = said.annotations.summary ?? said.annotations.description ?? "";
  const seen = said.seen ? ` · seen here: ${said.seen.requests_per_second.toFixed(1)} requests/s, ${words.percent(said.seen.errors_percent)} fail, ${said.seen.well} of ${said.seen.upstreams} upstreams well` : "";
  return h("li", {}, h("strong", {}, said.name), ` ${said.status}${said.service ? ` · ${said.service}` : ""}${text ? `: ${text}` : ""}`, h("span", { class: "hint" }, seen));
}

function one(view, id) {
  const path = `/v1/incidents/${encodeURIComponent(id)}`;
  const tools = h("div", { class: "tools" });
  const title = h("h1", {}, `Incident ${id}`);
  const message = h("pre", { class: "panel" });
  const suggestions = h("div", {});
  const list = h("ol", { class: "timeline" });
  put(view,
    h("div", { class: "title" }, h("div", { class: "names" }, h("p", { class: "crumb" }, h("a", { href: "#/incidents" }, "Incidents"), " /"), title), tools),
    message, suggestions, h("h2", {}, "Timeline"), list);
  let known = null;
  const follow = following(async () => {
    try {
      known = await ask("GET", path);
    } catch (error) {
      return put(message, error.message);
    }
    put(title, `${known.id}: ${known.title}`);
    put(message, known.message);
    if (!isSame(tools, [known.state])) put(tools, may(NOTE) ? buttons() : null);
    if (!isSame(list, known.timeline)) put(list, known.timeline.map(entry));
    if (known.state === "closed") return put(suggestions);
    const found = await ask("GET", `${path}/suggestions`);
    if (!isSame(suggestions, found)) put(suggestions, found.length ? [h("h2", {}, "What may mend it"), h("ol", {}, found.map((it) => h("li", {}, `${it.why} `, h("code", { class: "command" }, it.command))))] : null);
  });

  function buttons() {
    const closed = known.state === "closed";
    const make = (text, verb, command, danger) => orderButton(text, () => say(text, verb, command, danger), { class: "small" });
    const note = make("Note…", "notes", "note");
    if (closed) return [note];
    return [note, make("Update…", "update", "update"), known.state === "open" ? make("Mitigated…", "mitigate", "mitigate") : null, make("Close…", "close", "close", true)];
  }

  function say(text, verb, command, danger) {
    const label = text.replace("…", "");
    const area = h("textarea", { id: "text", rows: 3, maxlength: 4096, required: true, "data-first": true });
    order({
      title: `${label}: incident ${id}`,
      what: verb === "notes" ? "Is written into its timeline." : "The message goes to all who are told of this.",
      method: "POST", path: `${path}/${verb}`, button: label, danger, noReason: true, expects: known.revision,
      more: h("div", { class: "field" }, h("label", { for: "text" }, "What?"), area),
      body: () => ({ text: area.value.trim() }),
      command: () => ["incident", command, area.value.trim() || "…", "--incident", String(id)],
      done: () => "It is so.",
      after: () => follow.again(),
    });
  }
  return { draw: follow.draw };
}

function entry(one) {
  const times = one.count > 1 ? ` (${one.count} times)` : "";
  return h("li", {}, h("time", { datetime: words.iso(one.at), title: words.iso(one.at) }, words.clock(one.at)), ` ${one.kind} `,
    one.place ? h("span", { class: "hint" }, `${one.place} `) : null, one.what, times, one.author ? h("span", { class: "hint" }, ` by ${one.author}`) : null);
}
