// The page: an address in, its view out; and the head that all of them share.

import * as api from "./api.js";
import { forget, live, may, me, meet, now, tell } from "./app.js";
import { h, mark, put, say } from "./dom.js";
import * as capacity from "./capacity.js";
import * as config from "./config.js";
import * as doctor from "./doctor.js";
import * as events from "./events.js";
import * as explain from "./explain.js";
import * as history from "./history.js";
import * as incidents from "./incidents.js";
import * as overview from "./overview.js";
import { route } from "./route.js";
import * as service from "./service.js";
import * as why from "./why.js";
import * as words from "./words.js";

/** Views by the first part of an address, and who may see them. */
const VIEWS = {
  "": { title: "Services", open: overview.open },
  service: { open: service.open, of: ([name]) => name },
  history: { open: history.open, of: ([name]) => name },
  events: { title: "Events", open: events.open },
  incidents: { title: "Incidents", open: incidents.open },
  why: { title: "Why", open: why.open, needs: "GET /v1/requests" },
  explain: { title: "Explain", open: explain.open, needs: "POST /v1/explain" },
  config: { title: "Config", open: config.open, needs: "GET /v1/config" },
  capacity: { title: "Capacity", open: capacity.open, needs: "GET /v1/services/{service}/capacity" },
  doctor: { title: "Doctor", open: doctor.open, needs: "GET /v1/doctor" },
};

const view = document.getElementById("view");
let shown = null;

function open() {
  const { name, rest } = route(location.hash, VIEWS);
  shown?.close?.();
  put(view);
  const chosen = VIEWS[name];
  document.title = `${chosen.title ?? rest[0] ?? ""} · Pointsman`;
  live.watch(chosen.of?.(rest));
  shown = chosen.open(view, rest);
  nav(name);
  view.querySelector("h1")?.setAttribute("tabindex", "-1");
  if (opened) view.querySelector("h1")?.focus({ preventScroll: true });
  opened = true;
  scrollTo(0, 0);
  // What has come already is not waited for.
  draw();
}
let opened = false;

function nav(name) {
  const links = Object.entries(VIEWS).filter(([, one]) => one.title && (!one.needs || may(one.needs)));
  const is = (one) => (one === name || (one === "" && VIEWS[name].of) ? "page" : null);
  put(
    document.getElementById("nav"),
    links.map(([one, { title }]) => h("a", { href: `#/${one}`, "aria-current": is(one) }, title)),
  );
}

/** How it stands with the connection. */
function link() {
  const node = document.getElementById("link");
  const { state } = live;
  mark(node, "data-is", state.is);
  mark(document.body, "data-link", state.is);
  if (state.is === "live") say(node, "live");
  else if (state.is === "connecting") say(node, "connecting…");
  else if (state.is === "lost") say(node, `no connection since ${words.clock(state.since)}: ${state.why}; trying again`);
  else say(node, state.why);
  if (state.is === "refused" && state.status === 401) askWho(api.token() ? state.why : "");
  if (state.is === "refused" && state.status === 404) {
    put(view, h("h1", {}, "There is no such service"), h("p", {}, state.why), h("p", {}, h("a", { href: "#/" }, "All services")));
  }
}

function head() {
  const status = live.rows.get("status");
  if (!status) return;
  say(document.getElementById("where"), [status.name, status.environment].filter(Boolean).join(" · "));
  mark(document.getElementById("where"), "title", `Pointsman ${status.version}, up for ${words.length(now() - status.started)}`);
}

function who() {
  const node = document.getElementById("who");
  say(node, me?.name ? `${me.name} · ${me.role}` : api.name() || "Who are you?");
  mark(node, "title", me?.name ? "Use another token" : "A token, or your name for what you order");
}

/** Asks for a token, or for a name where none is needed. */
function askWho(why, isRefused = live.state.status === 401) {
  if (document.querySelector("dialog.who")) return;
  const token = h("input", { type: "password", id: "token", autocomplete: "off", spellcheck: "false" });
  const own = h("input", { type: "text", id: "own-name", autocomplete: "off", maxlength: 200, value: api.name() });
  const needsToken = isRefused || Boolean(me?.name) || Boolean(api.token());
  const problem = h("p", { class: "problem", role: "alert" }, why ?? "");
  const dialog = h(
    "dialog",
    { class: "who", "aria-labelledby": "who-title" },
    h(
      "form",
      {
        method: "dialog",
        onsubmit: async (event) => {
          event.preventDefault();
          const before = api.token();
          if (token.value.trim()) api.setToken(token.value.trim());
          api.setName(own.value);
          try {
            await meet();
            // Not before: who mistypes is still who it was.
            forget();
            dialog.close();
            who();
            live.clear();
            live.start();
            open();
          } catch (error) {
            api.setToken(before);
            say(problem, error.message);
          }
        },
      },
      h("h2", { id: "who-title" }, needsToken ? "Which token?" : "Who are you?"),
      needsToken || !me?.name
        ? h("div", { class: "field" }, h("label", { for: "token" }, needsToken ? "Token" : "Token, if you have one"), token,
            h("p", { class: "hint" }, "It stays in this tab and is sent to this address alone."))
        : null,
      needsToken ? null : h("div", { class: "field" }, h("label", { for: "own-name" }, "Your name"), own,
        h("p", { class: "hint" }, "No token is asked for here. What you order is noted under this name.")),
      problem,
      h("div", { class: "buttons" },
        api.token() ? h("button", { type: "button", class: "quiet", onclick: () => { api.setToken(""); location.reload(); } }, "Forget the token") : null,
        isRefused ? null : h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Cancel"),
        h("button", { type: "submit", class: "main" }, "Go on")),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

let isDrawing = false;
function draw() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    head();
    const changed = live.takeChanged();
    if (live.isWhole) shown?.draw?.(changed);
  });
}

live.addEventListener("line", draw);
live.addEventListener("happened", draw);
live.addEventListener("state", link);
addEventListener("hashchange", open);
document.getElementById("who").addEventListener("click", () => askWho(""));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  view.focus();
});

async function begin() {
  // What is watched comes while it is found out who asks.
  const { name, rest } = route(location.hash, VIEWS);
  live.watch(VIEWS[name].of?.(rest));
  try {
    await meet();
  } catch (error) {
    if (error.status === 401) return askWho(api.token() ? error.message : "", true);
    // Whose trouble is the process's own is asked again.
    if (error.status && error.status < 500) return put(view, h("h1", {}, "This page is not for you here"), h("p", {}, error.message));
    link();
    return setTimeout(begin, 2000);
  }
  who();
  open();
}

addEventListener("unhandledrejection", (event) => tell(event.reason?.message ?? "something went wrong", "bad"));
live.turn({ is: "connecting" });
begin();
