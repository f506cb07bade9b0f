/** MVCC against a naive model: a list of all versions per key, searched from the front. */
import { describe, expect, it } from 'vitest';
import { asTxnId, type TxnMeta } from '../../src/kv/index.ts';
import {
  MemoryEngine,
  addStats,
  computeStats,
  createMvccBatch,
  dropGarbage,
  mvccGarbage,
  mvccGet,
  mvccScan,
  zeroStats,
  type MvccGarbage,
  type MvccReadOptions,
  type MvccStats,
} from '../../src/storage/index.ts';
import { SeededRandom } from '../random.ts';

interface Version {
  readonly wall: number;
  readonly value: string | undefined;
}

interface Pending {
  readonly txn: string;
  wall: number;
  value: string | undefined;
}

class Model {
  readonly versions = new Map<string, Version[]>();
  readonly intents = new Map<string, Pending>();

  visible(key: string, wall: number): Version | undefined {
    let best: Version | undefined;
    for (const version of this.versions.get(key) ?? []) {
      if (version.wall <= wall && version.wall > (best?.wall ?? -1)) best = version;
    }
    return best;
  }

  newest(key: string): number {
    return this.visible(key, Infinity)?.wall ?? 0;
  }

  add(key: string, version: Version): void {
    this.versions.set(key, [...(this.versions.get(key) ?? []), version]);
  }
}

function txnMeta(name: string, wall: number): TxnMeta {
  const at = { wall, logical: 0 };
  return {
    id: asTxnId(Buffer.from(name.padEnd(16)).toString('hex')),
    anchor: Buffer.from('anchor'),
    epoch: 0,
    isolation: 'serializable',
    priority: 1,
    readTimestamp: at,
    writeTimestamp: at,
    minTimestamp: at,
    uncertaintyLimit: at,
    sequence: 1000,
    ignoredSequences: [],
  };
}

describe('MVCC', () => {
  it('agrees with a naive model', async () => {
    for (let seed = 1; seed <= 25; seed++) await trial(seed);
  });
});

