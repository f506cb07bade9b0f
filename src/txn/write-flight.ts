/**
 * Writes on their way out as intents: one buffer at a time, while the next one fills. What fails comes back into the buffer, so that a
 * savepoint can go on.
 */
import { KvFailure, type WriteBuffer } from '../kv/index.ts';
import { type ClusterTxn } from './cluster-txn.ts';
import { flushWrites } from './committer.ts';

interface Flight {
  readonly buffer: WriteBuffer;
  /** Never rejects: the failure is what the next one to look is told. */
  readonly landed: Promise<KvFailure | undefined>;
  /** A savepoint was rolled back meanwhile: what fails then may not concern anybody any more. */
  rolledBack: boolean;
}

export class WriteFlight {
  readonly #txn: ClusterTxn;
  #flight: Flight | undefined;

  constructor(txn: ClusterTxn) {
    this.#txn = txn;
  }

  /** What is under way. */
  get buffer(): WriteBuffer | undefined {
    return this.#flight?.buffer;
  }

  /** Nothing is under way, and `buffer` is not the transaction's any more. */
  start(buffer: WriteBuffer): void {
    const txn = this.#txn;
    const versions = buffer.versions();
    const [first] = versions;
    if (first === undefined) return;
    txn.prepareToLock(first.key);
    for (const { key } of versions) txn.intents.add(key, undefined);
    const landed = flushWrites(txn, buffer).then(
      () => {
        // What was undone meanwhile may have been locked anew: that is another lock.
        if (flight.rolledBack) return undefined;
        for (const { key } of versions) txn.kept.writtenDown(key, txn.savepointSequence);
        return undefined;
      },
      (error: unknown) => {
        // A replay of what did get there is a no-op.
        const later = txn.buffer;
        txn.buffer = buffer;
        const { ignoredSequences } = txn.meta;
        buffer.forget((sequence) =>
          ignoredSequences.some((span) => sequence >= span.from && sequence <= span.to),
        );
        buffer.append(later);
        if (error instanceof KvFailure) return error;
        return new KvFailure({ kind: 'unavailable', reason: String(error) });
      },
    );
    const flight: Flight = { buffer, landed, rolledBack: false };
    this.#flight = flight;
  }

  /** Waits until nothing is under way; throws what has failed and was not rolled back. */
  async landed(): Promise<void> {
    while (this.#flight !== undefined) {
      const flight = this.#flight;
      const failure = await flight.landed;
      if (this.#flight === flight) this.#flight = undefined;
      if (failure !== undefined && !flight.rolledBack) throw failure;
    }
  }

  /** The same, whatever became of it. */
  async settled(): Promise<void> {
    await this.#flight?.landed;
  }

  rolledBack(): void {
    if (this.#flight !== undefined) this.#flight.rolledBack = true;
  }
}
