// Something that is fetched once for a key: what it is wanted for in; what came, to who uses it, out. What
// has failed is asked again, and what came too late is not used.

/** After a failure it is wanted so often in vain before it is asked again: a view wants it each second. */
const REST = 5;

export class Once {
  /** `fetch(key)`, `use(found, key)` and `fail(error)`. */
  constructor(fetch, use, fail = () => {}) {
    Object.assign(this, { fetch, use, fail, has: null, asking: null, failed: null, rest: 0 });
  }

  /** It is wanted for this key now. */
  async want(key) {
    if (key === this.asking || (key === this.has && this.asking === null)) return;
    if (key === this.failed && this.rest > 0) {
      this.rest -= 1;
      return;
    }
    this.asking = key;
    let found;
    try {
      found = await this.fetch(key);
    } catch (error) {
      if (this.asking !== key) return;
      Object.assign(this, { asking: null, failed: key, rest: REST });
      return this.fail(error);
    }
    if (this.asking !== key) return;
    Object.assign(this, { asking: null, failed: null, has: key });
    this.use(found, key);
  }
}
