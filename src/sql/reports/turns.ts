/**
 * Whose turn it is to make the replication reports. Every node looks at one record when a report is due; the first one claims
 * it. A claim that is not followed by a report soon (its node died, or could not write) is free for others, so nothing
 * has to be kept alive.
 */
import { systemKey } from '../../encoding/index.ts';
import { type Db, type NodeId, type Txn } from '../../kv/index.ts';

/** How long others wait for the report that a node has claimed. */
const patienceMs = 30_000;
const key = systemKey('replication-reports');

export interface ReportClaim {
  readonly nodeId: NodeId;
  /** Wall microseconds. */
  readonly at: number;
}

export type ReportTurn =
  | { readonly kind: 'mine'; readonly claim: ReportClaim }
  | { readonly kind: 'wait'; readonly ms: number };

interface TurnRecord extends ReportClaim {
  /** The report is written. */
  readonly isDone: boolean;
}

/** Claims the report that is due after `intervalMs` from the one before. */
export function takeTurn(db: Db, claim: ReportClaim, intervalMs: number): Promise<ReportTurn> {
  return db.run({ name: 'turn to report' }, async (txn): Promise<ReportTurn> => {
    const last = await readTurn(txn);
    if (last !== undefined) {
      const pauseMs = last.isDone ? intervalMs : Math.min(intervalMs, patienceMs);
      const ms = pauseMs - (claim.at - last.at) / 1000;
      // A clock that was set back does not keep the reports waiting for longer than that.
      if (ms > 0) return { kind: 'wait', ms: Math.min(ms, pauseMs) };
    }
    writeTurn(txn, { ...claim, isDone: false });
    return { kind: 'mine', claim };
  });
}

/** The report of this claim is written in `txn`; false when it is somebody else's turn by now. */
export async function endTurn(txn: Txn, { nodeId, at }: ReportClaim): Promise<boolean> {
  const last = await readTurn(txn);
  if (last?.nodeId !== nodeId || last.at !== at) return false;
  writeTurn(txn, { ...last, isDone: true });
  return true;
}

async function readTurn(txn: Txn): Promise<TurnRecord | undefined> {
  const value = await txn.get(key);
  // Written by `writeTurn` alone.
  return value === undefined ? undefined : (JSON.parse(value.toString('utf8')) as TurnRecord);
}

function writeTurn(txn: Txn, record: TurnRecord): void {
  txn.put(key, Buffer.from(JSON.stringify(record)));
}
