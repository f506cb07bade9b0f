/** What a client is told of a deadlock: the cycle, as PostgreSQL shows it, as far as it is known who takes part. */
import { KvFailure, type ClusterReports, type DeadlockMember, type TxnId } from '../../kv/index.ts';
import { type CatalogSnapshot } from '../catalog/index.ts';
import { keyText } from '../ddl/index.ts';
import { sqlError, type SqlFailure } from '../errors.ts';
import { restartHint } from './kv-errors.ts';

/**
 * Undefined when `error` is no deadlock. Otherwise asks the nodes for their sessions, now: the others go on as soon as the
 * transaction that failed gives way.
 *
 *     Process 524289 waits for ExclusiveLock on /Table/106/1/1; blocked by process 524290.
 */
export async function deadlockFailure(
  error: unknown,
  snapshot: CatalogSnapshot,
  reports: ClusterReports | undefined,
): Promise<SqlFailure | undefined> {
  if (!(error instanceof KvFailure) || error.kvError.kind !== 'deadlock') return undefined;
  const { cycle } = error.kvError;
  const sessions = (await reports?.collect('sessions'))?.rows ?? [];
  const pids = new Map(sessions.map(({ row }) => [row.txnId, row.pid]));
  const detail = cycle
    .map((member, i) => describe(member, cycle[(i + 1) % cycle.length] ?? member, pids, snapshot))
    .join('\n');
  return sqlError('deadlockDetected', 'deadlock detected', { detail, hint: restartHint });
}

function describe(
  { txnId, key }: DeadlockMember,
  blocker: DeadlockMember,
  pids: ReadonlyMap<TxnId, number>,
  snapshot: CatalogSnapshot,
): string {
  const pid = pids.get(txnId);
  const blockerPid = pids.get(blocker.txnId);
  const who = pid === undefined ? `Transaction ${txnId}` : `Process ${pid}`;
  const what = key === undefined ? '' : ` for ExclusiveLock on ${keyText(snapshot, key)}`;
  const by = blockerPid === undefined ? `transaction ${blocker.txnId}` : `process ${blockerPid}`;
  return `${who} waits${what}; blocked by ${by}.`;
}
