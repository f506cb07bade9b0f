/**
 * Small random histories against brute force: some order of the committed transactions, one after the
 * other and in keeping with real time, explains everything that was read and the final state.
 */
import { afterAll, describe, expect, it } from 'vitest';
import {
  KvFailure,
  type BatchRequest,
  type Db,
  type KvRequest,
  type Txn,
  type TxnId,
  type TxnOptions,
} from '../../src/kv/index.ts';
import { sleep } from '../../src/util/index.ts';
import { describeFailure, scanPages, scriptKey, withTime } from './db-script.ts';
import { stacks } from './stacks.ts';
import { TestCluster } from './test-cluster.ts';
import { VirtualEnv } from './virtual-env.ts';
import { SeededRandom } from '../random.ts';

const words = ['k1', 'k2', 'k3', 'x', 'y'];
const histories = 60;
/** Some that once found something come first. */
const disturbedSeeds = [2021, 2276, 2347, 5233, ...Array.from({ length: 150 }, (_, i) => i + 1)];

type Observation =
  | { readonly kind: 'read'; readonly key: string; readonly value: string | undefined }
  | { readonly kind: 'scan'; readonly rows: string }
  | { readonly kind: 'write'; readonly key: string; readonly value: string | undefined }
  | { readonly kind: 'insert'; readonly key: string; readonly value: string };

interface Committed {
  readonly name: string;
  /** The client does not know whether it is committed. */
  readonly ambiguous: boolean;
  readonly seen: readonly Observation[];
  readonly began: number;
  readonly ended: number;
}

/** One random transaction; undefined when it failed and may be forgotten. */
async function session(
  db: Db,
  env: VirtualEnv,
  random: SeededRandom,
  name: string,
  tick: () => number,
  options: TxnOptions,
): Promise<Committed | undefined> {
  const pause = (): Promise<void> =>
    new Promise((resolve) => {
      env.timers.after(random.below(30), resolve);
    });
  await pause();
  const began = tick();
  const txn = db.begin({ ...options, name });
  const seen: Observation[] = [];
  try {
    const steps = 1 + random.below(4);
    for (let i = 0; i < steps; i++) {
      if (options.optimistic === true && random.below(2) === 0) {
        await assume(txn, random, `${name}.${i}`, seen);
      } else await step(txn, random, `${name}.${i}`, seen);
      if (random.below(3) > 0) await pause();
    }
    await txn.commit();
    return { name, ambiguous: false, seen, began, ended: tick() };
  } catch (error) {
    if (!(error instanceof KvFailure)) throw error;
    if (error.kvError.kind === 'ambiguous-result') {
      return { name, ambiguous: true, seen, began, ended: Infinity };
    }
    expect([
      'txn-retry',
      'txn-aborted',
      'deadlock of 2',
      'deadlock of 3',
      'deadlock of 4',
      'failed',
    ]).toContain(error.kvError.kind === 'condition-failed' ? 'failed' : describeFailure(error));
    await txn.rollback();
    return undefined;
  }
}

/** Reads a key on trust and writes it, or (rarely) forgets to. */
async function assume(
  txn: Txn,
  random: SeededRandom,
  value: string,
  seen: Observation[],
): Promise<void> {
  const key = words[random.below(words.length)] ?? 'x';
  const found = await txn.get(scriptKey(key), { lock: 'update', mayAssume: true });
  seen.push({ kind: 'read', key, value: found?.toString() });
  const what = random.below(16);
  if (what === 0) return;
  if (what === 1) txn.delete(scriptKey(key));
  else txn.put(scriptKey(key), Buffer.from(value));
  seen.push({ kind: 'write', key, value: what === 1 ? undefined : value });
}

async function step(
  txn: Txn,
  random: SeededRandom,
  value: string,
  seen: Observation[],
): Promise<void> {
  const key = words[random.below(words.length)] ?? 'x';
  const lock = random.below(3) === 0 ? ('update' as const) : ('none' as const);
  const at = scriptKey(key);
  const other = words[random.below(words.length)] ?? 'y';
  switch (random.below(10)) {
    case 0:
    case 1:
    case 2: {
      const found = await txn.get(at, { lock });
      seen.push({ kind: 'read', key, value: found?.toString() });
      return;
    }
    case 3: {
      const page = await scanPages(txn, {
        start: scriptKey('k'),
        end: scriptKey('l'),
        reverse: random.below(2) === 0,
        lock,
      });
      const rows = page.keys.map(
        (k, i) => `${k.subarray(1).toString()}=${page.values[i]?.toString()}`,
      );
      seen.push({ kind: 'scan', rows: rows.sort().join(' ') });
      return;
    }
    case 8:
    case 9: {
      const both = [at, scriptKey(other)] as const;
      const [a, b] =
        random.below(2) === 0
          ? await txn.getMany(both, { lock })
          : await Promise.all([txn.get(both[0], { lock }), txn.get(both[1])]);
      seen.push({ kind: 'read', key, value: a?.toString() });
      seen.push({ kind: 'read', key: other, value: b?.toString() });
      return;
    }
    case 4:
      txn.delete(at);
      seen.push({ kind: 'write', key, value: undefined });
      return;
    case 5:
      txn.insert(at, Buffer.from(value));
      if (random.below(2) === 0) await txn.checkInserts();
      seen.push({ kind: 'insert', key, value });
      return;
    default:
      txn.put(at, Buffer.from(value));
      seen.push({ kind: 'write', key, value });
  }
}

