/**
 * The rw-register workload (Jepsen): transactions of blind writes of unique values and of reads, on a few popular keys in
 * several tables.
 */
import {
  isSerializable,
  permittedOfAppends,
  type IsolationLevel,
} from '../../checkers/isolation.ts';
import { registerTxnCodec, type RegisterOp } from '../../checkers/rw-history.ts';
import { checkRegisters } from '../../checkers/rw-register.ts';
import { type SqlQueries } from '../../sql-session.ts';
import { ActiveKeys } from './active-keys.ts';
import { transact } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

const tables = ['rw_0', 'rw_1', 'rw_2'] as const;
const opsMax = 4;
const finalReadKeys = 20;

type Ops = readonly RegisterOp[];

export function rwRegister(isolation: IsolationLevel): CheckedWorkload<Ops> {
  const keys = new ActiveKeys();
  return {
    tables,
    setup: tables.map((table) => `CREATE TABLE ${table} (id int PRIMARY KEY, val int8)`),
    codec: registerTxnCodec,
    next(random) {
      const ops = Array.from({ length: random.between(1, opsMax) }, (): RegisterOp => {
        const { key, value } = keys.draw(random);
        return value === undefined ? { kind: 'read', key, value } : { kind: 'write', key, value };
      });
      return attempt(ops, random.chance(0.3) ? 'update' : 'upsert');
    },
    finalReads() {
      const reads = keys.all.map((key): RegisterOp => ({ kind: 'read', key, value: undefined }));
      return Array.from({ length: Math.ceil(reads.length / finalReadKeys) }, (_, i) =>
        attempt(reads.slice(i * finalReadKeys, (i + 1) * finalReadKeys), 'upsert'),
      );
    },
    permitted: isSerializable(isolation) ? [] : permittedOfAppends(isolation),
    check: checkRegisters,
  };
}

type Manner = 'upsert' | 'update';

function attempt(ops: Ops, manner: Manner): Step<Ops> {
  return {
    what: ops,
    run: (sql) =>
      transact(sql, async (txn) => {
        const done: RegisterOp[] = [];
        for (const op of ops) {
          if (op.kind === 'write') await write(txn, op, manner);
          done.push(op.kind === 'write' ? op : { ...op, value: await read(txn, op.key) });
        }
        return done;
      }),
  };
}

async function write(
  sql: SqlQueries,
  { key, value }: { readonly key: number; readonly value: number },
  manner: Manner,
): Promise<void> {
  const table = tableOf(key);
  if (manner === 'update') {
    const update = `UPDATE ${table} SET val = $2 WHERE id = $1`;
    if ((await sql.query(update, [key, value])).rowCount === 1) return;
  }
  await sql.query(
    `INSERT INTO ${table} VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET val = excluded.val`,
    [key, value],
  );
}

async function read(sql: SqlQueries, key: number): Promise<number | null> {
  const { rows } = await sql.query<{ val: string }>(
    `SELECT val FROM ${tableOf(key)} WHERE id = $1`,
    [key],
  );
  return rows[0] === undefined ? null : Number(rows[0].val);
}

function tableOf(key: number): string {
  return tables[key % tables.length] ?? tables[0];
}
