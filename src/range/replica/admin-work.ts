/** The administrative work on one range: one piece after the other, and what is known of the one under way. */
import { type ChangePurpose } from '../../allocator/index.ts';

export class AdminWork {
  #end: Promise<unknown> | undefined;
  #copiesFor: ChangePurpose | undefined;

  get isBusy(): boolean {
    return this.#end !== undefined;
  }

  /** Why replicas are being added now: how fast they are filled. Undefined: none are. */
  get copiesFor(): ChangePurpose | undefined {
    return this.#copiesFor;
  }

  /** Runs `work` when earlier work has ended. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#end === undefined ? work() : this.#end.then(work);
    const ended = (): void => {
      if (this.#end === end) this.#end = undefined;
    };
    const end: Promise<void> = run.then(ended, ended);
    this.#end = end;
    return run;
  }

  /** Runs `work`, part of the work under way, which adds replicas. */
  async copying<T>(purpose: ChangePurpose, work: () => Promise<T>): Promise<T> {
    this.#copiesFor = purpose;
    try {
      return await work();
    } finally {
      this.#copiesFor = undefined;
    }
  }
}
