/** The sequential workload (Jepsen): a client writes rows in some tables one after the other; others read them backwards. */
import {
  checkSequential,
  sequentialCodec,
  type SequentialOperation,
} from '../../checkers/sequential.ts';
import { AttemptFailure, execute } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

const rowsPerKey = 5;
const tables = Array.from({ length: rowsPerKey }, (_, row) => `sequential_${row}`);
/** Keys that are read are among so many latest. */
const window = 10;

export function sequential(): CheckedWorkload<SequentialOperation> {
  let keys = 0;
  return {
    tables,
    setup: tables.map((table) => `CREATE TABLE ${table} (key int PRIMARY KEY)`),
    codec: sequentialCodec,
    next(random) {
      if (keys === 0 || random.chance(0.4)) return write(keys++);
      return read(random.between(Math.max(0, keys - window), keys - 1));
    },
    finalReads: () => Array.from({ length: Math.min(keys, window) }, (_, i) => read(keys - 1 - i)),
    permitted: [],
    check: checkSequential,
  };
}

function write(key: number): Step<SequentialOperation> {
  const what = { kind: 'write', value: key } as const;
  return {
    what,
    async run(sql) {
      for (const [row, table] of tables.entries()) {
        try {
          await execute(sql, `INSERT INTO ${table} VALUES ($1)`, [key]);
        } catch (error) {
          // What came before it has happened.
          if (row === 0 || !(error instanceof AttemptFailure)) throw error;
          throw new AttemptFailure('info', error.cause);
        }
      }
      return what;
    },
  };
}

function read(key: number): Step<SequentialOperation> {
  return {
    what: { kind: 'read', value: [key, null] },
    async run(sql) {
      const seen: boolean[] = [];
      for (const table of tables.toReversed()) {
        const { rows } = await execute(sql, `SELECT key FROM ${table} WHERE key = $1`, [key]);
        seen.push(rows.length > 0);
      }
      return { kind: 'read', value: [key, seen] };
    },
  };
}