/** Runs `txn` on `state`; false when it cannot have seen what it saw. */
function replay(txn: Committed, state: Map<string, string>): boolean {
  for (const seen of txn.seen) {
    switch (seen.kind) {
      case 'read':
        if (state.get(seen.key) !== seen.value) return false;
        break;
      case 'scan': {
        const rows = [...state].filter(([key]) => key.startsWith('k')).map(([k, v]) => `${k}=${v}`);
        if (rows.sort().join(' ') !== seen.rows) return false;
        break;
      }
      case 'insert':
        if (state.has(seen.key)) return false;
        state.set(seen.key, seen.value);
        break;
      default:
        if (seen.value === undefined) state.delete(seen.key);
        else state.set(seen.key, seen.value);
    }
  }
  return true;
}

function explains(txns: readonly Committed[], state: Map<string, string>, final: string): boolean {
  if (txns.length === 0) {
    return (
      [...state]
        .map(([k, v]) => `${k}=${v}`)
        .sort()
        .join(' ') === final
    );
  }
  return txns.some((next) => {
    const others = txns.filter((other) => other !== next);
    if (next.ambiguous && explains(others, state, final)) return true;
    // Nobody who ended before `next` began may come behind it.
    if (txns.some((other) => other !== next && other.ended < next.began)) return false;
    const after = new Map(state);
    return (
      replay(next, after) &&
      explains(
        txns.filter((other) => other !== next),
        after,
        final,
      )
    );
  });
}

async function check(
  db: Db,
  env: VirtualEnv,
  seed: number,
  nemesis: (random: SeededRandom) => Promise<void>,
  optionsOf: (session: number) => TxnOptions = () => ({}),
): Promise<number> {
  const random = new SeededRandom(seed * 7919);
  let time = 0;
  const tick = (): number => ++time;
  const sessions = Array.from({ length: 5 }, (_, i) =>
    session(db, env, random, `t${i}`, tick, optionsOf(i)),
  );
  const disturbed = nemesis(random);
  const results = await withTime(env, Promise.all(sessions));
  await withTime(env, disturbed);
  const committed = results.filter((txn) => txn !== undefined);
  const rows = await withTime(
    env,
    db.run({}, (txn) => scanPages(txn, { start: scriptKey(''), end: Buffer.from([6]) })),
  );
  const final = rows.keys
    .map((k, i) => `${k.subarray(1).toString()}=${rows.values[i]?.toString()}`)
    .sort()
    .join(' ');
  const history = JSON.stringify({ committed, final }, undefined, 1);
  expect(explains(committed, new Map(), final), history).toBe(true);
  return committed.length;
}

for (const { name, make } of stacks) {
  describe(`serializability on ${name}`, () => {
    for (let seed = 1; seed <= histories; seed++) {
      it(`seed ${seed}`, async () => {
        const { db, env } = make({ seed });
        await check(db, env, seed, async () => undefined);
      });
    }
  });
}

describe('serializability under slow replication, new leases, splits, rests and lost answers', () => {
  let rests = 0;
  for (const seed of disturbedSeeds) {
    it(`seed ${seed}`, async () => {
      const env = new VirtualEnv(seed);
      const splits = seed % 4 === 0 ? words.map(scriptKey) : [];
      const cluster = new TestCluster(env, { maxOffsetMicros: (seed % 2) * 250_000, splits });
      const chance = new SeededRandom(seed);
      cluster.afterSplit =
        (['same lease', 'first lease', 'later lease'] as const)[seed % 3] ?? 'same lease';
      cluster.proposeDelayMs = () => chance.below(20);
      await check(cluster.db, env, seed, async (random) => {
        for (let i = 0; i < 6; i++) {
          await new Promise<void>((resolve) => {
            env.timers.after(random.below(40), resolve);
          });
          const replica = cluster.replicas[random.below(cluster.replicas.length)];
          const word = words[random.below(words.length)] ?? 'x';
          cluster.loseAnswer = undefined;
          const what = random.below(4);
          if (what === 0) replica?.renewLease();
          else if (what === 1) await cluster.splitQuietly(scriptKey(word));
          else if (what === 2) cluster.loseAnswer = () => chance.below(4) === 0;
          for (const each of cluster.replicas) if (each.rest()) rests++;
        }
        cluster.loseAnswer = undefined;
      });
      await env.runFor(20_000);
    });
  }

  it('has seen executors given up', () => expect(rests).toBeGreaterThan(100));
});

