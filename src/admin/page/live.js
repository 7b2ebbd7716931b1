// What is watched: a service or all of them in, rows as they are now out. Goes on by itself when the
// process goes away and comes back.

import { fields, problemOf } from "./api.js";

/** So long without a line means that nobody is there: one comes each second. */
const SILENCE = 6000;

/** Waits before it is tried again, the last one for ever. */
const WAITS = [500, 1000, 2000, 4000, 8000];

/** After so long in the background nothing is read any more. */
const HIDDEN = 30000;

/** What is known of each pool. A pool may be called as what every object has, such as `constructor`. */
function byPool(known) {
  return Object.assign(Object.create(null), known);
}

export class Live extends EventTarget {
  constructor() {
    super();
    this.rows = new Map();
    this.changed = new Set();
    this.seconds = byPool();
    this.spans = byPool();
    this.state = { is: "connecting" };
    this.tick = 0;
    document.addEventListener("visibilitychange", () => this.onVisibility());
    addEventListener("online", () => this.now?.());
  }

  /** Watches this service from now on, or all of them. */
  watch(service) {
    if (this.service === service && this.running) return;
    this.service = service;
    this.clear();
    this.start();
  }

  /** Begins anew: with another token, say. */
  start() {
    this.stop();
    const running = (this.running = { over: new AbortController() });
    this.run(running);
  }

  stop() {
    this.running?.over.abort();
    this.running = null;
    this.now?.();
  }

  clear() {
    this.rows = new Map();
    this.seconds = byPool();
    this.spans = byPool();
    this.isWhole = false;
  }

  onVisibility() {
    clearTimeout(this.resting);
    if (document.hidden) {
      this.resting = setTimeout(() => {
        this.rests = true;
        this.stop();
      }, HIDDEN);
    } else if (this.rests) {
      this.rests = false;
      this.start();
    } else this.now?.();
  }

  async run(running) {
    let tries = 0;
    while (this.running === running) {
      const began = this.tick;
      let lost;
      try {
        await this.read(running);
        lost = { is: "lost", why: "the stream ended" };
      } catch (error) {
        if (this.running !== running) return;
        if (error.status === 401 || error.status === 403 || error.status === 404) {
          // Whoever watches next begins anew, also of the same.
          this.running = null;
          return this.turn({ is: "refused", status: error.status, why: error.message });
        }
        lost = { is: "lost", why: error.status ? error.message : "nobody answers" };
      }
      if (this.running !== running) return;
      if (this.tick !== began) tries = 0;
      const wait = WAITS[Math.min(tries, WAITS.length - 1)] * (0.8 + 0.4 * Math.random());
      tries += 1;
      const since = this.state.is === "lost" ? this.state.since : Date.now() / 1000;
      this.turn({ ...lost, since, again: Date.now() / 1000 + wait / 1000 });
      await new Promise((go) => {
        const timer = setTimeout(go, wait);
        this.now = () => {
          clearTimeout(timer);
          go();
        };
      });
    }
  }

  /** Reads lines until there are no more. */
  async read(running) {
    const silence = new AbortController();
    let watchdog = setTimeout(() => silence.abort(), SILENCE);
    const signal = AbortSignal.any([running.over.signal, silence.signal]);
    const path = this.service ? `/v1/live?service=${encodeURIComponent(this.service)}` : "/v1/live";
    try {
      const response = await fetch(path, { headers: fields(), signal, cache: "no-store", credentials: "omit", redirect: "error" });
      if (!response.ok) throw await problemOf(response);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = [];
      for (;;) {
        const { value, done } = await reader.read();
        if (done || this.running !== running) return;
        const lines = value.split("\n");
        while (lines.length > 1) {
          rest.push(lines.shift());
          this.take(JSON.parse(rest.join("")));
          rest = [];
          clearTimeout(watchdog);
          watchdog = setTimeout(() => silence.abort(), SILENCE);
        }
        rest.push(lines[0]);
      }
    } finally {
      clearTimeout(watchdog);
    }
  }

  take(line) {
    if (line.whole) {
      for (const key of this.rows.keys()) if (!(key in line.rows)) this.changed.add(key);
      this.rows = new Map();
      this.seconds = byPool(line.seconds);
      this.spans = byPool(line.spans);
      this.isWhole = true;
    } else if (line.seconds) this.extend(line.seconds, line.at);
    for (const [key, row] of Object.entries(line.rows)) {
      this.rows.set(key, row);
      this.changed.add(key);
    }
    for (const key of line.gone) {
      this.rows.delete(key);
      this.changed.add(key);
    }
    this.at = line.at;
    this.tick += 1;
    if (this.state.is !== "live") this.turn({ is: "live" });
    this.dispatchEvent(new CustomEvent("line", { detail: line }));
  }

  /**
   * Puts points in the place of those from the first of them on, some of which a line repeats; ten of one second
   * make one of ten. What lies ahead of the edge's clock goes: that was set back.
   */
  extend(seconds, now) {
    const cut = (known, from) => { while (known.length && known[known.length - 1][0] >= from) known.pop(); };
    for (const known of Object.values(this.seconds)) cut(known, now + 1);
    for (const known of Object.values(this.spans)) cut(known, now + 1);
    for (const [pool, points] of Object.entries(seconds)) {
      const known = (this.seconds[pool] ??= []);
      if (points.length) cut(known, points[0][0]);
      known.push(...points);
      if (known.length > 320) known.splice(0, known.length - 300);
    }
  }

  /** All rows whose keys begin so, without that beginning. */
  of(prefix) {
    const found = [];
    for (const [key, row] of this.rows) if (key.startsWith(prefix)) found.push([key.slice(prefix.length), row]);
    return found;
  }

  /** Keys that have changed since this was asked last. */
  takeChanged() {
    const changed = this.changed;
    this.changed = new Set();
    return changed;
  }

  turn(state) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state"));
  }
}