async function trial(seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  const engine = new MemoryEngine();
  const model = new Model();
  let stats = zeroStats;
  let now = 100;
  let threshold = 0;
  let sequence = 0;
  const keys = ['a', 'a\x00', 'a\x00\x01', 'b', 'ba', 'c', '\x01local', 'z\xff\xff'].sort();
  const open = new Map<string, TxnMeta>();
  const label = `seed ${seed}`;

  const expectRead = async (key: string, wall: number, txn: TxnMeta | undefined): Promise<void> => {
    const options = readOptions(wall, txn);
    const got = await mvccGet(engine, Buffer.from(key, 'latin1'), options);
    const intent = model.intents.get(key);
    if (intent !== undefined && intent.txn === txn?.id) {
      expect(got.kind === 'value' && got.value?.toString(), label).toBe(intent.value);
    } else if (intent !== undefined && intent.wall <= wall) expect(got.kind, label).toBe('intent');
    else {
      const version = model.visible(key, wall);
      expect(got.kind === 'value' && got.value?.toString(), label).toBe(version?.value);
      // Of a deletion the timestamp may be gone already, or still be there.
      if (version?.value !== undefined) {
        expect(got.kind === 'value' && got.timestamp?.wall, label).toBe(version.wall);
      }
    }
  };

  for (let step = 0; step < 400; step++) {
    now += 1 + random.below(3);
    const key = keys[random.below(keys.length)] ?? 'a';
    const value = random.below(4) === 0 ? undefined : `v${step}`;
    const bytes = Buffer.from(key, 'latin1');
    const batch = createMvccBatch(engine);
    const choice = random.below(100);
    if (choice < 25) {
      const wall = now - random.below(20);
      const result = batch.put(bytes, value === undefined ? undefined : Buffer.from(value), {
        timestamp: { wall, logical: 0 },
        txn: undefined,
        sequence: 0,
      });
      if (model.intents.has(key)) expect(result.kind, label).toBe('intent');
      else if (model.newest(key) >= wall) expect(result.kind, label).toBe('newer');
      else {
        expect(result.kind, label).toBe('ok');
        model.add(key, { wall, value });
      }
    } else if (choice < 50) {
      const name = `t${random.below(3)}`;
      const txn = open.get(name) ?? txnMeta(name + step, now);
      // One that has fallen behind the threshold writes no more.
      if (txn.readTimestamp.wall <= threshold) continue;
      const result = batch.put(bytes, value === undefined ? undefined : Buffer.from(value), {
        timestamp: txn.writeTimestamp,
        txn,
        sequence: ++sequence % 1000,
      });
      const intent = model.intents.get(key);
      const wall = txn.writeTimestamp.wall;
      if (intent !== undefined && intent.txn !== txn.id) expect(result.kind, label).toBe('intent');
      else if (intent === undefined ? model.newest(key) >= wall : intent.wall > wall) {
        expect(result.kind, label).toBe('newer');
      } else {
        expect(result.kind, label).toBe('ok');
        open.set(name, txn);
        model.intents.set(key, { txn: txn.id, wall, value });
      }
    } else if (choice < 62) {
      const [name, txn] = [...open][random.below(Math.max(1, open.size))] ?? [];
      if (name !== undefined && txn !== undefined) {
        const status = (['committed', 'aborted', 'pending'] as const)[random.below(3)] ?? 'aborted';
        for (const other of keys) {
          const intent = model.intents.get(other);
          const found = batch.resolve(Buffer.from(other, 'latin1'), {
            id: txn.id,
            epoch: 0,
            status,
            timestamp: { wall: now, logical: 0 },
            ignoredSequences: [],
          });
          expect(found, label).toBe(intent?.txn === txn.id);
          if (intent?.txn !== txn.id) continue;
          if (status === 'pending') intent.wall = Math.max(intent.wall, now);
          else model.intents.delete(other);
          if (status === 'committed') model.add(other, { wall: now, value: intent.value });
        }
        if (status !== 'pending') open.delete(name);
      }
    } else if (choice < 80) {
      const txn = random.below(2) === 0 ? undefined : [...open.values()][0];
      const wall = txn?.readTimestamp.wall ?? Math.max(threshold, now - random.below(80));
      if (wall >= threshold) await expectRead(key, wall, txn);
    } else if (choice < 95) {
      const wall = Math.max(threshold, now - random.below(80));
      const reverse = random.below(2) === 0;
      const options = { start: Buffer.from(''), end: Buffer.from([0xff]), reverse };
      const rows: string[] = [];
      const max = 1 + random.below(9);
      const end = await mvccScan(
        engine,
        { ...readOptions(wall, undefined), ...options },
        (k, v) => {
          return rows.push(`${k.toString('latin1')}=${v.toString()}`) >= max;
        },
      );
      const ordered = reverse ? keys.toReversed() : keys;
      const expected: string[] = [];
      let blocked = false;
      for (const one of ordered) {
        const intent = model.intents.get(one);
        blocked ||= intent !== undefined && intent.wall <= wall;
        if (blocked) break;
        const version = model.visible(one, wall);
        if (version?.value !== undefined) expected.push(`${one}=${version.value}`);
        if (expected.length >= max) break;
      }
      expect(end.kind, label).toBe(blocked ? 'intents' : 'done');
      if (!blocked) expect(rows, label).toEqual(expected);
    } else {
      threshold = Math.max(threshold, now - 60);
      const span = { start: Buffer.from(''), end: Buffer.from([0xff]) };
      const at = { wall: threshold, logical: 0 };
      const garbage = await mvccGarbage(engine, span, at, 1 + random.below(10));
      stats = addStats(stats, drop(engine, garbage));
      // A deletion below the threshold reads as if it had never been; the model forgets it likewise.
      for (const one of keys) {
        const kept = model.visible(one, threshold);
        const versions = model.versions.get(one) ?? [];
        model.versions.set(
          one,
          versions.filter((v) => v.wall > threshold || (v === kept && v.value !== undefined)),
        );
      }
      if (garbage.resume !== undefined) {
        const rest = await mvccGarbage(engine, { ...span, start: garbage.resume }, at, 1000);
        stats = addStats(stats, drop(engine, rest));
      }
    }
    engine.apply(batch.writes);
    stats = addStats(stats, batch.stats);
  }
  expect(stats, label).toEqual(await computeStats(engine, Buffer.from(''), Buffer.from([0xff])));
  expect(engine.openReaders, label).toBe(0);
}

function drop(engine: MemoryEngine, { found }: MvccGarbage): MvccStats {
  const { keys, stats } = dropGarbage(engine, found);
  engine.apply(keys.map((key) => ({ key, value: undefined })));
  return stats;
}

function readOptions(wall: number, txn: TxnMeta | undefined): MvccReadOptions {
  return { timestamp: { wall, logical: 0 }, txn, failOnNewer: false, ignoreIntents: false };
}
