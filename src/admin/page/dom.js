// Elements: a name, what is said of them and what is in them in, a node out. All that comes from
// elsewhere becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, said, inside) {
  for (const [name, value] of Object.entries(said ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, to] of Object.entries(value)) node.style.setProperty(key, to);
    else if (["value", "checked", "disabled"].includes(name)) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...inside.flat(Infinity).filter((one) => one !== undefined && one !== null && one !== false));
  return node;
}

/** An element of HTML. */
export function h(name, said, ...inside) {
  return fill(document.createElement(name), said, inside);
}

/** An element of SVG. */
export function svg(name, said, ...inside) {
  return fill(document.createElementNS(SVG, name), said, inside);
}

/** Sets a node's text, if it is another: what is read aloud or selected is left alone. */
export function say(node, text) {
  const wanted = text === undefined || text === null ? "" : String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
  return node;
}

/** Sets an attribute, or takes it away where it is null. */
export function mark(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** Puts these in a node's place of its children. */
export function put(node, ...inside) {
  node.replaceChildren(...inside.flat(Infinity).filter((one) => one !== undefined && one !== null && one !== false));
  return node;
}

/** Whether what a node shows was made of the same: then it need not be made anew. */
export function isSame(node, of) {
  const made = JSON.stringify(of);
  if (node.madeOf === made) return true;
  node.madeOf = made;
  return false;
}

/** Keeps a node's children in step with a list: each is made once and updated in place after that. */
export function keep(node, list, key, make, update) {
  const old = node.kept ?? new Map();
  const next = new Map();
  let place = node.firstChild;
  for (const item of list) {
    const name = key(item);
    let part = old.get(name);
    if (!part) part = make(item);
    old.delete(name);
    next.set(name, part);
    update?.(part, item);
    if (part.node === place) place = place.nextSibling;
    else node.insertBefore(part.node, place);
  }
  for (const part of old.values()) part.node.remove();
  node.kept = next;
}

/** A long list of which only what can be seen is there: rows of one height each. */
export class Rows {
  /** `make()` gives `{node, …}`, `update(part, item, place)` fills it. */
  constructor(scroller, height, make, update) {
    Object.assign(this, { scroller, height, make, update, list: [], parts: [], first: -1 });
    this.space = h("div", { class: "rows-space", role: "presentation" });
    this.window = h("div", { class: "rows-window", role: "presentation" });
    this.space.append(this.window);
    scroller.append(this.space);
    const again = () => this.show(false);
    scroller.addEventListener("scroll", again, { passive: true });
    this.watch = new ResizeObserver(again);
    this.watch.observe(scroller);
  }

  set(list) {
    this.list = list;
    this.space.style.height = `${list.length * this.height()}px`;
    this.show(true);
  }

  show(isNew) {
    const height = this.height();
    const seen = Math.ceil((this.scroller.clientHeight || 400) / height) + 4;
    const top = Math.max(0, Math.floor(this.scroller.scrollTop / height) - 2);
    const first = Math.max(0, Math.min(top, this.list.length - seen));
    const count = Math.min(seen, this.list.length - first);
    if (!isNew && first === this.first && count === this.parts.length) return;
    while (this.parts.length > count) this.parts.pop().node.remove();
    while (this.parts.length < count) {
      const part = this.make();
      this.parts.push(part);
      this.window.append(part.node);
    }
    this.first = first;
    this.window.style.transform = `translateY(${first * height}px)`;
    this.parts.forEach((part, nth) => {
      mark(part.node, "aria-rowindex", first + nth + 2);
      this.update(part, this.list[first + nth], first + nth);
    });
  }

  end() {
    this.watch.disconnect();
  }
}
