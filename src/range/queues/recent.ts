/** What was decided lately, for those who ask why: the newest of each subject, as many as fit. */
export class Recent<T> {
  readonly #max: number;
  /** The oldest first. */
  readonly #entries = new Map<string, T>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Takes the place of what was said of the same subject. */
  add(subject: string, entry: T): void {
    this.#entries.delete(subject);
    this.#entries.set(subject, entry);
    if (this.#entries.size <= this.#max) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }

  list(): T[] {
    return [...this.#entries.values()];
  }
}
