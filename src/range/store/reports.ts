/** What a store tells of itself to whoever asks by name (`kv/reports.ts`): what it decided lately, and its ranges. */
import {
  type MergeDecision,
  type ReportProviders,
  type SplitDecision,
  type StoreId,
} from '../../kv/index.ts';
import { type Clock } from '../../util/index.ts';
import { DecisionLog } from '../queues/decision-log.ts';
import { Recent } from '../queues/recent.ts';
import { rangeInfo } from '../replica/admin.ts';
import { reportConformance } from './conformance.ts';
import { reportLocks } from './lock-report.ts';
import { type Store } from './store.ts';

/** So many decisions of a kind are kept for those who ask. */
const decisionsMax = 1_000;

/** The queues fill it. */
export interface Decisions {
  readonly allocator: DecisionLog;
  readonly splits: Recent<SplitDecision>;
  readonly merges: Recent<MergeDecision>;
}

export function noDecisions(storeId: StoreId, clock: Clock): Decisions {
  return {
    allocator: new DecisionLog(storeId, clock),
    splits: new Recent(decisionsMax),
    merges: new Recent(decisionsMax),
  };
}

export function reportsOf(store: Store): ReportProviders {
  const { contention, decisions, env, replicas } = store;
  return {
    'split-decisions': () => decisions.splits.list(),
    'merge-decisions': () => decisions.merges.list(),
    'allocator-decisions': () => decisions.allocator.list(),
    conformance: () => reportConformance(store),
    locks: () => reportLocks(replicas.values(), env.clock),
    contention: () => contention.list(),
    ranges: () => [...replicas.values()].filter(({ holdsLease }) => holdsLease).map(rangeInfo),
  };
}