/** What coordinators and those who recover them say to ranges, but for reads. */
const droppable: readonly KvRequest['kind'][] = [
  'end-txn',
  'put',
  'insert',
  'delete',
  'heartbeat-txn',
  'query-intent',
  'query-txn',
  'recover-txn',
  'resolve-locks',
];

describe('serializability of parallel commits whose coordinators lose messages or fall silent', () => {
  const seen = { parallel: 0, again: 0, settled: 0, committed: 0, aborted: 0 };
  for (let seed = 1; seed <= 300; seed++) {
    it(`seed ${seed}`, async () => {
      const env = new VirtualEnv(seed);
      const splits = words.map(scriptKey);
      const cluster = new TestCluster(env, { maxOffsetMicros: (seed % 2) * 250_000, splits });
      const chance = new SeededRandom(seed);
      cluster.proposeDelayMs = () => chance.below(20);
      /** By transaction: whether nothing of it arrives behind its first round. */
      const silent = new Map<TxnId, boolean>();
      let lostPercent = 0;
      const isSilent = (id: TxnId): boolean => {
        const known = silent.get(id) ?? chance.below(3) === 0;
        silent.set(id, known);
        return known;
      };
      const isLost = ({ header, requests }: BatchRequest): boolean => {
        const [last] = requests.slice(-1);
        if (last === undefined || !droppable.includes(last.kind)) return false;
        const isLate =
          last.kind === 'heartbeat-txn' ||
          (last.kind === 'end-txn' && last.inFlightWrites.length === 0 && !last.onePhase);
        const id = last.kind === 'heartbeat-txn' ? last.txn.id : header.txn?.id;
        return (isLate && id !== undefined && isSilent(id)) || chance.below(100) < lostPercent;
      };
      cluster.intercept = async (batch) => {
        if (chance.below(3) === 0) await sleep(env, chance.below(300));
        if (!isLost(batch)) return undefined;
        const error = { kind: 'ambiguous-result', reason: 'lost' } as const;
        return { kind: 'error', now: cluster.clock.now(), error, index: undefined };
      };
      const disturb = async (random: SeededRandom): Promise<void> => {
        for (let i = 0; i < 6; i++) {
          await sleep(env, random.below(60));
          const what = random.below(4);
          cluster.loseAnswer = what === 0 ? () => chance.below(3) === 0 : undefined;
          if (what === 1) for (const replica of cluster.replicas.slice()) replica.renewLease();
          lostPercent = what === 2 ? 40 : 0;
        }
        cluster.loseAnswer = undefined;
        lostPercent = 0;
      };
      // Who is more urgent does not wait until a coordinator has been silent for long.
      await check(cluster.db, env, seed, disturb, (session) =>
        session < 2 ? { priority: 'high' } : {},
      );
      await env.runFor(20_000);
      const { parallelCommits, parallelCommitsAgain, parallelCommitsSettled } = cluster.db.counters;
      seen.parallel += parallelCommits;
      seen.again += parallelCommitsAgain;
      seen.settled += parallelCommitsSettled;
      seen.committed += cluster.recovered.committed;
      seen.aborted += cluster.recovered.aborted;
    });
  }

  afterAll(() => {
    // Often enough to say something.

    expect(Math.min(...Object.values(seen)), JSON.stringify(seen)).toBeGreaterThan(10);
  });
});

describe('serializability of transactions that assume what an outdated replica says', () => {
  let assumed = 0;
  let committed = 0;
  for (let seed = 1; seed <= 150; seed++) {
    it(`seed ${seed}`, async () => {
      const env = new VirtualEnv(seed);
      const splits = seed % 4 === 0 ? words.map(scriptKey) : [];
      const cluster = new TestCluster(env, { maxOffsetMicros: (seed % 2) * 250_000, splits });
      const chance = new SeededRandom(seed);
      cluster.proposeDelayMs = () => chance.below(20);
      cluster.intercept = ({ requests }) => {
        if (requests.some(({ kind }) => kind === 'conditional-put')) assumed++;
        return undefined;
      };
      for (const word of words) {
        await withTime(
          env,
          cluster.db.run({}, async (txn) => txn.put(scriptKey(word), Buffer.from('0'))),
        );
      }
      for (const word of words) {
        await withTime(
          env,
          cluster.db.run({}, async (txn) => txn.delete(scriptKey(word))),
        );
        if (chance.below(3) === 0) cluster.outdated = cluster.engine.snapshot();
      }
      const disturb = async (random: SeededRandom): Promise<void> => {
        for (let i = 0; i < 6; i++) {
          await new Promise<void>((resolve) => {
            env.timers.after(random.below(40), resolve);
          });
          cluster.outdated = random.below(3) > 0 ? undefined : cluster.engine.snapshot();
        }
      };
      const count = await check(cluster.db, env, seed, disturb, () => ({ optimistic: true }));
      committed += count;
      await env.runFor(20_000);
    });
  }

  afterAll(() => {
    // Often enough to say something.
    expect(committed).toBeGreaterThan(300);
    expect(assumed).toBeGreaterThan(100);
  });
});
