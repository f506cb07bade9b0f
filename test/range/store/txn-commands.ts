/** Commands of scripts about transactions that stay open while their ranges change hands. */
import { KvFailure, type Txn } from '../../../src/kv/index.ts';
import { type Cluster } from './cluster.ts';

/** How long a lock may take until it counts as waited for. */
const patienceMs = 200;

export class OpenTxns {
  readonly #txns = new Map<string, Txn>();

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
    const patience = new Promise<string>((resolve) => {
      cluster.time.after(patienceMs, () => resolve('waits'));
    });
    return cluster.time.settleOf(Promise.race([outcome, patience]));
  }

  /** Leaves an intent. */
  lay(cluster: Cluster, name: string, key: Buffer, value: string): Promise<string> {
    const txn = this.#txn(name);
    txn.put(key, Buffer.from(value));
    return cluster.time.settleOf(txn.flush().then(() => 'laid down', showFailure));
  }

  commit(cluster: Cluster, name: string): Promise<string> {
    return cluster.time.settleOf(
      this.#txn(name)
        .commit()
        .then(() => 'committed', showFailure),
    );
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

function showFailure(error: unknown): string {
  if (error instanceof KvFailure) return error.kvError.kind;
  throw error;
}
