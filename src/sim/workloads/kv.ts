/**
 * Random operations on a few keys through everything that the transactional interface offers: point reads, alone
 * and together, scans both ways with limits, puts, inserts, deletes, intents before the end, locks, savepoints,
 * optimistic reads, reads in the past, fixed timestamps, cancellation. Every value is written once, and `checkers/mvcc-history.ts`
 * compares what clients were told with every version in the stores.
 */
import { indexPrefix, KeyWriter, writeIndexPrefix } from '../../encoding/index.ts';
import { addMicros, type Db, type Timestamp, type TxnOptions } from '../../kv/index.ts';
import { sleep } from '../../util/index.ts';
import { checkMvccHistory, type KvStep, type KvTransaction } from '../checkers/mvcc-history.ts';
import { type SimCluster } from '../cluster.ts';
import { type SeededRandom } from '../random.ts';
import { type Operation, type Workload, type WorkloadContext } from '../workload.ts';
import { History, transact } from './history.ts';
import {
  decodeValue,
  drawPut,
  drawRead,
  drawWrite,
  giveUp,
  keysBelow,
  layIntents,
  pause,
  putInto,
  readKey,
  undone,
  waitFor,
  type KvSpace,
  type Step,
} from './kv-steps.ts';
import { readStoredHistory } from './stored-versions.ts';

const tableId = 60_002;
const span = {
  start: indexPrefix({ tableId, indexId: 1 }),
  end: indexPrefix({ tableId: tableId + 1, indexId: 1 }),
};
const resolveLimitMs = 30_000;

export interface KvOptions {
  readonly keys: number;
  readonly keysPerIndex: number;
  /** Of one transaction, at most. */
  readonly steps: number;
}

/** What a client is going to do. */
interface Plan {
  readonly steps: readonly Step[];
  readonly options: TxnOptions;
  /** Read only, so long ago. */
  readonly pastMs?: number;
  readonly fixTimestamp?: boolean;
  readonly cancelAfterMs?: number;
}

/** A transaction as it goes along. */
interface Running extends KvTransaction {
  readonly steps: KvStep[];
  committedAt: Timestamp | undefined;
  boundTo: Timestamp | undefined;
}

export class Kv implements Workload {
  readonly #context: WorkloadContext;
  readonly #stepsMax: number;
  readonly #closedAfterMs: number;
  readonly #history: History<Running>;
  readonly #space: KvSpace;

