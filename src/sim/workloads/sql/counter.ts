/** The counter workload (Jepsen): additions of one and sometimes of minus one, which nothing may repeat or lose, and reads. */
import { checkCounter, counterCodec, type CounterOp } from '../../checkers/counter.ts';
import { execute, transact } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

export function counter(): CheckedWorkload<CounterOp> {
  return {
    tables: ['counter'],
    setup: ['CREATE TABLE counter (id int PRIMARY KEY, value int NOT NULL)'],
    codec: counterCodec,
    next(random) {
      if (random.chance(0.2)) return read();
      return add(random.chance(0.2) ? -1 : 1, random.chance(0.5));
    },
    finalReads: () => [read()],
    permitted: [],
    check: checkCounter,
  };
}

/** By itself, or in a block. */
function add(by: number, inBlock: boolean): Step<CounterOp> {
  const what = { kind: 'add', value: by } as const;
  const upsert = `INSERT INTO counter AS c VALUES (1, ${by})
    ON CONFLICT (id) DO UPDATE SET value = c.value + excluded.value`;
  return {
    what,
    async run(sql) {
      if (inBlock) await transact(sql, (txn) => txn.query(upsert));
      else await execute(sql, upsert);
      return what;
    },
  };
}

function read(): Step<CounterOp> {
  return {
    what: { kind: 'read', value: 0 },
    async run(sql) {
      const select = 'SELECT value FROM counter';
      const { rows } = await execute<{ value: number }>(sql, select);
      return { kind: 'read', value: rows[0]?.value ?? 0 };
    },
  };
}
