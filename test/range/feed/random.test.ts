/**
 * Feeds over a cluster that is split, merged, moved, cut and restarted under transactions. At the end, with everything healed,
 * each feed must have told exactly what the stores hold, in order, and nothing at or below a timestamp that it had called resolved.
 * SEED=, SEEDS=.
 */
import { describe, expect, it } from 'vitest';
import { systemKey } from '../../../src/encoding/index.ts';
import {
  asNodeId,
  asStoreId,
  compareTimestamps,
  type KvRequest,
  type Timestamp,
} from '../../../src/kv/index.ts';
import { sleep } from '../../../src/util/index.ts';
import { Cluster } from '../store/cluster.ts';
import { SeededRandom } from '../../random.ts';
import { history } from './history.ts';
import { Recorder } from './recorder.ts';

const steps = 100;
const keys = 12;
const span = { start: systemKey('user-'), end: systemKey('user.') };
const never = { wall: 0, logical: 0 };

function keyOf(i: number): Buffer {
  return systemKey(`user-${String.fromCharCode(97 + i)}`);
}

const place = (id: number) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) });

async function play(seed: number): Promise<void> {
  const random = new SeededRandom(seed * 7919);
  const below = (n: number): number => Math.floor(random.float() * n);
  const cluster = await Cluster.start({
    nodes: 4,
    seed,
    settings: { checkpointMs: 1500, logBytesPerRangeMax: 4000, logBytesPerCheckpoint: 20_000 },
  });
  await cluster.time.run(1000);
  const ask = (request: KvRequest): void => {
    const up = cluster.live();
    cluster
      .client(up[below(up.length)]?.id ?? 1)
      .request(request)
      .catch(() => undefined);
  };
  ask({
    kind: 'admin-change-replicas',
    key: keyOf(0),
    add: [place(2), place(3)],
    remove: [],
  });
  await cluster.time.run(5000);
  let written = 0;
  const write = (): void => {
    const up = cluster.live();
    const machine = up[below(up.length)];
    if (machine === undefined) return;
    const { db } = machine.store.deps;
    const value = Buffer.from(String(++written));
    const chosen = Array.from({ length: 1 + below(3) }, () => keyOf(below(keys)));
    const flushes = random.float() < 0.4;
    const lingers = random.float() < 0.1;
    const deletes = random.float() < 0.2;
    db.run({}, async (txn) => {
      for (const key of chosen) {
        if (deletes) txn.delete(key);
        else txn.put(key, value);
      }
      if (flushes) await txn.flush();
      // Perhaps its gateway is gone by then, and nobody comes back to it.
      if (lingers) await sleep(machine.env, 10_000);
    }).catch(() => undefined);
  };
  const feeds: { after: Timestamp; recorder: Recorder }[] = [];
  /** Gateway 4 holds data, too, but neither crashes nor loses its clients. */
  const listen = (after: Timestamp): void => {
    const feed = cluster
      .machine(4)
      .store.deps.db.feed({ spans: [span], after, withPrevious: true });
    feeds.push({ after, recorder: new Recorder(feed) });
  };
  const now = (): Timestamp => cluster.machine(4).clock.now();
  listen(now());
  const down = new Set<number>();
  for (let step = 0; step < steps; step++) {
    switch (below(14)) {
      case 0: {
        const victim = 1 + below(3);
        if (down.size > 0) break;
        cluster.crash(victim);
        down.add(victim);
        break;
      }
      case 1:
        for (const id of down) await cluster.restart(id);
        down.clear();
        break;
      case 2:
        cluster.isolate(1 + below(4));
        break;
      case 3:
        cluster.cut.clear();
        break;
      case 4:
        cluster.machine(1 + below(3)).env.pausedUntilMs = cluster.time.nowMs + below(4000);
        break;
      case 5:
        ask({ kind: 'admin-split', splitKey: keyOf(below(keys)), expiration: never });
        break;
      case 6:
        ask({ kind: 'admin-transfer-lease', key: keyOf(below(keys)), to: asStoreId(1 + below(4)) });
        break;
      case 7:
        ask({
          kind: 'admin-change-replicas',
          key: keyOf(below(keys)),
          add: [{ ...place(1 + below(4)), role: random.float() < 0.3 ? 'non-voter' : 'voter' }],
          remove: [place(1 + below(4))],
        });
        break;
      case 8:
        for (const { store } of cluster.live()) store.runQueues().catch(() => undefined);
        break;
      case 9:
        ask({ kind: 'admin-merge', key: keyOf(below(keys)) });
        break;
      case 10:
        // Some of it has been before.
        if (feeds.length < 4) {
          const { after } = feeds[0] as { after: Timestamp };
          const at = now();
          listen({ ...at, wall: after.wall + below(at.wall - after.wall) });
        }
        break;
      default:
        for (let i = 0; i < 3; i++) write();
    }
    for (let i = 0; i < 4; i++) await cluster.time.run(below(150));
  }
  cluster.cut.clear();
  for (const id of down) await cluster.restart(id);
  for (const machine of cluster.machines) machine.env.pausedUntilMs = 0;
  await cluster.time.run(60_000, () => false);
  for (let round = 0; round < 3; round++) {
    const passes = cluster.live().map(({ store }) => store.runQueues());
    await cluster.time.settleOf(Promise.all(passes));
    await cluster.time.run(5000);
  }
  const { wall } = now();
  await cluster.time.run(20_000, () => false);
  for (const { id, fatal } of cluster.machines) expect(fatal, `node ${id}`).toBe(undefined);
  for (const { after, recorder } of feeds) {
    expect(recorder.failure).toBe(undefined);
    expect(recorder.problems).toEqual([]);
    expect(compareTimestamps(recorder.resolved, { wall, logical: 0 })).toBeGreaterThan(0);
    expect([...recorder.versions.keys()].sort()).toEqual(await history(cluster, span, after));
    recorder.close();
  }
}

describe('feeds under random faults', () => {
  const first = Number(process.env['SEED'] ?? 1);
  const count = Number(process.env['SEEDS'] ?? 8);
  for (let seed = first; seed < first + count; seed++) {
    it(`seed ${seed}`, async () => play(seed));
  }
});
