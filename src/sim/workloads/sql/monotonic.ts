/** The monotonic workload (Jepsen): each insert adds one to the largest number in several tables. */
import { isSerializable, type IsolationLevel } from '../../checkers/isolation.ts';
import {
  checkMonotonic,
  monotonicCodec,
  type MonotonicOperation,
} from '../../checkers/monotonic.ts';
import { execute, transact } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

const tables = ['monotonic_0', 'monotonic_1', 'monotonic_2'] as const;

interface Row {
  readonly value: number;
}

export function monotonic(isolation: IsolationLevel): CheckedWorkload<MonotonicOperation> {
  return {
    tables,
    setup: tables.map((table) => `CREATE TABLE ${table} (value int PRIMARY KEY)`),
    codec: monotonicCodec,
    next: (random) => (random.chance(0.8) ? insert(random.pick(tables)) : readAll()),
    finalReads: () => [readAll()],
    // Two that have seen the same largest number insert into different tables: write skew.
    permitted: isSerializable(isolation) ? [] : ['duplicate'],
    check: checkMonotonic,
  };
}

function insert(table: string): Step<MonotonicOperation> {
  const each = tables.map((name) => `SELECT max(value) AS value FROM ${name}`).join(' UNION ALL ');
  return {
    what: { kind: 'insert', value: null },
    run: (sql) =>
      transact(sql, async (txn) => {
        const { rows } = await txn.query<{ value: number | null }>(
          `SELECT max(value) AS value FROM (${each}) AS largest`,
        );
        const value = (rows[0]?.value ?? 0) + 1;
        await txn.query(`INSERT INTO ${table} VALUES ($1)`, [value]);
        return { kind: 'insert', value };
      }),
  };
}

function readAll(): Step<MonotonicOperation> {
  const union = tables.map((table) => `SELECT value FROM ${table}`).join(' UNION ALL ');
  return {
    what: { kind: 'read', value: null },
    async run(sql) {
      const { rows } = await execute<Row>(sql, union);
      return { kind: 'read', value: rows.map(({ value }) => value) };
    },
  };
}
