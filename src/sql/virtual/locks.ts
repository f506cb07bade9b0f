/**
 * Who holds and who waits for what, all over the cluster, as leaseholders know it: rows that nobody but their writer has come
 * near are not among them.
 */
import { decodeIndexPrefix } from '../../encoding/index.ts';
import { type HeldStrength, type ReportedLock, type TxnId } from '../../kv/index.ts';
import { keyText } from '../ddl/index.ts';
import { Interval, timestampOfWall, uuidFromHex, type Datum } from '../types/index.ts';
import { advisoryLockOf } from './advisory-keys.ts';
import { reported, type Record_, type Source } from './build.ts';
import { xidOf } from './xid.ts';

export const clusterLocksShape =
  'range_id:int8 table_id:int8 database_name:text schema_name:text table_name:text index_name:text lock_key:bytea lock_key_pretty:text txn_id:uuid ts:timestamp lock_strength:text durability:text granted:bool contended:bool duration:interval isolation_level:text';

export const contentionEventsShape =
  'collection_ts:timestamptz blocking_txn_id:uuid waiting_txn_id:uuid contention_duration:interval contending_key:bytea contending_pretty_key:text database_name:text schema_name:text table_name:text index_name:text contention_type:text';

const strengthNames: Readonly<Record<HeldStrength, string>> = {
  'key-share': 'KeyShared',
  share: 'Shared',
  'no-key-update': 'NoKeyExclusive',
  update: 'Exclusive',
};

export async function clusterLockRows(s: Source): Promise<Record_[]> {
  const locks = await reported(s, 'locks');
  return locks.map(({ row }) => ({
    range_id: BigInt(row.rangeId),
    ...placeOf(s, row.key),
    lock_key: row.key,
    lock_key_pretty: keyText(s.snapshot, row.key),
    txn_id: uuidFromHex(row.txnId),
    ts: timestampOfWall(row.timestamp.wall),
    lock_strength: row.isReplicated ? 'Intent' : strengthNames[row.strength],
    durability: row.isReplicated ? 'Replicated' : 'Unreplicated',
    granted: row.isGranted,
    contended: row.isContended,
    duration: ofMs(row.durationMs),
    isolation_level: row.isolation.replaceAll('-', ' ').toUpperCase(),
  }));
}

export async function contentionEventRows(s: Source): Promise<Record_[]> {
  const events = await reported(s, 'contention');
  return events.map(({ row }) => {
    const { table_id: _, ...place } = placeOf(s, row.key);
    return {
      collection_ts: timestampOfWall(row.at),
      blocking_txn_id: uuidFromHex(row.blockingTxnId),
      waiting_txn_id: row.waitingTxnId === undefined ? null : uuidFromHex(row.waitingTxnId),
      contention_duration: ofMs(row.durationMs),
      contending_key: row.key,
      contending_pretty_key: keyText(s.snapshot, row.key),
      ...place,
      contention_type: 'LOCK_WAIT',
    };
  });
}

/**
 * pg_locks: per transaction one `virtualxid` and one `transactionid`, per table that it has locked rows of one `relation`, per
 * locked row one `tuple` (where it lies is in skein_internal.cluster_locks); per session, advisory lock and mode one `advisory`. Who waits
 * for a row waits for the transaction that holds it, too.
 */
