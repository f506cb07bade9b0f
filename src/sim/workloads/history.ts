/** Records what clients do and how it ends, for the checkers. */
import { KvFailure, type Db, type Timestamp, type Txn, type TxnOptions } from '../../kv/index.ts';
import { type Outcome, type Recorded } from '../checkers/history.ts';
import { AttemptFailure } from './sql/attempt.ts';

type Open<What> = { -readonly [K in keyof Recorded<What>]: Recorded<What>[K] };

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
    const operation = this.#begin(client, what);
    try {
      const result = await work();
      this.#end(operation, 'ok');
      return result;
    } catch (error) {
      const isKnown = error instanceof KvFailure && error.kvError.kind !== 'ambiguous-result';
      this.#end(operation, isKnown ? 'fail' : 'info');
      throw error;
    }
  }

  /** As `record`, of an attempt in SQL: `work` resolves with what was done, answers included. */
  async perform(client: number, what: What, work: () => Promise<What>): Promise<Outcome> {
    const operation = this.#begin(client, what);
    try {
      operation.what = await work();
      return this.#end(operation, 'ok');
    } catch (error) {
      if (!(error instanceof AttemptFailure)) throw error;
      operation.error = error.code;
      return this.#end(operation, error.outcome);
    }
  }

  #begin(client: number, what: What): Open<What> {
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
    return operation;
  }

  #end(operation: Open<What>, outcome: Outcome): Outcome {
    if (outcome !== 'info') operation.completed = this.#events++;
    operation.outcome = outcome;
    operation.completedMs = this.#nowMs();
    return outcome;
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
