/**
 * Values that nobody can ask for twice: random numbers, the time of day, numbers of sequences and row ids. An open
 * transaction keeps those that it has drawn, in order, so that its statements are given the same ones when they run
 * again. That way a replay inserts the rows whose keys the client has been told (INSERT ... RETURNING id), and no number
 * of a sequence is lost. Should a run ask for others, or for more of them, it gets new ones: nobody has seen them yet.
 */

type Value = number | bigint | Buffer;

export class DrawnValues {
  readonly #values: { readonly what: string; readonly value: Value }[] = [];
  #at = 0;
  /** Off: what is drawn is not kept. */
  isOn = false;

  /** The value that was drawn here before; undefined when there is none, or it was for something else. */
  again(what: string): Value | undefined {
    const known = this.#values[this.#at];
    if (known === undefined) return undefined;
    if (known.what === what) {
      this.#at++;
      return known.value;
    }
    this.#values.length = this.#at;
    return undefined;
  }

  keep(what: string, value: Value): void {
    if (!this.isOn) return;
    this.#values.push({ what, value });
    this.#at = this.#values.length;
  }

  get count(): number {
    return this.#values.length;
  }

  /** Where the next value is drawn. */
  mark(): number {
    return this.#at;
  }

  /** What was drawn since `mark` is going to be given again. */
  rewind(mark: number): void {
    this.#at = Math.min(mark, this.#values.length);
  }

  clear(): void {
    this.isOn = false;
    this.#values.length = 0;
    this.#at = 0;
  }
}
