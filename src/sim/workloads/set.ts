/**
 * The set workload (Jepsen's set-full): clients add elements, each once, and read the whole set page by page, in
 * one transaction, while the ranges it lies in are split and move.
 */
import { indexPrefix, KeyReader, KeyWriter, writeIndexPrefix } from '../../encoding/index.ts';
import { type Db } from '../../kv/index.ts';
import { sleep } from '../../util/index.ts';
import { checkSet, type SetOp } from '../checkers/set.ts';
import { type SeededRandom } from '../random.ts';
import { type Operation, type Workload, type WorkloadContext } from '../workload.ts';
import { History, transact } from './history.ts';

const index = { tableId: 60_004, indexId: 1 };
const everything = {
  start: indexPrefix(index),
  end: indexPrefix({ tableId: index.tableId, indexId: 2 }),
};

interface Reading {
  readonly kind: 'read';
  value: readonly number[];
}

export class ElementSet implements Workload {
  readonly #context: WorkloadContext;
  /** Elements are dealt out to so many places of the keyspace. */
  readonly #buckets: number;
  readonly #history: History<SetOp>;
  #elements = 0;

  constructor(context: WorkloadContext, { buckets }: { readonly buckets: number }) {
    this.#context = context;
    this.#buckets = buckets;
    this.#history = new History(() => context.world.nowMs);
  }

  splitKeys(): Buffer[] {
    return Array.from({ length: 2 * this.#buckets }, (_, i) =>
      this.#storedKey(i < this.#buckets ? i : this.#elements + i),
    );
  }

  async load(): Promise<void> {
    // The set begins empty.
  }

  next(client: number, random: SeededRandom): Operation {
    if (random.chance(0.7)) {
      const element = this.#elements++;
      const isBlind = random.chance(0.5);
      return { kind: 'write', run: (db) => this.#add(db, client, element, isBlind) };
    }
    const pauseMs = random.chance(0.5) ? random.float() * 100 : 0;
    const maxRows = random.between(5, 50);
    return { kind: 'read', run: (db) => this.#read(db, client, { maxRows, pauseMs }) };
  }

  async checkNode(db: Db): Promise<void> {
    await this.#read(db, -Number(db.nodeId), { maxRows: 100, pauseMs: 0 });
  }

  async conclude(): Promise<void> {
    for (const { anomaly, text } of checkSet(this.#history.operations)) {
      this.#context.violation(`${anomaly}: ${text}`);
    }
  }

  async #add(db: Db, client: number, element: number, isBlind: boolean): Promise<void> {
    const key = this.#storedKey(element);
    await this.#history.record(client, { kind: 'add', value: element }, () =>
      transact(db, { name: 'set add' }, async (txn) => {
        if (isBlind) txn.put(key, Buffer.alloc(40));
        else txn.insert(key, Buffer.alloc(40));
      }),
    );
  }

  async #read(
    db: Db,
    client: number,
    { maxRows, pauseMs }: { readonly maxRows: number; readonly pauseMs: number },
  ): Promise<void> {
    const what: Reading = { kind: 'read', value: [] };
    await this.#history.record(client, what, () =>
      transact(db, { name: 'set read' }, async (txn) => {
        const elements: number[] = [];
        let rest: { start: Buffer; end: Buffer } | undefined = everything;
        while (rest !== undefined) {
          const page = await txn.scan({ ...rest, maxRows });
          for (const key of page.keys) elements.push(elementOf(key));
          rest = page.resume;
          if (rest !== undefined && pauseMs > 0) await sleep(this.#context.world, pauseMs);
        }
        what.value = elements;
      }),
    );
  }

  #storedKey(element: number): Buffer {
    const writer = writeIndexPrefix(new KeyWriter(), index);
    return writer
      .uint(element % this.#buckets)
      .uint(element)
      .finish();
  }
}

function elementOf(key: Buffer): number {
  const reader = new KeyReader(key, everything.start.length);
  reader.int();
  return reader.int();
}
