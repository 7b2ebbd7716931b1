// Numbers and times in, what people read out.

const FEW = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** A number to three figures. */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return Math.abs(value) >= 1000 ? WHOLE.format(value) : FEW.format(value);
}

/** A share in percent, such as `0.12 %`. */
export function percent(value) {
  if (value === null || value === undefined) return "–";
  if (value > 0 && value < 0.01) return "< 0.01 %";
  return `${Math.abs(value) >= 100 ? WHOLE.format(value) : FEW.format(value)} %`;
}

/** Requests a second. */
export function rate(value) {
  return `${number(value)}/s`;
}

/** Seconds as they are short to read. */
export function took(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.001) return `${FEW.format(seconds * 1e6)} µs`;
  if (seconds < 1) return `${FEW.format(seconds * 1e3)} ms`;
  return `${FEW.format(seconds)} s`;
}

/** A length of time in words, such as `4 min`. */
export function length(seconds) {
  const s = Math.max(0, seconds);
  if (s < 100) return `${Math.round(s)} s`;
  if (s < 100 * 60) return `${Math.round(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

/** How long ago a Unix time is. */
export function ago(at, now) {
  const since = now - at;
  return since < 2 ? "just now" : `${length(since)} ago`;
}

/** A Unix time as a clock shows it; with its date unless that is today. */
export function clock(at) {
  const then = new Date(at * 1000);
  const time = then.toLocaleTimeString("en-GB");
  const isToday = then.toDateString() === new Date().toDateString();
  return isToday ? time : `${then.toLocaleDateString("en-CA")} ${time}`;
}

/** The same as machines write it, for `datetime` and titles. */
export function iso(at) {
  return new Date(at * 1000).toISOString();
}

/** One of something, or several. */
export function several(count, one, many) {
  return `${WHOLE.format(count)} ${count === 1 ? one : many}`;
}

/** Odds such as `250:1`. */
export function odds(value) {
  if (value >= 1e9) return "> 1e9:1";
  if (value < 0.01) return "< 0.01:1";
  return `${number(value)}:1`;
}

/** Shares of pools, such as `blue 90 % · green 10 %`. */
export function shares(weights) {
  const parts = Object.entries(weights).filter(([, share]) => share > 0);
  return parts.map(([pool, share]) => `${pool} ${percent(share)}`).join(" · ") || "nobody";
}

/** A word of a command, quoted where a shell would read it otherwise. */
export function word(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
