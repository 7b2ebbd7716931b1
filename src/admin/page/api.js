// The admin API: an operation and what it is told in, its answer out. The token lives in this tab alone,
// and goes nowhere but into the field of a request.

const TOKEN = "pointsman.token";
const NAME = "pointsman.name";

/** Why an operation was refused: its problem document (RFC 9457). */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `the answer is ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

/** Nobody answers. */
export class Unreachable extends Error {}

export function token() {
  return sessionStorage.getItem(TOKEN) ?? "";
}

export function setToken(text) {
  if (text) sessionStorage.setItem(TOKEN, text);
  else sessionStorage.removeItem(TOKEN);
}

/** Who gives orders, where no token says so. */
export function name() {
  return sessionStorage.getItem(NAME) ?? "";
}

export function setName(text) {
  sessionStorage.setItem(NAME, text.trim());
}

/** Fields that a request has. */
export function fields(more) {
  const own = { ...more };
  if (token()) own.authorization = `Bearer ${token()}`;
  return own;
}

/** The body of a refusal, whatever it is. */
export async function problemOf(response) {
  const text = await response.text().catch(() => "");
  try {
    return new Refused(response.status, JSON.parse(text));
  } catch {
    return new Refused(response.status, { detail: text.slice(0, 300) || `the answer is ${response.status}` });
  }
}

/** Asks, and gives what the answer says. A text goes as TOML, all else as JSON. */
export async function ask(method, path, body, more = {}) {
  const headers = fields(more);
  let sent;
  if (typeof body === "string") {
    headers["content-type"] = "application/toml";
    sent = body;
  } else if (body !== undefined) {
    headers["content-type"] = "application/json";
    sent = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, { method, headers, body: sent, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch {
    throw new Unreachable("Nobody answers at this address. What was ordered may have been carried out or not.");
  }
  if (!response.ok) throw await problemOf(response);
  const kind = response.headers.get("content-type") ?? "";
  return kind.includes("json") ? response.json() : response.text();
}

/** A part of a path. */
export function part(text) {
  return encodeURIComponent(text);
}
