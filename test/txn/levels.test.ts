/**
 * Random transactions of all isolation levels side by side, judged by timestamps: what each of them has read must be what the versions
 * of the others say at its snapshot, nobody else may have written what it wrote or locked between that and its commit, and
 * rows that it refers to are there when it commits. Leases change in between and take the locks with them.
 */
import { afterAll, describe, expect, it } from 'vitest';
import {
  compareTimestamps,
  KvFailure,
  type Db,
  type IsolationLevel,
  type Timestamp,
  type Txn,
} from '../../src/kv/index.ts';
import { sleep } from '../../src/util/index.ts';
import { SeededRandom } from '../random.ts';
import { scanPages, scriptKey, withTime } from './db-script.ts';
import { localStack } from './stacks.ts';
import { TestCluster } from './test-cluster.ts';
import { VirtualEnv } from './virtual-env.ts';

const words = ['k1', 'k2', 'k3', 'x', 'y'];
const levels = ['serializable', 'snapshot', 'read-committed'] as const;
const locks = ['none', 'none', 'key-share', 'share', 'no-key-update', 'update', 'update'] as const;
const scanned = { start: scriptKey('k'), end: scriptKey('l') };

/** What one try of one statement has done; `values`: of all keys of a scan that are there. */
interface Statement {
  readonly began: Timestamp;
  readonly reads: { readonly keys: readonly string[]; readonly values: Map<string, string> }[];
  /** Nobody else may write them between the statement's snapshot and the commit; a rollback to a savepoint forgets them. */
  guarded: Set<string>;
  /** They were there at the statement's snapshot, and are to be there at the commit. */
  referred: Set<string>;
  snapshot: Timestamp | undefined;
}

interface Committed {
  readonly name: string;
  readonly level: IsolationLevel;
  readonly statements: readonly Statement[];
  readonly writes: ReadonlyMap<string, string | undefined>;
  readonly at: Timestamp;
  readonly ended: Timestamp;
}

interface Session {
  readonly txn: Txn;
  readonly name: string;
  readonly random: SeededRandom;
  own: Map<string, string | undefined>;
  count: number;
}

interface Seen {
  readonly committed: Record<IsolationLevel, number>;
  statementRetries: number;
  txnRetries: number;
  deadlocks: number;
}

async function step(session: Session, statement: Statement): Promise<void> {
  const { txn, random, own } = session;
  const word = words[random.below(words.length)] ?? 'x';
  const key = scriptKey(word);
  const lock = locks[random.below(locks.length)] ?? 'none';
  const untilCommit = random.below(6) === 0;
  const see = (keys: readonly string[], values: Map<string, string>): void => {
    // Own writes cover what the store says.
    const stored = keys.filter((each) => !own.has(each));
    statement.reads.push({ keys: stored, values });
  };
  const put = (): void => {
    const value = `${session.name}.${session.count++}`;
    const isDelete = random.below(5) === 0;
    if (isDelete) txn.delete(key);
    else txn.put(key, Buffer.from(value));
    own.set(word, isDelete ? undefined : value);
    statement.guarded.add(word);
  };
  switch (random.below(8)) {
    case 0:
    case 1: {
      const page = await scanPages(txn, {
        ...scanned,
        lock,
        untilCommit,
        reverse: random.below(2) === 0,
      });
      const values = new Map(
        page.keys.map((k, i) => [k.subarray(1).toString(), page.values[i]?.toString() ?? '']),
      );
      const keys = words.filter((each) => each.startsWith('k'));
      see(keys, values);
      for (const each of keys) {
        const isLocked = lock !== 'none' && values.has(each) && !own.has(each);
        if (isLocked && lock === 'key-share') statement.referred.add(each);
        if ((isLocked && lock !== 'key-share') || untilCommit) statement.guarded.add(each);
      }
      return;
    }
    case 2:
      return put();
    case 3:
      put();
      return txn.flush();
    case 4: {
      const value = await txn.get(key, { lock: 'key-share', existence: true });
      if (own.has(word)) return;
      if (value !== undefined) statement.referred.add(word);
      else see([word], new Map());
      return;
    }
    default: {
      const value = await txn.get(key, { lock, untilCommit });
      see([word], new Map(value === undefined ? [] : [[word, value.toString()]]));
      const refers = lock === 'key-share' && value !== undefined;
      if (refers && !own.has(word)) statement.referred.add(word);
      const isLocked = lock !== 'none' && !refers;
      if (isLocked || (untilCommit && !own.has(word))) statement.guarded.add(word);
      const mayWrite = lock === 'update' || lock === 'no-key-update';
      if (mayWrite && random.below(2) === 0) put();
    }
  }
}

