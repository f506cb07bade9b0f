/**
 * The counter workload (Jepsen): additions of one and sometimes of minus one, which nothing may repeat or lose, and
 * reads. One counter is changed in transactions, the other with `Db.increment`.
 */
import { KeyWriter, writeIndexPrefix } from '../../encoding/index.ts';
import { type Db } from '../../kv/index.ts';
import { checkCounter, type CounterOp } from '../checkers/counter.ts';
import { type SeededRandom } from '../random.ts';
import { type Operation, type Workload, type WorkloadContext } from '../workload.ts';
import { History, transact } from './history.ts';

const tableId = 60_005;

interface Reading {
  readonly kind: 'read';
  value: number;
}

export class Counter implements Workload {
  readonly #context: WorkloadContext;
  readonly #transactional: History<CounterOp>;
  readonly #atomic: History<CounterOp>;

  constructor(context: WorkloadContext) {
    this.#context = context;
    this.#transactional = new History(() => context.world.nowMs);
    this.#atomic = new History(() => context.world.nowMs);
  }

  splitKeys(): Buffer[] {
    return [transactionalKey, atomicKey];
  }

  async load(): Promise<void> {
    // What is not there counts as zero.
  }

  next(client: number, random: SeededRandom): Operation {
    const isAtomic = random.chance(0.5);
    if (random.chance(0.3)) {
      return {
        kind: 'read',
        run: (db) => (isAtomic ? this.#readAtomic(db, client) : this.#read(db, client)),
      };
    }
    const by = random.chance(0.2) ? -1 : 1;
    const isLocking = random.chance(0.5);
    return {
      kind: 'write',
      run: (db) =>
        isAtomic ? this.#addAtomic(db, client, by) : this.#add(db, client, by, isLocking),
    };
  }

  async checkNode(db: Db): Promise<void> {
    await this.#read(db, -Number(db.nodeId));
    await this.#readAtomic(db, -Number(db.nodeId));
  }

  async conclude(): Promise<void> {
    for (const history of [this.#transactional, this.#atomic]) {
      for (const { anomaly, text } of checkCounter(history.operations)) {
        this.#context.violation(`${anomaly}: ${text}`);
      }
    }
  }

  async #add(db: Db, client: number, by: number, isLocking: boolean): Promise<void> {
    const lock = isLocking ? 'update' : 'none';
    await this.#transactional.record(client, { kind: 'add', value: by }, () =>
      transact(db, { name: 'counter add', optimistic: true }, async (txn) => {
        const value = await txn.get(transactionalKey, { lock, mayAssume: true });
        txn.put(transactionalKey, encode(decode(value) + by));
      }),
    );
  }

  async #read(db: Db, client: number): Promise<void> {
    const what: Reading = { kind: 'read', value: 0 };
    await this.#transactional.record(client, what, () =>
      transact(db, { name: 'counter read' }, async (txn) => {
        what.value = decode(await txn.get(transactionalKey));
      }),
    );
  }

  async #addAtomic(db: Db, client: number, by: number): Promise<void> {
    await this.#atomic.record(client, { kind: 'add', value: by }, () =>
      db.increment(atomicKey, BigInt(by)),
    );
  }

  async #readAtomic(db: Db, client: number): Promise<void> {
    const what: Reading = { kind: 'read', value: 0 };
    await this.#atomic.record(client, what, async () => {
      what.value = decode(await db.readCurrent(atomicKey));
    });
  }
}

const transactionalKey = counterKey(1);
const atomicKey = counterKey(2);

function counterKey(indexId: number): Buffer {
  return writeIndexPrefix(new KeyWriter(), { tableId, indexId }).uint(0).finish();
}

function encode(value: number): Buffer {
  const encoded = Buffer.alloc(8);
  encoded.writeBigInt64BE(BigInt(value));
  return encoded;
}

function decode(encoded: Buffer | undefined): number {
  return Number(encoded?.readBigInt64BE() ?? 0n);
}
