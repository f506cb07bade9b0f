/** Locks that are taken over with a rising token, and writes that look whether their holder still has the lock. */
import { checkFencing, fencingCodec, type FencingOperation } from '../../checkers/fencing.ts';
import { transact } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

const locks = 3;

export function lockHolders(): CheckedWorkload<FencingOperation> {
  /** By client, what it holds, as far as it knows. */
  const held = new Map<number, { readonly lock: number; readonly token: number }>();
  return {
    tables: ['locks', 'locked'],
    setup: [
      'CREATE TABLE locks (id int PRIMARY KEY, token int NOT NULL)',
      'CREATE TABLE locked (id int PRIMARY KEY, writes int NOT NULL)',
      `INSERT INTO locks SELECT id, 0 FROM generate_series(0, ${locks - 1}) id`,
      `INSERT INTO locked SELECT id, 0 FROM generate_series(0, ${locks - 1}) id`,
    ],
    codec: fencingCodec,
    next(random, client) {
      const own = held.get(client);
      if (own !== undefined && random.chance(0.7)) {
        const pause = random.chance(0.3);
        return write(own, { isLocking: random.chance(0.5), pause });
      }
      const lock = random.between(0, locks - 1);
      return acquire(lock, (token) => held.set(client, { lock, token }));
    },
    finalReads: () => [],
    permitted: [],
    check: checkFencing,
  };
}

function acquire(lock: number, onHeld: (token: number) => void): Step<FencingOperation> {
  const update = 'UPDATE locks SET token = token + 1 WHERE id = $1 RETURNING token';
  return {
    what: { kind: 'acquire', value: [lock, null] },
    async run(sql) {
      const { rows } = await transact(sql, (txn) => txn.query<{ token: number }>(update, [lock]));
      const token = rows[0]?.token ?? 0;
      onHeld(token);
      return { kind: 'acquire', value: [lock, token] };
    },
  };
}

function write(
  { lock, token }: { readonly lock: number; readonly token: number },
  { isLocking, pause }: { readonly isLocking: boolean; readonly pause: boolean },
): Step<FencingOperation> {
  const select = `SELECT token FROM locks WHERE id = $1${isLocking ? ' FOR SHARE' : ''}`;
  return {
    what: { kind: 'write', value: [lock, token, null] },
    run: (sql) =>
      transact(sql, async (txn) => {
        const { rows } = await txn.query<{ token: number }>(select, [lock]);
        const isHolder = rows[0]?.token === token;
        if (pause) await txn.query('SELECT pg_sleep(0.1)');
        if (isHolder)
          await txn.query('UPDATE locked SET writes = writes + 1 WHERE id = $1', [lock]);
        return { kind: 'write', value: [lock, token, isHolder] };
      }),
  };
}