/** One statement, run again as the level asks for it. */
async function runStatement(db: Db, session: Session, seen: Seen): Promise<Statement[]> {
  const { txn, random } = session;
  const tries: Statement[] = [];
  const before = new Map(session.own);
  for (let left = 4; ; left--) {
    const statement: Statement = {
      began: db.clock.now(),
      reads: [],
      guarded: new Set(),
      referred: new Set(),
      snapshot: undefined,
    };
    txn.beginStatement();
    const savepoint = txn.savepoint();
    tries.push(statement);
    const undo = (): void => {
      txn.rollbackTo(savepoint);
      session.own = new Map(before);
      statement.guarded.clear();
      statement.referred.clear();
    };
    try {
      for (let i = 1 + random.below(3); i > 0; i--) await step(session, statement);
      statement.snapshot = txn.meta.readTimestamp;
      if (random.below(6) === 0) undo();
      return tries;
    } catch (error) {
      if (!(error instanceof KvFailure)) throw error;
      const { kind } = error.kvError;
      statement.reads.length = 0;
      if (kind === 'statement-retry') seen.statementRetries++;
      if (kind === 'deadlock') seen.deadlocks++;
      if ((kind !== 'statement-retry' && kind !== 'deadlock') || left === 0) throw error;
      undo();
      if (kind === 'deadlock') return tries;
    }
  }
}

async function run(
  db: Db,
  env: VirtualEnv,
  random: SeededRandom,
  name: string,
  seen: Seen,
): Promise<Committed | undefined> {
  await sleep(env, random.below(40));
  const isolation = levels[random.below(levels.length)] ?? 'serializable';
  const txn = db.begin({ isolation, name });
  const session: Session = { txn, name, random, own: new Map(), count: 0 };
  const statements: Statement[] = [];
  try {
    for (let i = 1 + random.below(4); i > 0; i--) {
      statements.push(...(await runStatement(db, session, seen)));
      if (random.below(3) > 0) await sleep(env, random.below(30));
    }
    const at = await txn.commit();
    // What the commit could still move it has moved.
    const movable = isolation === 'read-committed' ? statements.slice(-1) : statements;
    const stood =
      isolation === 'serializable' && session.own.size > 0 ? at : txn.meta.readTimestamp;
    for (const each of movable) each.snapshot &&= stood;
    // A snapshot of which nothing was read is moved by the range, which tells nobody.
    if (movable.every(({ reads }) => reads.every(({ keys }) => keys.length === 0))) {
      for (const each of movable) each.guarded.clear();
    }
    seen.committed[isolation]++;
    return { name, level: isolation, statements, writes: session.own, at, ended: db.clock.now() };
  } catch (error) {
    await txn.rollback();
    if (!(error instanceof KvFailure)) throw error;
    const { kind } = error.kvError;
    expect(['txn-retry', 'txn-aborted', 'deadlock', 'statement-retry']).toContain(kind);
    if (kind === 'txn-retry') seen.txnRetries++;
    return undefined;
  }
}

