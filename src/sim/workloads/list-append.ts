/**
 * The list-append workload (Jepsen): transactions of a few reads of lists and appends of unique elements, on a
 * few popular keys that are replaced when their lists are long. `checkers/list-append.ts` finds any history that
 * no serial order explains.
 */
import { KeyWriter, writeIndexPrefix } from '../../encoding/index.ts';
import { type Db, type LockStrength, type Txn } from '../../kv/index.ts';
import { must, sleep } from '../../util/index.ts';
import { type MicroOp } from '../checkers/append-history.ts';
import { checkListAppend } from '../checkers/list-append.ts';
import { type SeededRandom } from '../random.ts';
import { type Operation, type Workload, type WorkloadContext } from '../workload.ts';
import { History, transact } from './history.ts';

const tableId = 60_001;
const opsMax = 4;
const finalReadKeys = 50;

export interface ListAppendOptions {
  /** Keys in use at a time, each in an index of its own. */
  readonly activeKeys: number;
  /** A key is replaced after so many appends. */
  readonly appendsPerKey: number;
  /** The history has to agree with real time throughout, as with global_reads. */
  readonly isStrict?: boolean;
}

/** How a transaction is to go about its operations. */
interface Manner {
  readonly lock: LockStrength;
  readonly optimistic: boolean;
  /** Between two operations. */
  readonly pauseMs: number;
}

type Append = Extract<MicroOp, { kind: 'append' }>;
type Read = Extract<MicroOp, { kind: 'read' }> & { list: readonly number[] | undefined };
type Op = Append | Read;

export class ListAppend implements Workload {
  readonly #context: WorkloadContext;
  readonly #options: ListAppendOptions;
  readonly #history: History<readonly Op[]>;
  /** Per slot: the key in it, and how often it was appended to. */
  readonly #slots: { key: number; appends: number }[];
  #elements = 0;

  constructor(context: WorkloadContext, options: ListAppendOptions) {
    this.#context = context;
    this.#options = options;
    this.#history = new History(() => context.world.nowMs);
    this.#slots = Array.from({ length: options.activeKeys }, (_, key) => ({ key, appends: 0 }));
  }

  splitKeys(): Buffer[] {
    return this.#slots.map(({ key }) => this.#storedKey(key));
  }

  async load(): Promise<void> {
    // Lists begin as nothing.
  }

  next(client: number, random: SeededRandom): Operation {
    const ops = Array.from({ length: random.between(1, opsMax) }, () => this.#drawOp(random));
    const manner: Manner = {
      lock: random.pick(['none', 'none', 'update', 'share']),
      optimistic: random.chance(0.3),
      pauseMs: random.chance(0.3) ? random.float() * 300 : 0,
    };
    return {
      kind: ops.some(({ kind }) => kind === 'append') ? 'write' : 'read',
      run: (db) => this.#history.record(client, ops, () => this.#transact(db, ops, manner)),
    };
  }

  async checkNode(db: Db): Promise<void> {
    const keys = Math.max(...this.#slots.map(({ key }) => key)) + 1;
    for (let first = 0; first < keys; first += finalReadKeys) {
      const reads = Array.from({ length: Math.min(finalReadKeys, keys - first) }, (_, i): Read => ({
        kind: 'read',
        key: first + i,
        list: undefined,
      }));
      // A client of its own for each node.
      await this.#history.record(-Number(db.nodeId), reads, async () => {
        await transact(db, { name: 'append check' }, (txn) => this.#readTogether(txn, reads));
      });
    }
  }

  async conclude(): Promise<void> {
    for (const { anomaly, text } of checkListAppend(
      this.#history.operations,
      this.#options.isStrict === true ? 'realtime' : 'conflicts',
    )) {
      this.#context.violation(`${anomaly}: ${text}`);
    }
  }

  #drawOp(random: SeededRandom): Op {
    // Each key half as popular again as the one behind it.
    let index = 0;
    while (index < this.#slots.length - 1 && random.chance(1 / 3)) index++;
    const slot = must(this.#slots[index]);
    if (random.chance(0.5)) return { kind: 'read', key: slot.key, list: undefined };
    if (slot.appends === this.#options.appendsPerKey) {
      slot.key += this.#slots.length;
      slot.appends = 0;
    }
    slot.appends++;
    return { kind: 'append', key: slot.key, element: this.#elements++ };
  }

  async #transact(db: Db, ops: readonly Op[], manner: Manner): Promise<void> {
    const { lock, optimistic, pauseMs } = manner;
    await transact(db, { name: 'append', optimistic }, async (txn) => {
      if (ops.length > 1 && ops.every((op) => op.kind === 'read')) {
        await this.#readTogether(txn, ops);
        return;
      }
      for (const [i, op] of ops.entries()) {
        if (i > 0 && pauseMs > 0) await sleep(this.#context.world, pauseMs);
        const key = this.#storedKey(op.key);
        if (op.kind === 'read') {
          op.list = decodeList(await txn.get(key));
        } else {
          const list = decodeList(await txn.get(key, { lock, mayAssume: optimistic }));
          txn.put(key, encodeList([...list, op.element]));
        }
      }
    });
  }

  async #readTogether(txn: Txn, reads: readonly Read[]): Promise<void> {
    const values = await txn.getMany(reads.map(({ key }) => this.#storedKey(key)));
    for (const [i, read] of reads.entries()) read.list = decodeList(values[i]);
  }

  /** Keys of one slot follow each other. */
  #storedKey(key: number): Buffer {
    const slots = this.#slots.length;
    const index = { tableId, indexId: 1 + (key % slots) };
    return writeIndexPrefix(new KeyWriter(), index)
      .uint(Math.floor(key / slots))
      .finish();
  }
}

function encodeList(list: readonly number[]): Buffer {
  const value = Buffer.alloc(4 * list.length);
  for (const [i, element] of list.entries()) value.writeInt32BE(element, 4 * i);
  return value;
}

function decodeList(value: Buffer | undefined): number[] {
  return Array.from({ length: (value?.length ?? 0) / 4 }, (_, i) => value?.readInt32BE(4 * i) ?? 0);
}
