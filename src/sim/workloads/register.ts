/**
 * The register workload (Jepsen): reads, writes and compare-and-sets of a few values on a few keys at a time, each
 * of which must be linearizable. Keys are replaced after some operations, so that each can be decided.
 */
import { KeyWriter, writeIndexPrefix } from '../../encoding/index.ts';
import { type Db, type LockStrength } from '../../kv/index.ts';
import { must } from '../../util/index.ts';
import { checkRegisters, type KeyedRegisterOp } from '../checkers/register.ts';
import { type SeededRandom } from '../random.ts';
import { type Operation, type Workload, type WorkloadContext } from '../workload.ts';
import { KeySlots } from './key-slots.ts';
import { History, transact } from './history.ts';

const tableId = 60_003;
const valueMax = 4;

export interface RegisterOptions {
  readonly activeKeys: number;
  readonly operationsPerKey: number;
}

export class Register implements Workload {
  readonly #context: WorkloadContext;
  readonly #options: RegisterOptions;
  readonly #history: History<KeyedRegisterOp>;
  readonly #slots: KeySlots;

  constructor(context: WorkloadContext, options: RegisterOptions) {
    this.#context = context;
    this.#options = options;
    this.#history = new History(() => context.world.nowMs);
    this.#slots = new KeySlots(options.activeKeys, options.operationsPerKey);
  }

  splitKeys(): Buffer[] {
    return this.#slots.keys.map((key) => this.#storedKey(key));
  }

  async load(): Promise<void> {
    // Registers begin without a value.
  }

  next(client: number, random: SeededRandom): Operation {
    const key = this.#slots.draw(random);
    const value = (): number => random.between(0, valueMax);
    const draw = random.float();
    if (draw < 0.4) {
      const isCurrent = random.chance(0.3);
      return { kind: 'read', run: (db) => this.#read(db, client, { key, isCurrent }) };
    }
    if (draw < 0.65) {
      const what = { kind: 'write', key, value: value() } as const;
      return { kind: 'write', run: (db) => this.#write(db, client, what) };
    }
    const what = { kind: 'cas', key, from: value(), to: value() } as const;
    const options = {
      lock: random.pick(['none', 'update', 'share'] as const),
      optimistic: random.chance(0.4),
    };
    return { kind: 'write', run: (db) => this.#compareAndSet(db, client, { ...what, ...options }) };
  }

  async checkNode(db: Db): Promise<void> {
    for (const key of this.#slots.keys) {
      await this.#read(db, -Number(db.nodeId), { key, isCurrent: false });
    }
  }

  async conclude(): Promise<void> {
    for (const { anomaly, text } of checkRegisters(this.#history.operations)) {
      this.#context.violation(`${anomaly}: ${text}`);
    }
  }

  async #read(
    db: Db,
    client: number,
    { key, isCurrent }: { readonly key: number; readonly isCurrent: boolean },
  ): Promise<void> {
    const what: { kind: 'read'; key: number; value: number | undefined } = {
      kind: 'read',
      key,
      value: undefined,
    };
    const stored = this.#storedKey(key);
    await this.#history.record(client, what, async () => {
      if (isCurrent) {
        what.value = decode(await db.readCurrent(stored));
        return;
      }
      await transact(db, { name: 'register read' }, async (txn) => {
        what.value = decode(await txn.get(stored));
      });
    });
  }

  async #write(
    db: Db,
    client: number,
    what: Extract<KeyedRegisterOp, { kind: 'write' }>,
  ): Promise<void> {
    await this.#history.record(client, what, () =>
      transact(db, { name: 'register write' }, async (txn) => {
        txn.put(this.#storedKey(what.key), encode(what.value));
      }),
    );
  }

  async #compareAndSet(
    db: Db,
    client: number,
    cas: {
      readonly key: number;
      readonly from: number;
      readonly to: number;
      readonly lock: LockStrength;
      readonly optimistic: boolean;
    },
  ): Promise<void> {
    const { key, from, to, lock, optimistic } = cas;
    const what = { kind: 'cas' as const, key, from, to, done: false };
    const stored = this.#storedKey(key);
    await this.#history.record(client, what, () =>
      transact(db, { name: 'register cas', optimistic }, async (txn) => {
        const value = await txn.get(stored, { lock, mayAssume: optimistic });
        what.done = decode(value) === from;
        if (what.done) txn.put(stored, encode(to));
        // What was assumed is checked by a write.
        else if (txn.assumes) txn.put(stored, must(value));
      }),
    );
  }

  #storedKey(key: number): Buffer {
    const slots = this.#options.activeKeys;
    const index = { tableId, indexId: 1 + (key % slots) };
    return writeIndexPrefix(new KeyWriter(), index)
      .uint(Math.floor(key / slots))
      .finish();
  }
}

function encode(value: number): Buffer {
  return Buffer.from([value]);
}

function decode(value: Buffer | undefined): number | undefined {
  return value?.[0];
}