  constructor(context: WorkloadContext, { keys, keysPerIndex, steps }: KvOptions) {
    let values = 0;
    this.#context = context;
    this.#stepsMax = steps;
    this.#closedAfterMs = context.closedAfterMs;
    this.#history = new History(() => context.world.nowMs);
    this.#space = {
      keys: Array.from({ length: keys }, (_, key) => {
        const indexId = 1 + Math.floor(key / keysPerIndex);
        return writeIndexPrefix(new KeyWriter(), { tableId, indexId }).uint(key).finish();
      }),
      end: span.end,
      nextValue: () => values++,
      sleep: (ms) => sleep(context.world, ms),
    };
  }

  splitKeys(): Buffer[] {
    return [...this.#space.keys];
  }

  async load(): Promise<void> {
    // Keys begin without values.
  }

  next(client: number, random: SeededRandom): Operation {
    const isWrite = random.chance(0.65);
    if (isWrite && random.chance(0.1)) return this.#drawOvertaken(client, random);
    const plan = isWrite ? this.#drawWriter(random) : this.#drawReader(random);
    return { kind: isWrite ? 'write' : 'read', run: (db) => this.#run(db, client, plan) };
  }

  /** Meets whatever transactions have left behind. */
  async checkNode(db: Db): Promise<void> {
    const { keys } = this.#space;
    const steps: Step[] = [
      async (txn, seen) => {
        const values = await txn.getMany(keys);
        for (const [key, value] of values.entries()) {
          seen.push({ kind: 'read', key, value: decodeValue(value) });
        }
      },
    ];
    await this.#run(db, -Number(db.nodeId), { steps, options: { name: 'kv check' } });
  }

  async conclude(cluster: SimCluster): Promise<void> {
    const { world, violation } = this.#context;
    const deadlineMs = world.nowMs + resolveLimitMs;
    let stored = await readStoredHistory(cluster, span);
    while (stored.intents.length > 0 && world.nowMs < deadlineMs) {
      await sleep(world, 1_000);
      // What was written by a clock far ahead is met once its time has come.
      const [reader] = cluster.serving();
      if (reader !== undefined) await this.checkNode(reader.node.db);
      stored = await readStoredHistory(cluster, span);
    }
    for (const key of stored.intents) {
      violation(`an intent stays on k${keysBelow(this.#space, key)} after everything was read`);
    }
    const versions = stored.versions.map(({ key, timestamp, value }) => ({
      key: keysBelow(this.#space, key),
      timestamp,
      value: decodeValue(value),
    }));
    for (const { anomaly, text } of checkMvccHistory(this.#history.operations, versions)) {
      violation(`${anomaly}: ${text}`);
    }
  }

  /** The last step puts a value, by which a commit without an answer is found in the end. */
  #drawWriter(random: SeededRandom): Plan {
    const space = this.#space;
    const draw = (): Step => {
      if (random.chance(0.45)) return drawRead(space, random, { mayLock: true });
      if (random.chance(0.15)) return pause(space, random);
      if (random.chance(0.15)) return layIntents;
      return drawWrite(space, random);
    };
    const drawAll = (max: number): Step[] =>
      Array.from({ length: random.between(0, max) }, () =>
        random.chance(0.1) ? undone(Array.from({ length: random.between(1, 3) }, draw)) : draw(),
      );
    const steps = [...drawAll(this.#stepsMax), drawPut(space, random)];
    if (random.chance(0.05)) steps.push(giveUp);
    return {
      steps,
      options: {
        name: 'kv',
        priority: random.pick(['low', 'normal', 'normal', 'normal', 'high']),
        optimistic: random.chance(0.4),
      },
      fixTimestamp: random.chance(0.1),
      ...(random.chance(0.04) ? { cancelAfterMs: random.float() * 100 } : {}),
    };
  }

  /** By the time it writes, its timestamp is closed, and another client has read there at any replica. */
  #drawOvertaken(client: number, random: SeededRandom): Operation {
    const space = this.#space;
    const key = random.between(0, space.keys.length - 1);
    const others = waitFor(space, this.#closedAfterMs * (1 + 0.5 * random.float()));
    const read = readKey(space, key);
    return {
      kind: 'write',
      run: (db) => {
        const getAhead: Step = async (txn) => {
          const options = { name: 'kv ahead', asOf: txn.meta.readTimestamp };
          await this.#run(db, this.#context.clients + client, { steps: [read], options });
        };
        const steps = [others, getAhead, putInto(space, key, 'blind', 8)];
        return this.#run(db, client, { steps, options: { name: 'kv overtaken' } });
      },
    };
  }

  #drawReader(random: SeededRandom): Plan {
    const pastMs = random.chance(0.5) ? this.#drawPast(random) : undefined;
    const steps = Array.from({ length: random.between(1, this.#stepsMax) }, () =>
      random.chance(0.15)
        ? pause(this.#space, random)
        : drawRead(this.#space, random, { mayLock: pastMs === undefined }),
    );
    return {
      steps,
      options: { name: 'kv read' },
      ...(pastMs === undefined ? {} : { pastMs }),
    };
  }

  /** Often where any replica may just be asked. */
  #drawPast(random: SeededRandom): number {
    const isClosed = random.chance(0.6);
    const furtherMs = random.float() * random.pick([10, 500, 3_000]);
    return isClosed ? this.#closedAfterMs + furtherMs : furtherMs;
  }

  async #run(db: Db, client: number, plan: Plan): Promise<void> {
    const { steps, pastMs, fixTimestamp, cancelAfterMs } = plan;
    const options =
      pastMs === undefined
        ? plan.options
        : { ...plan.options, asOf: addMicros(db.clock.now(), -Math.round(1_000 * pastMs)) };
    const { asOf } = options;
    const running: Running = {
      steps: [],
      committedAt: undefined,
      boundTo: asOf,
      inPast: asOf !== undefined,
    };
    await this.#history.record(client, running, async () => {
      running.committedAt = await transact(db, options, async (txn) => {
        if (cancelAfterMs !== undefined) {
          this.#context.world.after(cancelAfterMs, () => txn.cancel());
        }
        if (fixTimestamp === true) running.boundTo = txn.fixedTimestamp();
        for (const step of steps) await step(txn, running.steps);
      });
    });
  }
}