export async function pgLockRows(s: Source): Promise<Record_[]> {
  const [locks, sessions] = await Promise.all([reported(s, 'locks'), reported(s, 'sessions')]);
  const pids = new Map(sessions.map(({ row }) => [row.txnId, row.pid]));
  const holders = new Map<string, ReportedLock>();
  for (const { row } of locks) if (row.isGranted) holders.set(row.key.toString('latin1'), row);
  // Each once: by what makes it another one.
  const rows = new Map<string, Record_>();
  const add = (txnId: TxnId, name: string, record: Record_): void => {
    const virtualtransaction = uuidFromHex(txnId);
    const pid = pids.get(txnId) ?? null;
    // What several transactions of a session have of an advisory lock is one.
    const isAdvisory = record.locktype === 'advisory';
    const at = `${isAdvisory ? (pid ?? txnId) : txnId} ${name}`;
    // It does not have the lock while it waits for some who do.
    if (isAdvisory && rows.get(at)?.granted === false) return;
    rows.set(at, { virtualtransaction, pid, fastpath: false, ...record });
  };
  for (const { row } of sessions) {
    const virtualxid = uuidFromHex(row.txnId);
    add(row.txnId, 'itself', { locktype: 'virtualxid', virtualxid, ...granted });
  }
  const nowMicros = s.context.env.clock.wallMicros();
  for (const { row } of locks) {
    const holder = row.isGranted ? undefined : holders.get(row.key.toString('latin1'));
    const waitstart = row.isGranted ? null : timestampOfWall(nowMicros - row.durationMs * 1000);
    const state = { granted: row.isGranted, waitstart };
    addLock(s, row, state, (name, record) => add(row.txnId, name, record));
    if (holder === undefined) continue;
    const awaited = { locktype: 'transactionid', transactionid: xidOf(holder.txnId) };
    add(row.txnId, `for ${holder.txnId}`, { ...awaited, ...state, mode: 'ShareLock' });
  }
  return [...rows.values()];
}

function addLock(
  { snapshot }: Source,
  lock: ReportedLock,
  state: Record_,
  add: (name: string, record: Record_) => void,
): void {
  const { key, txnId, isReplicated } = lock;
  const advisory = advisoryLockOf(key);
  if (advisory !== undefined) {
    const { held } = advisory;
    // Who has a place in the queue, or what was somebody's key, does not have the lock by that.
    if (lock.isGranted && held?.txn !== txnId) return;
    const strength = lock.isGranted ? held?.mode : lock.strength;
    const mode = strength === 'share' ? 'ShareLock' : 'ExclusiveLock';
    const columns = { ...advisory.lock, mode };
    add(Object.values(columns).join(' '), { locktype: 'advisory', ...columns, ...state });
    return;
  }
  const name = `${key.toString('latin1')} ${lock.isGranted}`;
  const place = decodeIndexPrefix(key);
  const table = place === undefined ? undefined : snapshot.tableById(place.tableId);
  if (table === undefined) return;
  const relation = { database: table.databaseId, relation: table.id };
  const mode = isReplicated ? 'RowExclusiveLock' : 'RowShareLock';
  add(`${table.id} ${mode}`, { locktype: 'relation', ...relation, mode, granted: true });
  add('xid', { locktype: 'transactionid', transactionid: xidOf(txnId), ...granted });
  add(name, { locktype: 'tuple', ...relation, ...state, mode: tupleModes[lock.strength] });
}

const granted = { mode: 'ExclusiveLock', granted: true } as const;

/** As PostgreSQL locks tuples. */
const tupleModes: Readonly<Record<HeldStrength, string>> = {
  'key-share': 'AccessShareLock',
  share: 'RowShareLock',
  'no-key-update': 'ExclusiveLock',
  update: 'AccessExclusiveLock',
};

/** What a key belongs to. */
export function placeOf({ snapshot }: Pick<Source, 'snapshot'>, key: Buffer): Record_ {
  const place = decodeIndexPrefix(key);
  const table = place === undefined ? undefined : snapshot.tableById(place.tableId);
  if (table === undefined) return {};
  const index = [table.primaryIndex, ...table.indexes].find(({ id }) => id === place?.indexId);
  return {
    table_id: BigInt(table.id),
    database_name: snapshot.byId(table.databaseId)?.name ?? null,
    schema_name: snapshot.schemaName(table.schemaId),
    table_name: table.name,
    index_name: index?.name ?? null,
  };
}

function ofMs(ms: number): Datum {
  return new Interval(0, 0, BigInt(Math.round(ms * 1000)));
}
