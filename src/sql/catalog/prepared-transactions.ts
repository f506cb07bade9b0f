/**
 * system.prepared_transactions: the names under which prepared transactions are found.
 *
 * A row is written before its transaction becomes prepared, so none is ever without a name, and deleted after its end. Whether there
 * is anything behind a row only the record of the transaction knows: a row that was left behind (its node died just then) is
 * taken over by whoever wants the name.
 */
import {
  asTxnId,
  isTimestamp,
  KvFailure,
  type Db,
  type PreparedTxn,
  type Txn,
} from '../../kv/index.ts';
import { sqlError } from '../errors.ts';
import { type Datum } from '../types/index.ts';
import { type DescriptorId } from './descriptors.ts';
import { deleteRow, putRow, readRow, readRows } from './store.ts';
import { namespaceTable, preparedTransactionsTable, usersTable } from './system-tables.ts';

export interface PreparedTransaction {
  readonly gid: string;
  readonly txn: PreparedTxn;
  /** Microseconds since 2000-01-01 UTC. */
  readonly prepared: bigint;
  /** Empty: that role was dropped. */
  readonly owner: string;
  readonly database: string;
  readonly tables: readonly DescriptorId[];
}

/**
 * Takes the name; false: it belongs to another transaction that is prepared or may become so. Says the same when asked again.
 * Throws 3D000 or 42704 when the database or the role has another name by now, or none.
 */
export async function claimName(
  db: Db,
  txn: Txn,
  transaction: PreparedTransaction,
): Promise<boolean> {
  const there = await findPrepared(txn, transaction.gid);
  if (there !== undefined) {
    if (there.txn.id === transaction.txn.id) return true;
    if ((await db.stateOfPrepared(there.txn)) !== 'ended') return false;
  }
  await checkStand(txn, transaction);
  putRow(txn, preparedTransactionsTable, rowOf(transaction));
  return true;
}

/** Read here, the names stay as they are until `txn` commits: who changes them meanwhile sees the row, or `txn` looks again. */
async function checkStand(txn: Txn, { database, owner }: PreparedTransaction): Promise<void> {
  const databaseRow = await readRow(txn, namespaceTable, [0n, 0n, database]);
  if (databaseRow === undefined) {
    throw sqlError('invalidCatalogName', `database "${database}" does not exist`);
  }
  if ((await readRow(txn, usersTable, [owner])) === undefined) {
    throw sqlError('undefinedObject', `role "${owner}" does not exist`);
  }
}

/** Gives the name up, unless it has another owner by now. */
export async function freeName(txn: Txn, { gid, txn: { id } }: PreparedTransaction): Promise<void> {
  const row = await readRow(txn, preparedTransactionsTable, [gid]);
  if (row === undefined || transactionOf(row).txn.id !== id) return;
  deleteRow(txn, preparedTransactionsTable, row);
}

export async function findPrepared(
  txn: Txn,
  gid: string,
): Promise<PreparedTransaction | undefined> {
  const row = await readRow(txn, preparedTransactionsTable, [gid]);
  return row === undefined ? undefined : transactionOf(row);
}

/** Those that are prepared now, by name. */
export async function preparedTransactions(db: Db): Promise<PreparedTransaction[]> {
  const rows = await db.run({ name: 'prepared transactions' }, (txn) =>
    readRows(txn, preparedTransactionsTable),
  );
  const all = rows.map(transactionOf);
  const states = await Promise.all(all.map(({ txn }) => db.stateOfPrepared(txn)));
  return all.filter((_, at) => states[at] === 'prepared');
}

/** The name of a transaction that is prepared, or may become so, and may have used one of `tables`. */
export async function preparedUserOf(
  db: Db,
  tables: readonly DescriptorId[],
): Promise<string | undefined> {
  const rows = await db.run({ name: 'prepared transactions' }, (txn) =>
    readRows(txn, preparedTransactionsTable),
  );
  for (const row of rows) {
    const { gid, txn, tables: used } = transactionOf(row);
    if (!used.some((id) => tables.includes(id))) continue;
    if ((await db.stateOfPrepared(txn)) !== 'ended') return gid;
  }
  return undefined;
}

/**
 * How many transactions are prepared in `database`, or may become so. `txn` is going to change the database: it does not commit
 * beside one that is prepared meanwhile.
 */
export async function countPreparedIn(db: Db, txn: Txn, database: string): Promise<number> {
  const rows = await readRows(txn, preparedTransactionsTable);
  const inside = rows.map(transactionOf).filter((each) => each.database === database);
  const states = await Promise.all(inside.map((each) => db.stateOfPrepared(each.txn)));
  return states.filter((state) => state !== 'ended').length;
}

/** A role has another name, or none any more (''): one that gets its old name later is another role. */
export async function changePreparedOwner(txn: Txn, from: string, to: string): Promise<void> {
  const rows = await readRows(txn, preparedTransactionsTable);
  for (const each of rows.map(transactionOf)) {
    if (each.owner !== from) continue;
    putRow(txn, preparedTransactionsTable, rowOf({ ...each, owner: to }));
  }
}

function rowOf({
  gid,
  txn: { id, anchor, minTimestamp },
  prepared,
  owner,
  database,
  tables,
}: PreparedTransaction): Datum[] {
  const began = JSON.stringify(minTimestamp);
  const used = JSON.stringify(tables);
  return [gid, id, anchor.toString('hex'), began, prepared, owner, database, used];
}

/** Of a row that `rowOf` has made. */
function transactionOf(row: readonly Datum[]): PreparedTransaction {
  const prepared = row[4];
  const texts = row.filter((value) => typeof value === 'string');
  const [gid = '', id = '', anchor = '', began = 'null', owner = '', database = '', used = '[]'] =
    texts;
  const minTimestamp: unknown = JSON.parse(began);
  if (!isTimestamp(minTimestamp) || typeof prepared !== 'bigint') {
    const reason = 'a row of system.prepared_transactions';
    throw new KvFailure({ kind: 'corruption', reason });
  }
  return {
    gid,
    txn: { id: asTxnId(id), anchor: Buffer.from(anchor, 'hex'), minTimestamp },
    prepared,
    owner,
    database,
    tables: JSON.parse(used) as DescriptorId[],
  };
}
