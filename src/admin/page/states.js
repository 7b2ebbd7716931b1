// What states of the API mean here: words in; how much they matter, and how they look, out. In one place,
// so that a row, a list and a view never say two things of one state.

const WORTH = { low: 1, medium: 2, high: 3, critical: 4 };

/** From these shares of failures on, in percent: as the API has them among what is wrong. */
const ERRORS = [[5, "bad-number"], [1, "odd-number"]];

/** How much a severity matters; 0 for a word that is none. */
export function worth(severity) {
  return Object.hasOwn(WORTH, severity) ? WORTH[severity] : 0;
}

/** How much the worst of these matters. */
export function worst(wrong) {
  return wrong.reduce((most, one) => Math.max(most, worth(one.severity)), 0);
}

/** How a share of failures looks, in percent. */
export function ofErrors(percent) {
  return ERRORS.find(([least]) => percent >= least)?.[1] ?? null;
}

/** Whether a rollout is under way, if there is one. */
export function isUnderWay(rollout) {
  return Boolean(rollout) && ["running", "paused"].includes(rollout.state);
}

/** Whether it has ended, and not with everything at its target. */
export function isBack(rollout) {
  return ["rolled-back", "aborted", "failed"].includes(rollout.state);
}

/** Whether a request has failed: its answer says so, or there is none. */
export function isFailure(request) {
  return (request.status ?? 599) >= 500;
}

/** What became of a revision, in one word: those that were rolled back say by whom. */
export function ofOutcome(outcome) {
  return outcome.startsWith("rolled back") ? "rolled-back" : outcome;
}
