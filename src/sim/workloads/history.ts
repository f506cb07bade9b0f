/** Records what clients do and how it ends, for the checkers. */
import { KvFailure, type Db, type Timestamp, type Txn, type TxnOptions } from '../../kv/index.ts';
import { type Outcome, type Recorded } from '../checkers/history.ts';

interface Open<What> extends Recorded<What> {
  completed: number;
  outcome: Outcome;
}

export class History<What> {
  readonly #operations: Open<What>[] = [];
  readonly #nowMs: () => number;
  readonly #latest = new Map<number, Open<What>>();
  #events = 0;
  #processes = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** In the order of invocation. */
  get operations(): readonly Recorded<What>[] {
    return this.#operations;
  }

  /**
   * `client` does something; what fails ambiguously, and what never ends, stays 'info', and the client goes on
   * as another process.
   */
  async record<T>(client: number, what: What, work: () => Promise<T>): Promise<T> {
    const before = this.#latest.get(client);
    const operation: Open<What> = {
      process:
        before === undefined || before.outcome === 'info' ? this.#processes++ : before.process,
      what,
      invoked: this.#events++,
      completed: Number.POSITIVE_INFINITY,
      outcome: 'info',
      invokedMs: this.#nowMs(),
    };
    this.#operations.push(operation);
    this.#latest.set(client, operation);
    try {
      const result = await work();
      this.#complete(operation, 'ok');
      return result;
    } catch (error) {
      const isKnown = error instanceof KvFailure && error.kvError.kind !== 'ambiguous-result';
      if (isKnown) this.#complete(operation, 'fail');
      throw error;
    }
  }

  #complete(operation: Open<What>, outcome: Outcome): void {
    operation.completed = this.#events++;
    operation.outcome = outcome;
  }
}

/** A transaction that is tried once: what it read and wrote belongs to this attempt and to no other. */
export async function transact(
  db: Db,
  options: TxnOptions,
  body: (txn: Txn) => Promise<void>,
): Promise<Timestamp> {
  const txn = db.begin(options);
  try {
    await body(txn);
    return await txn.commit();
  } catch (error) {
    await txn.rollback();
    throw error;
  }
}
