/** Commands of scripts about transactions that stay open while their ranges change hands. */
import { localSpanOf, txnOfRecordKey } from '../../../src/encoding/index.ts';
import { KvFailure, type Txn } from '../../../src/kv/index.ts';
import { unversionedSpan } from '../../../src/storage/index.ts';
import { type Cluster } from './cluster.ts';

/** How long a lock may take until it counts as waited for. */
const patienceMs = 200;

export class OpenTxns {
  readonly #txns = new Map<string, Txn>();
  /** Locks that are waited for. */
  readonly #waits = new Map<string, Promise<string>>();

  begin(
    cluster: Cluster,
    name: string,
    how: { readonly node: number; readonly priority: string | undefined },
  ): void {
    const { db } = cluster.machine(how.node).store.deps;
    const priority = how.priority === 'high' ? 'high' : 'normal';
    this.#txns.set(name, db.begin({ name, priority }));
  }

  /** SELECT FOR UPDATE: 'waits' when somebody else has the lock; the request stays where it is. */
  lock(cluster: Cluster, name: string, key: Buffer): Promise<string> {
    const work = this.#txn(name).get(key, { lock: 'update' });
    const outcome = work.then(() => 'locked', showFailure);
    this.#waits.set(name, outcome);
    return this.waited(cluster, name, patienceMs);
  }

  /** What has become of the wait within so many milliseconds. */
  waited(cluster: Cluster, name: string, ms: number): Promise<string> {
    const patience = new Promise<string>((resolve) => {
      cluster.time.after(ms, () => resolve('waits'));
    });
    const outcome = this.#waits.get(name) ?? 'waits for nothing';
    return cluster.time.settleOf(Promise.race([outcome, patience]));
  }

  /** Leaves an intent. */
  lay(cluster: Cluster, name: string, key: Buffer, value: string): Promise<string> {
    const txn = this.#txn(name);
    txn.put(key, Buffer.from(value));
    return cluster.time.settleOf(txn.flush().then(() => 'laid down', showFailure));
  }

  commit(name: string): Promise<string> {
    return this.#txn(name)
      .commit()
      .then(() => 'committed', showFailure);
  }

  rollback(cluster: Cluster, name: string): Promise<string> {
    return cluster.time.settleOf(
      this.#txn(name)
        .rollback()
        .then(() => '', showFailure),
    );
  }

  #txn(name: string): Txn {
    const txn = this.#txns.get(name);
    if (txn === undefined) throw new Error(`no transaction ${name}`);
    return txn;
  }
}

/** What transactions have left at the leaseholders. */
export async function remains(cluster: Cluster): Promise<string> {
  let intents = 0;
  let records = 0;
  for (const { engine, store } of cluster.live()) {
    for (const replica of store.replicas.values()) {
      if (!replica.holdsLease) continue;
      intents += replica.stats.intentCount;
      const { startKey, endKey } = replica.descriptor;
      const local = localSpanOf(startKey, endKey);
      const iterator = engine.iterate(unversionedSpan(local.start, local.end));
      const rows = await iterator.next(1_000);
      records += rows.filter(([key]) => txnOfRecordKey(key.subarray(1)) !== undefined).length;
      await iterator.close();
    }
  }
  return `${intents} intents, ${records} records`;
}

function showFailure(error: unknown): string {
  if (error instanceof KvFailure) return error.kvError.kind;
  throw error;
}
