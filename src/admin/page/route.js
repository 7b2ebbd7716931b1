// What stands behind the `#` of an address in; which view that is, and of what, out. It may be anything:
// people mistype, links are cut off, and others make links.

/** What a part says; one that is escaped wrongly is taken as it stands. */
function read(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** One of `views` by its name and what follows it; the one named `""` for what there is not. */
export function route(hash, views) {
  const [name, ...parts] = hash.replace(/^#\/?/, "").split("/").map(read);
  const rest = parts.filter(Boolean);
  // A view that is of something needs to be told of what.
  const isThere = Object.hasOwn(views, name) && (!views[name].of || rest.length > 0);
  return isThere ? { name, rest } : { name: "", rest: [] };
}
