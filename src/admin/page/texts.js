// The files of a config as they are in force and as somebody has changed them here: what comes and what is
// typed in; what is shown, and what is sent, out.

export class Texts {
  constructor() {
    Object.assign(this, { parts: [], at: 0 });
  }

  /** Whether they have come. */
  get are() {
    return this.parts.length > 0;
  }

  /** The file that is shown. */
  get part() {
    return this.parts[this.at];
  }

  /** Its text. */
  get text() {
    return this.part.typed ?? this.part.text;
  }

  /** What is in force has come, the main file first. What was typed stays, file by file. */
  arrive(found) {
    const typed = new Map(this.parts.map((part) => [part.path, part.typed]));
    const shown = this.part?.path;
    const kept = ({ path, text }) => (typed.get(path) === text ? undefined : typed.get(path));
    this.parts = found.map((one) => ({ path: one.path, text: one.text, typed: kept(one) }));
    this.at = Math.max(0, this.parts.findIndex((part) => part.path === shown));
  }

  /** The file that is shown is to be this. */
  type(text) {
    this.part.typed = text === this.part.text ? undefined : text;
  }

  /** It is to be as it is in force. */
  restore() {
    this.part.typed = undefined;
  }

  /** Where a file stands that a problem is in; the main one has no name there. */
  find(file) {
    return file ? this.parts.findIndex((part) => part.path === file) : 0;
  }

  /** What is asked about: the text alone, or with all that it includes. */
  body() {
    const [main, ...included] = this.parts.map((part) => ({ path: part.path, text: part.typed ?? part.text }));
    return included.length ? { ...main, included } : main.text;
  }
}