function problems(txns: readonly Committed[], final: ReadonlyMap<string, string>): string[] {
  const found: string[] = [];
  const versions = new Map<string, { at: Timestamp; by: string; value: string | undefined }[]>();
  for (const { name: by, writes, at } of txns) {
    for (const [key, value] of writes) {
      versions.set(key, [...(versions.get(key) ?? []), { at, by, value }]);
    }
  }
  for (const list of versions.values()) list.sort((a, b) => compareTimestamps(a.at, b.at));
  const valueAt = (key: string, at: Timestamp, except: string): string | undefined =>
    (versions.get(key) ?? [])
      .filter((version) => compareTimestamps(version.at, at) <= 0 && version.by !== except)
      .at(-1)?.value;

  for (const key of words) {
    const last = versions.get(key)?.at(-1)?.value;
    if (last !== final.get(key)) found.push(`${key} is ${final.get(key)} in the end, not ${last}`);
  }
  for (const txn of txns) {
    const { name, level, statements, writes, at } = txn;
    for (const [i, { reads, guarded, referred, snapshot, began }] of statements.entries()) {
      if (snapshot === undefined) continue;
      const where = `${name} (${level}) statement ${i}`;
      for (const { keys, values } of reads) {
        for (const key of keys) {
          const want = valueAt(key, snapshot, name);
          if (values.get(key) === want) continue;
          found.push(`${where} saw ${key}=${values.get(key)}, not ${want}`);
        }
      }
      const since = level === 'read-committed' ? began : statements[0]?.began;
      for (const earlier of txns) {
        const isMissed =
          since !== undefined &&
          compareTimestamps(earlier.ended, since) < 0 &&
          compareTimestamps(earlier.at, snapshot) > 0;
        if (isMissed) found.push(`${where} stands before ${earlier.name}, which had committed`);
      }
      for (const key of referred) {
        if (valueAt(key, snapshot, name) === undefined)
          found.push(`${where} believed ${key} to be there`);
      }
      if (writes.size === 0) continue;
      for (const key of referred) {
        if (!writes.has(key) && valueAt(key, at, name) === undefined)
          found.push(`${where} refers to ${key}, which is gone`);
      }
      for (const key of guarded) {
        for (const version of versions.get(key) ?? []) {
          const isBetween =
            compareTimestamps(version.at, snapshot) > 0 && compareTimestamps(version.at, at) < 0;
          if (isBetween && version.by !== name) {
            found.push(`${where} lost ${key} to ${version.by}`);
          }
        }
      }
    }
  }
  return found;
}

function newSeen(): Seen {
  return {
    committed: { serializable: 0, snapshot: 0, 'read-committed': 0 },
    statementRetries: 0,
    txnRetries: 0,
    deadlocks: 0,
  };
}

async function check(
  db: Db,
  env: VirtualEnv,
  seed: number,
  seen: Seen,
  disturb: (random: SeededRandom) => Promise<void>,
): Promise<void> {
  const random = new SeededRandom(seed * 6151);
  const running = Array.from({ length: 7 }, (_, i) => run(db, env, random, `t${i}`, seen));
  const disturbed = disturb(random);
  const results = await withTime(env, Promise.all(running));
  await withTime(env, disturbed);
  const committed = results.filter((txn) => txn !== undefined);
  const all = { start: scriptKey(''), end: Buffer.from([6]) };
  const rows = await withTime(
    env,
    db.run({}, (txn) => scanPages(txn, all)),
  );
  const final = new Map(
    rows.keys.map((k, i) => [k.subarray(1).toString(), rows.values[i]?.toString() ?? '']),
  );
  expect(problems(committed, final), `seed ${seed}`).toEqual([]);
}

describe('levels side by side, in memory', () => {
  const seen = newSeen();
  for (let seed = 1; seed <= 100; seed++) {
    it(`seed ${seed}`, async () => {
      const { db, env } = localStack({ seed });
      await check(db, env, seed, seen, async () => undefined);
    });
  }
});

describe('levels side by side, with new leases and splits', () => {
  const seen = newSeen();
  for (let seed = 1; seed <= 400; seed++) {
    it(`seed ${seed}`, async () => {
      const env = new VirtualEnv(seed);
      const splits = seed % 3 === 0 ? words.map(scriptKey) : [];
      const cluster = new TestCluster(env, { maxOffsetMicros: (seed % 2) * 250_000, splits });
      const chance = new SeededRandom(seed);
      cluster.proposeDelayMs = () => chance.below(20);
      await check(cluster.db, env, seed, seen, async (random) => {
        for (let i = 0; i < 8; i++) {
          await sleep(env, random.below(30));
          const replica = cluster.replicas[random.below(cluster.replicas.length)];
          const word = words[random.below(words.length)] ?? 'x';
          const what = random.below(3);
          if (what === 0) replica?.renewLease();
          else if (what === 1) await cluster.splitQuietly(scriptKey(word));
        }
      });
      await env.runFor(20_000);
      expect(await cluster.remains()).toMatchObject({ intents: 0 });
    });
  }

  afterAll(() => {
    // Often enough to say something.
    const { committed, statementRetries, txnRetries, deadlocks } = seen;
    const counts = [...Object.values(committed), statementRetries, txnRetries, deadlocks];
    expect(Math.min(...counts), JSON.stringify(seen)).toBeGreaterThan(30);
  });
});
