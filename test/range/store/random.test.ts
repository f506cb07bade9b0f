/**
 * A cluster under random crashes, partitions, stalls, splits, merges, transfers and moves. At the end, with
 * everything healed: no acknowledged write is lost, no refused one is there, all replicas of a range
 * hold the same bytes, and at no moment did two nodes serve one range.
 */
import { describe, expect, it } from 'vitest';
import { systemKey } from '../../../src/encoding/index.ts';
import { asNodeId, asStoreId, type KvRequest } from '../../../src/kv/index.ts';
import { encodeStats } from '../../../src/range/replica/command-codec.ts';
import { rangeSpans } from '../../../src/storage/index.ts';
import { Cluster } from './cluster.ts';
import { SeededRandom } from '../../random.ts';

const steps = 120;
const keys = 12;

interface Register {
  acknowledged: number;
  /** Attempts whose outcome is not known, or was ambiguous. */
  readonly possible: Set<number>;
  next: number;
}

function keyOf(i: number): Buffer {
  return systemKey(`user-${String.fromCharCode(97 + i)}`);
}

async function play(seed: number): Promise<void> {
  const random = new SeededRandom(seed * 7919);
  const below = (n: number): number => Math.floor(random.float() * n);
  const cluster = await Cluster.start({
    nodes: 4,
    seed,
    settings: { checkpointMs: 1500, logBytesPerRangeMax: 4000, logBytesPerCheckpoint: 20_000 },
  });
  await cluster.time.run(1000);
  const ask = (request: KvRequest, node: number): Promise<unknown> =>
    cluster.client(node).request(request);
  await cluster.time.settleOf(
    ask(
      {
        kind: 'admin-change-replicas',
        key: keyOf(0),
        add: [2, 3].map((id) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) })),
        remove: [],
      },
      1,
    ),
  );
  const registers = Array.from({ length: keys }, (): Register => ({
    acknowledged: 0,
    possible: new Set(),
    next: 1,
  }));
  const pending = new Set<Promise<void>>();
  const down = new Set<number>();
  const alive = (): number => {
    const up = cluster.live();
    return up[below(up.length)]?.id ?? 1;
  };
  const write = (node: number): void => {
    const i = below(keys);
    const register = registers[i];
    if (register === undefined || register.possible.size > 0) return;
    const value = register.next++;
    register.possible.add(value);
    const done = cluster
      .client(node)
      .request({ kind: 'put', key: keyOf(i), value: Buffer.from(String(value)), sequence: 1 })
      .then((answer) => {
        if (answer.kind === 'ok') {
          register.acknowledged = value;
          register.possible.clear();
        } else if (answer.error.kind !== 'ambiguous-result') register.possible.delete(value);
        pending.delete(done);
      });
    pending.add(done);
  };
  const admin = (request: KvRequest): void => {
    cluster
      .client(alive())
      .request(request)
      .catch(() => undefined);
  };
  const exclusive = (): void => {
    for (const range of cluster.ranges()) {
      const serving = cluster.serving(range.rangeId);
      expect(
        serving.length,
        `range ${range.rangeId} is served by ${serving.join(',')}`,
      ).toBeLessThan(2);
    }
    for (const { id, fatal } of cluster.machines) expect(fatal, `node ${id}`).toBe(undefined);
  };
  for (let step = 0; step < steps; step++) {
    switch (below(13)) {
      case 0:
        if (down.size === 0) {
          const victim = alive();
          cluster.crash(victim);
          down.add(victim);
        }
        break;
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
        cluster.machine(alive()).env.pausedUntilMs = cluster.time.nowMs + below(4000);
        break;
      case 5:
        admin({
          kind: 'admin-split',
          splitKey: keyOf(below(keys)),
          expiration: { wall: 0, logical: 0 },
        });
        break;
      case 6:
        admin({
          kind: 'admin-transfer-lease',
          key: keyOf(below(keys)),
          to: asStoreId(1 + below(4)),
        });
        break;
      case 7: {
        const add = 1 + below(4);
        const remove = 1 + below(4);
        const place = (id: number) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) });
        admin({
          kind: 'admin-change-replicas',
          key: keyOf(below(keys)),
          add: [{ ...place(add), role: random.float() < 0.3 ? 'non-voter' : 'voter' }],
          remove: [place(remove)],
        });
        break;
      }
      case 8:
        for (const machine of cluster.live()) machine.store.runQueues().catch(() => undefined);
        break;
      case 9:
        admin({ kind: 'admin-merge', key: keyOf(below(keys)) });
        break;
      default:
        for (let i = 0; i < 3; i++) write(alive());
    }
    for (let i = 0; i < 4; i++) {
      await cluster.time.run(below(150));
      exclusive();
    }
  }
  cluster.cut.clear();
  for (const id of down) await cluster.restart(id);
  for (const machine of cluster.machines) machine.env.pausedUntilMs = 0;
  await cluster.time.run(90_000, () => false);
  exclusive();
  for (let round = 0; round < 3; round++) {
    const passes = cluster.live().map((machine) => machine.store.runQueues());
    await cluster.time.settleOf(Promise.all(passes));
    await cluster.time.run(5000);
  }
  if (process.env['STORY'] === '1') tell(cluster);
  for (const [i, register] of registers.entries()) {
    const answer = await cluster.time.settleOf(
      cluster.client(1).request({ kind: 'get', key: keyOf(i), lock: 'none' }),
    );
    expect(answer, `key ${i}: ${JSON.stringify(answer)}`).toMatchObject({ kind: 'ok' });
    const result = answer.kind === 'ok' ? answer.results[0] : undefined;
    const value = result?.kind === 'get' ? Number(result.value?.toString() ?? 0) : -1;
    const allowed = [register.acknowledged, ...register.possible];
    expect(allowed, `key ${i} holds ${value}`).toContain(value);
  }
  await sameBytes(cluster);
}

