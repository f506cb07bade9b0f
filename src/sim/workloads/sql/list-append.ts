/**
 * The list-append workload (Jepsen): transactions of reads of lists and appends of unique elements, on a few popular keys
 * in several tables that are replaced when their lists are long.
 */
import { permittedOfAppends, type IsolationLevel } from '../../checkers/isolation.ts';
import {
  appendCodec,
  type AppendTransaction,
  type MicroOp,
} from '../../checkers/append-history.ts';
import { staleReads } from '../../checkers/append-anomalies.ts';
import { checkListAppend } from '../../checkers/list-append.ts';
import { type SqlQueries } from '../../sql-session.ts';
import { ActiveKeys } from './active-keys.ts';
import { transact } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

const tables = ['append_0', 'append_1', 'append_2'] as const;
const opsMax = 4;
const finalReadKeys = 20;

export type AppendOps = AppendTransaction['what'];

interface Manner {
  /** Of reads. */
  readonly by: 'key' | 'index';
  readonly lock: '' | ' FOR UPDATE';
  readonly append: 'upsert' | 'update';
  readonly pause: boolean;
}

export function listAppend(isolation: IsolationLevel): CheckedWorkload<AppendOps> {
  const keys = new ActiveKeys();
  return {
    tables,
    setup: tables.flatMap((table) => [
      `CREATE TABLE ${table} (id int PRIMARY KEY, sk int, val text)`,
      `CREATE INDEX ON ${table} (sk)`,
    ]),
    codec: appendCodec,
    next(random) {
      const ops = Array.from({ length: random.between(1, opsMax) }, () => opOf(keys.draw(random)));
      const manner: Manner = {
        by: random.pick(['key', 'index']),
        lock: random.chance(0.2) ? ' FOR UPDATE' : '',
        append: random.pick(['upsert', 'update']),
        pause: random.chance(0.1),
      };
      return attempt(ops, manner);
    },
    finalReads() {
      const reads = keys.all.map((key): MicroOp => ({ kind: 'read', key, list: undefined }));
      const manner: Manner = { by: 'key', lock: '', append: 'upsert', pause: false };
      const steps: Step<AppendOps>[] = [];
      for (let i = 0; i < reads.length; i += finalReadKeys) {
        steps.push(attempt(reads.slice(i, i + finalReadKeys), manner));
      }
      return steps;
    },
    permitted: permittedOfAppends(isolation),
    check(history) {
      if (isolation === 'read committed')
        return [...checkListAppend(history), ...staleReads(history)];
      return checkListAppend(history, isolation === 'strict' ? 'realtime' : 'conflicts');
    },
  };
}

function opOf({
  key,
  value,
}: {
  readonly key: number;
  readonly value: number | undefined;
}): MicroOp {
  return value === undefined
    ? { kind: 'read', key, list: undefined }
    : { kind: 'append', key, element: value };
}

function attempt(ops: AppendOps, manner: Manner): Step<AppendOps> {
  return {
    what: ops,
    run: (sql) =>
      transact(sql, async (txn) => {
        const done: MicroOp[] = [];
        for (const op of ops) {
          if (manner.pause) await txn.query('SELECT pg_sleep(0.05)');
          if (op.kind === 'append') await append(txn, op, manner);
          done.push(op.kind === 'append' ? op : { ...op, list: await read(txn, op.key, manner) });
        }
        return done;
      }),
  };
}

async function append(
  sql: SqlQueries,
  { key, element }: { readonly key: number; readonly element: number },
  { append: how }: Manner,
): Promise<void> {
  const table = tableOf(key);
  if (how === 'update') {
    const update = `UPDATE ${table} SET val = val || ',' || $2 WHERE id = $1`;
    const { rowCount } = await sql.query(update, [key, String(element)]);
    if (rowCount === 1) return;
    await sql.query(`INSERT INTO ${table} VALUES ($1, $1, $2)`, [key, String(element)]);
    return;
  }
  await sql.query(
    `INSERT INTO ${table} AS t VALUES (${key}, ${key}, '${element}')
     ON CONFLICT (id) DO UPDATE SET val = t.val || ',' || excluded.val`,
  );
}

async function read(sql: SqlQueries, key: number, { by, lock }: Manner): Promise<number[]> {
  const column = by === 'key' ? 'id' : 'sk';
  const { rows } = await sql.query<{ val: string }>(
    `SELECT val FROM ${tableOf(key)} WHERE ${column} = $1${lock}`,
    [key],
  );
  return rows.flatMap(({ val }) => val.split(',').map(Number));
}

function tableOf(key: number): string {
  return tables[key % tables.length] ?? tables[0];
}
