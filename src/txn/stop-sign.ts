/**
 * Ends waiting early: a transaction that is cancelled, or that others have aborted, waits for nothing any more.
 *
 * Who waits is forgotten as soon as its work is done. A race with a promise that lives as long as the transaction would keep
 * the answer of everything that was ever waited for.
 */
export class StopSign {
  readonly #waiting = new Set<(failure: Error) => void>();
  #failure: Error | undefined;

  /** All who wait fail now, all who come fail at once; the first failure counts. */
  raise(failure: Error): void {
    this.#failure ??= failure;
    for (const fail of this.#waiting) fail(this.#failure);
    this.#waiting.clear();
  }

  /** Who comes from now on may wait again. */
  lower(): void {
    this.#failure = undefined;
  }

  /** Ends as `work` does, or with the failure. */
  unlessRaised<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      work.then(
        (value) => {
          this.#waiting.delete(reject);
          resolve(value);
        },
        (error: Error) => {
          this.#waiting.delete(reject);
          reject(error);
        },
      );
      if (this.#failure === undefined) this.#waiting.add(reject);
      else reject(this.#failure);
    });
  }
}