/** For a person who looks for the cause. */
function tell(cluster: Cluster): void {
  for (const range of cluster.ranges()) {
    const { rangeId, generation, replicas, startKey, endKey } = range;
    process.stdout.write(
      `${rangeId} gen ${generation} ${startKey.toString('latin1')}-${endKey.toString('latin1')} ` +
        `${replicas.map((each) => `${each.storeId}:${each.replicaId}${each.kind}`).join(' ')}\n`,
    );
    for (const { machine, replica } of cluster.replicas(rangeId)) {
      const { raft, applier, replicaId, suspended } = replica;
      process.stdout.write(
        `   store ${machine.id} id ${replicaId} ${raft.role} term ${raft.term} leader ${raft.leader} ` +
          `commit ${raft.commitIndex} applied ${applier.appliedIndex} last ${raft.lastIndex} ` +
          `suspended ${suspended} holds ${replica.holdsLease} config ${JSON.stringify(raft.configuration)} ` +
          `gen ${replica.initialised ? replica.descriptor.generation : 'none'} ` +
          `progress ${JSON.stringify(raft.progress())}\n`,
      );
    }
  }
}

/** Every voter of every range holds the same replicated bytes. */
async function sameBytes(cluster: Cluster): Promise<void> {
  await cluster.time.run(2000);
  for (const range of cluster.ranges()) {
    const contents = new Map<string, number[]>();
    for (const { machine, replica } of cluster.replicas(range.rangeId)) {
      if (!replica.initialised || replica.descriptor.generation !== range.generation) continue;
      const rows: string[] = [`stats ${encodeStats(replica.stats).toString('hex')}`];
      for (const span of rangeSpans(range)) {
        const iterator = machine.engine.iterate(span);
        for (;;) {
          const page = await iterator.next(1000);
          if (page.length === 0) break;
          for (const [key, value] of page)
            rows.push(`${key.toString('hex')}=${value.toString('hex')}`);
        }
        await iterator.close();
      }
      const text = rows.join('\n');
      contents.set(text, [...(contents.get(text) ?? []), machine.id]);
    }
    expect([...contents.values()], `range ${range.rangeId}: stores that agree`).toHaveLength(1);
  }
}

describe('random faults', () => {
  const first = Number(process.env['SEED'] ?? 1);
  const count = Number(process.env['SEEDS'] ?? 12);
  for (let seed = first; seed < first + count; seed++) {
    it(`seed ${seed}`, async () => play(seed));
  }
});
