// Orders of a service as a whole: hold, maintenance, rollback, freeze.

import { may } from "./app.js";
import { flag } from "./command.js";
import { h } from "./dom.js";
import { choice, order, orderButton, paragraph } from "./order.js";
import * as words from "./words.js";

export function buttons(name, path) {
  const node = h("div", { class: "buttons" });
  const all = [];
  const add = (operation, text, press, why, kind) => {
    if (!may(operation)) return;
    const button = orderButton(text, () => press(last), { class: kind ?? "" });
    all.push([button, why]);
    node.append(button);
  };
  let last = null;
  add("POST /v1/services/{service}/rollback", "Roll back…", (service) => rollback(service, path),
    (service) => (service.revision <= 1 ? "There is no earlier revision to go back to." : ""));
  add("PUT /v1/services/{service}/mode", "Hold…", () => hold(name, path),
    (service) => (service.mode === "hold" ? "It is held already." : ""));
  add("PUT /v1/services/{service}/mode", "Maintenance…", () => maintenance(name, path),
    (service) => (service.mode === "maintenance" ? "It is in maintenance already." : ""));
  add("PUT /v1/services/{service}/mode", "Serve again…", (service) => serve(service, path),
    (service) => (service.mode === "serve" ? "It serves." : ""));
  add("PUT /v1/services/{service}/freeze", "Freeze…", (service) => (isFrozen(service) ? lift(name, path) : freeze(name, path)), () => "");
  const freezeButton = all[all.length - 1]?.[0];
  return {
    node,
    draw(service) {
      last = service;
      for (const [button, why] of all) button.cannot(why(service));
      if (freezeButton) freezeButton.textContent = isFrozen(service) ? "Lift the freeze…" : "Freeze…";
    },
  };
}

function isFrozen(service) {
  return Boolean(service.slo?.freeze);
}

/** Goes back to a revision, or to before the last change. */
export function rollback(service, path, to) {
  order({
    title: to === undefined ? `Roll ${service.name} back` : `Back to revision ${to.revision}`,
    what: to === undefined
      ? paragraph("The split becomes what it was before the last change; the steps of one rollout are one change. A rollout that is under way ends.")
      : paragraph(`The split becomes ${words.shares(to.weights)}, as in revision ${to.revision}. A rollout that is under way ends.`),
    method: "POST",
    path: `${path}/rollback`,
    body: to === undefined ? {} : { to: to.revision },
    command: ["rollback", service.name, ...(to === undefined ? [] : [String(to.revision)])],
    force: "Even if nobody of the pool takes requests",
    danger: true,
    button: "Roll back",
    done: (made) => (made.unchanged ? "It was taken back already." : `Revision ${made.revision}: ${words.shares(made.weights)}.`),
  });
}

function hold(name, path) {
  const time = h("input", { type: "text", value: "20s", pattern: "\\s*\\d+\\s*(ms|s|m)\\s*", "data-first": true, required: true });
  const most = h("input", { type: "number", value: "1000", min: 1, max: 100000, required: true });
  order({
    title: `Hold ${name}`,
    what: paragraph("New requests wait at the door, those that are under way end. When the time is over they go on by themselves."),
    more: h("div", { class: "fields" }, choice("length", "For how long", time, "up to 5m"), choice("most", "How many may wait", most)),
    method: "PUT",
    path: `${path}/mode`,
    body: () => ({ mode: "hold", for: time.value.trim(), most: Number(most.value) }),
    command: () => ["hold", name, "--for", time.value.trim(), ...(most.value === "1000" ? [] : ["--most", most.value])],
    button: "Hold",
    done: (set) => `${name} is held, ${words.several(set.waiting, "request waits", "requests wait")}.`,
  });
}

function maintenance(name, path) {
  const message = h("input", { type: "text", maxlength: 4096, "data-first": true });
  order({
    title: `Put ${name} into maintenance`,
    what: paragraph("New requests are told to come back later, until it serves again."),
    more: choice("message", "What they are told", message, "Nothing of your own if this is empty."),
    method: "PUT",
    path: `${path}/mode`,
    body: () => ({ mode: "maintenance", ...(message.value.trim() ? { message: message.value.trim() } : {}) }),
    command: () => ["maintenance", name, ...(message.value.trim() ? flag("--message", message.value.trim()) : [])],
    danger: true,
    button: "Into maintenance",
    done: () => `${name} is in maintenance.`,
  });
}

function serve(service, path) {
  const held = service.mode === "hold";
  order({
    title: `Let ${service.name} serve again`,
    what: paragraph(held ? `${words.several(service.waiting, "request that waits goes", "requests that wait go")} on at once.` : "Requests go to its pools again."),
    method: "PUT",
    path: `${path}/mode`,
    body: { mode: "serve", from: service.mode },
    command: held ? ["hold", service.name, "--release"] : ["maintenance", service.name, "--end"],
    button: "Serve",
    done: () => `${service.name} serves.`,
  });
}

function freeze(name, path) {
  const time = h("input", { type: "text", placeholder: "until it is lifted", "data-first": true });
  order({
    title: `Freeze rollouts of ${name}`,
    what: paragraph("No rollout starts or goes on. Shifts and rollbacks by hand are still possible."),
    more: choice("length", "For how long", time, "such as 48h"),
    method: "PUT",
    path: `${path}/freeze`,
    body: () => (time.value.trim() ? { for: time.value.trim() } : {}),
    command: () => ["freeze", name, ...(time.value.trim() ? ["--for", time.value.trim()] : [])],
    button: "Freeze",
    done: () => `Rollouts of ${name} are frozen.`,
  });
}

function lift(name, path) {
  order({
    title: `Lift the freeze of ${name}`,
    what: paragraph("Rollouts start and go on again, as far as error budgets let them."),
    method: "DELETE",
    path: `${path}/freeze`,
    body: {},
    command: ["freeze", name, "--lift"],
    button: "Lift",
    done: () => "The freeze is lifted.",
  });
}
