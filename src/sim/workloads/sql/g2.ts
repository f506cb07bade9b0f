/** The G2 workload (Adya; Jepsen): two transactions per key look for rows with a predicate, and insert if there is none. */
import { isSerializable, type IsolationLevel } from '../../checkers/isolation.ts';
import {
  checkWriteSkew,
  writeSkewCodec,
  type WriteSkewOperation,
} from '../../checkers/write-skew.ts';
import { type SqlRandom } from '../../sql-program.ts';
import { transact } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

const tables = ['skew_a', 'skew_b'] as const;

/** What finds the rows of a key, on which plan: by index, in a full scan, by a text, aggregated. */
const searches = [
  (table: string, key: number) => `SELECT id FROM ${table} WHERE key = ${key} AND value % 3 = 0`,
  (table: string, key: number) => `SELECT id FROM ${table} WHERE key + 0 = ${key} AND value = 30`,
  (table: string, key: number) => `SELECT id FROM ${table} WHERE name LIKE 'k${key}-%'`,
  (table: string, key: number) =>
    `SELECT key FROM ${table} GROUP BY key HAVING key = ${key} AND count(*) > 0`,
] as const;

export function g2(isolation: IsolationLevel): CheckedWorkload<WriteSkewOperation> {
  let keys = 0;
  /** The other side of a key whose first one was given out. */
  let pending: number | undefined;
  return {
    tables,
    setup: tables.flatMap((table) => [
      `CREATE TABLE ${table} (id int PRIMARY KEY, key int, value int, name text)`,
      `CREATE INDEX ON ${table} (key)`,
      `CREATE INDEX ON ${table} (name)`,
    ]),
    codec: writeSkewCodec,
    next(random) {
      const side = pending === undefined ? 0 : 1;
      const key = pending ?? keys++;
      pending = side === 0 ? key : undefined;
      return insertIfNone(random, key, side);
    },
    finalReads: () => [],
    permitted: isSerializable(isolation) ? [] : ['G2'],
    check: checkWriteSkew,
  };
}

function insertIfNone(
  random: SqlRandom,
  ...[key, side]: readonly [number, 0 | 1]
): Step<WriteSkewOperation> {
  const search = random.pick(searches);
  // The two sides have to meet.
  const pause = random.chance(0.7) ? 'SELECT pg_sleep(0.1)' : undefined;
  return {
    what: { kind: 'insert', value: [key, side, null] },
    run: (sql) =>
      transact(sql, async (txn) => {
        for (const table of tables) {
          const { rows } = await txn.query(search(table, key));
          if (rows.length > 0) return { kind: 'insert', value: [key, side, false] };
        }
        if (pause !== undefined) await txn.query(pause);
        const row = [2 * key + side, key, 30, `k${key}-${side}`];
        await txn.query(`INSERT INTO ${tables[side]} VALUES ($1, $2, $3, $4)`, row);
        return { kind: 'insert', value: [key, side, true] };
      }),
  };
}
