/** What a transaction of the kv workload can do, step by step; each notes what it was told. */
import { KvFailure, type LockStrength, type Txn } from '../../kv/index.ts';
import { must } from '../../util/index.ts';
import { type KvStep } from '../checkers/mvcc-history.ts';
import { type SeededRandom } from '../random.ts';

export interface KvSpace {
  /** In their order. */
  readonly keys: readonly Buffer[];
  /** Behind the last one. */
  readonly end: Buffer;
  /** Never the same twice. */
  nextValue(): number;
  sleep(ms: number): Promise<void>;
}

export type Step = (txn: Txn, seen: KvStep[]) => Promise<void> | void;

const locks: readonly LockStrength[] = ['none', 'none', 'none', 'update', 'share'];

export function drawRead(space: KvSpace, random: SeededRandom, how: { mayLock: boolean }): Step {
  const lock = how.mayLock ? random.pick(locks) : 'none';
  if (random.chance(0.4)) return drawScan(space, random, lock);
  const numbers = Array.from({ length: random.between(1, 4) }, () => drawKey(space, random));
  const together = random.chance(0.5);
  return async (txn, seen) => {
    const keys = numbers.map((key) => keyAt(space, key));
    const values = together
      ? await txn.getMany(keys, { lock })
      : await Promise.all(keys.map((key) => txn.get(key, { lock })));
    for (const [i, key] of numbers.entries()) {
      seen.push({ kind: 'read', key, value: decodeValue(values[i]) });
    }
  };
}

export function readKey(space: KvSpace, key: number): Step {
  return async (txn, seen) => {
    seen.push({ kind: 'read', key, value: decodeValue(await txn.get(keyAt(space, key))) });
  };
}

/** A few pages of a scan, sometimes slowly. */
function drawScan(space: KvSpace, random: SeededRandom, lock: LockStrength): Step {
  const a = random.between(0, space.keys.length);
  const b = random.between(0, space.keys.length);
  const reverse = random.chance(0.4);
  const maxRows = random.chance(0.3) ? 0 : random.between(1, 8);
  const pagesMax = random.between(1, 4);
  const pauseMs = random.chance(0.2) ? random.float() * 200 : 0;
  return async (txn, seen) => {
    let rest = { from: Math.min(a, b), to: Math.max(a, b) };
    for (let pages = 0; pages < pagesMax && rest.from < rest.to; pages++) {
      if (pages > 0 && pauseMs > 0) await space.sleep(pauseMs);
      const { from, to } = rest;
      const span = { start: keyAt(space, from), end: keyAt(space, to) };
      const { keys, values, resume } = await txn.scan({ ...span, reverse, maxRows, lock });
      const rows = keys.map(
        (key, i) => [keysBelow(space, key), must(decodeValue(values[i]))] as const,
      );
      const turn = resume && keysBelow(space, reverse ? resume.end : resume.start);
      const page = reverse ? { from: turn ?? from, to } : { from, to: turn ?? to };
      seen.push({ kind: 'scan', ...page, reverse, rows });
      rest = reverse ? { from, to: page.from } : { from: page.to, to };
    }
  };
}

export function drawWrite(space: KvSpace, random: SeededRandom): Step {
  if (random.chance(0.25)) {
    const key = drawKey(space, random);
    return (txn, seen) => {
      txn.delete(keyAt(space, key));
      seen.push({ kind: 'write', key, value: undefined });
    };
  }
  return drawPut(space, random);
}

/** A put as it is, behind a read of the key, or where nothing may be. */
export function drawPut(space: KvSpace, random: SeededRandom): Step {
  const key = drawKey(space, random);
  const bytes = 4 + random.between(0, random.chance(0.1) ? 1_000 : 60);
  const how = random.pick(['blind', 'update', 'update', 'insert'] as const);
  const lock = random.pick(locks);
  const checked = random.chance(0.5);
  return putInto(space, key, how, bytes, { lock, checked });
}

export function putInto(
  space: KvSpace,
  key: number,
  how: 'blind' | 'update' | 'insert',
  bytes: number,
  { lock, checked }: { readonly lock: LockStrength; readonly checked: boolean } = {
    lock: 'none',
    checked: false,
  },
): Step {
  return async (txn, seen) => {
    const stored = keyAt(space, key);
    if (how === 'update') {
      const value = decodeValue(await txn.get(stored, { lock, mayAssume: true }));
      seen.push({ kind: 'read', key, value });
    }
    const value = space.nextValue();
    if (how === 'insert') {
      seen.push({ kind: 'absent', key });
      txn.insert(stored, encodeValue(value, bytes));
      if (checked) await txn.checkInserts();
    } else {
      txn.put(stored, encodeValue(value, bytes));
    }
    seen.push({ kind: 'write', key, value });
  };
}

/** `steps` are undone. */
export function undone(steps: readonly Step[]): Step {
  return async (txn, seen) => {
    const savepoint = txn.savepoint();
    seen.push({ kind: 'savepoint' });
    for (const step of steps) await step(txn, seen);
    txn.rollbackTo(savepoint);
    seen.push({ kind: 'rollback' });
  };
}

/** What was written leaves as intents, which others meet before the end. */
export const layIntents: Step = (txn) => txn.flush();

export function pause(space: KvSpace, random: SeededRandom): Step {
  return waitFor(space, random.float() * 300);
}

export function waitFor(space: KvSpace, ms: number): Step {
  return () => space.sleep(ms);
}

/** The client changes its mind. */
export const giveUp: Step = () => {
  throw new KvFailure({ kind: 'canceled' });
};

/** How many keys sort before `key`: its number, when it is one of them. */
export function keysBelow({ keys }: KvSpace, key: Buffer): number {
  return keys.filter((each) => each.compare(key) < 0).length;
}

function keyAt({ keys, end }: KvSpace, key: number): Buffer {
  return keys[key] ?? end;
}

/** Half of all operations meet at an eighth of the keys. */
function drawKey({ keys }: KvSpace, random: SeededRandom): number {
  const last = keys.length - 1;
  return random.chance(0.5) ? random.between(0, last) : 8 * random.between(0, last >> 3);
}

function encodeValue(value: number, bytes: number): Buffer {
  const encoded = Buffer.alloc(bytes);
  encoded.writeUInt32BE(value, 0);
  return encoded;
}

export function decodeValue(encoded: Buffer | undefined): number | undefined {
  return encoded?.readUInt32BE(0);
}
