// What happened, as far as it is known here: lines of what is watched in, and what else is asked for; a
// list of events, the oldest first, out.
//
// A token that is bound to services is told of theirs alone: the newest event's number is then none that
// it will ever see, and what is known is not how far the list goes but up to where it has been asked.
// Numbers are of one process: without a store they begin again with the next one, and so does the list.

/** As many events are remembered here as there. */
const MOST = 1000;

/** After a failure so many lines come and go before it is asked again. */
const REST = 3;

export class Happened {
  /** `fetch(after)` gives the events with higher numbers; `told(list)` is called with each new list. */
  constructor(fetch, told) {
    Object.assign(this, { fetch, told });
    this.begin(undefined);
  }

  /** Begins anew, of the process that began at this time; what was asked before counts for nothing. */
  begin(by) {
    Object.assign(this, { by, list: [], known: 0, last: 0, rest: 0, asking: null });
  }

  /** Forgets what another caller was told. */
  clear() {
    this.begin(undefined);
    this.told(this.list);
  }

  /** Takes in a line of the process that began at `by`. */
  async take(line, by) {
    if (by !== this.by) {
      const had = this.list.length > 0;
      this.begin(by);
      if (had) this.told(this.list);
    }
    // Who knew all there was before this line knows all there is with it; a whole one tells of no events.
    const isNext = !line.whole && this.known >= this.last;
    this.last = line.last_event;
    this.add(line.events);
    if (isNext) this.known = Math.max(this.known, this.last);
    if (this.known >= this.last || this.asking) return;
    if (this.rest > 0) {
      this.rest -= 1;
      return;
    }
    const asking = (this.asking = {});
    const to = this.last;
    try {
      const found = await this.fetch(this.known);
      // Another process or another caller meanwhile.
      if (this.asking !== asking) return;
      this.known = found.reduce((most, event) => Math.max(most, event.number), to);
      this.asking = null;
      this.add(found);
    } catch {
      if (this.asking === asking) [this.asking, this.rest] = [null, REST];
    }
  }

  add(more) {
    const known = new Set(this.list.map((event) => event.number));
    const fresh = more.filter((event) => !known.has(event.number));
    if (fresh.length === 0) return;
    this.list = [...this.list, ...fresh].sort((one, other) => one.number - other.number).slice(-MOST);
    this.told(this.list);
  }
}
