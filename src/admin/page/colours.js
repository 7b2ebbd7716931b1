// Colours and dashes of pools, which differ for those who cannot tell red from green too: after Okabe
// and Ito's palette, darker or lighter as the ground wants it. A dash tells lines apart without colour.

const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3], [4, 2], [1, 2]];

/** A pool's colour by its place in its service, as CSS has it. */
export function colour(index) {
  return `var(--pool-${index % 6})`;
}

/** The same as a canvas needs it. */
export function painted(index) {
  return read(`--pool-${index % 6}`);
}

/** How its lines are dashed. */
export function dash(index) {
  return DASHES[index % 6];
}

/** A colour of the page by its name. */
export function read(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
