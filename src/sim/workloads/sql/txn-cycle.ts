/** Receipts, batches and reports (Fekete, O'Neil and O'Neil 2004): a transaction that only reads shows that three have no order. */
import { isSerializable, type IsolationLevel } from '../../checkers/isolation.ts';
import { checkReceipts, receiptsCodec, type ReceiptsOperation } from '../../checkers/receipts.ts';
import { type SqlQueries } from '../../sql-session.ts';
import { transact } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

const stores = 4;

export function txnCycle(isolation: IsolationLevel): CheckedWorkload<ReceiptsOperation> {
  let receipts = 0;
  return {
    tables: ['batches', 'receipts'],
    setup: [
      'CREATE TABLE batches (store int PRIMARY KEY, batch int NOT NULL)',
      `INSERT INTO batches SELECT store, 1 FROM generate_series(0, ${stores - 1}) store`,
      'CREATE TABLE receipts (id int PRIMARY KEY, store int, batch int)',
      'CREATE INDEX ON receipts (store, batch)',
    ],
    codec: receiptsCodec,
    next(random) {
      const store = random.between(0, stores - 1);
      const kind = random.pick(['receipt', 'receipt', 'close', 'report']);
      // Whoever has read the batch and not yet written is overtaken.
      if (kind === 'receipt') return put(store, receipts++, random.chance(0.5));
      return kind === 'close' ? close(store) : report(store);
    },
    finalReads: () => Array.from({ length: stores }, (_, store) => report(store)),
    permitted: isSerializable(isolation) ? [] : ['missing-receipt', 'changed-report'],
    check: checkReceipts,
  };
}

async function currentBatch(sql: SqlQueries, store: number): Promise<number> {
  const select = 'SELECT batch FROM batches WHERE store = $1';
  const { rows } = await sql.query<{ batch: number }>(select, [store]);
  return rows[0]?.batch ?? 0;
}

function put(store: number, id: number, pause: boolean): Step<ReceiptsOperation> {
  return {
    what: { kind: 'receipt', value: [store, id, null] },
    run: (sql) =>
      transact(sql, async (txn) => {
        const batch = await currentBatch(txn, store);
        if (pause) await txn.query('SELECT pg_sleep(0.1)');
        await txn.query('INSERT INTO receipts VALUES ($1, $2, $3)', [id, store, batch]);
        return { kind: 'receipt', value: [store, id, batch] };
      }),
  };
}

function close(store: number): Step<ReceiptsOperation> {
  const update = 'UPDATE batches SET batch = batch + 1 WHERE store = $1 RETURNING batch';
  return {
    what: { kind: 'close', value: [store, null] },
    run: (sql) =>
      transact(sql, async (txn) => {
        const { rows } = await txn.query<{ batch: number }>(update, [store]);
        return { kind: 'close', value: [store, rows[0]?.batch ?? null] };
      }),
  };
}

function report(store: number): Step<ReceiptsOperation> {
  const select = 'SELECT id FROM receipts WHERE store = $1 AND batch = $2 ORDER BY id';
  return {
    what: { kind: 'report', value: [store, null, []] },
    run: (sql) =>
      transact(sql, async (txn) => {
        const batch = await currentBatch(txn, store);
        const { rows } = await txn.query<{ id: number }>(select, [store, batch - 1]);
        return { kind: 'report', value: [store, batch, rows.map(({ id }) => id)] };
      }),
  };
}
