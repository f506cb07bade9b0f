/** What all sessions of a node share, handed in by the server through `createSqlService`. */
import { type Env } from '../../util/index.ts';
import {
  type ClusterReports,
  type Db,
  type Gossip,
  type NodeControl,
  type PlacementAdvisor,
} from '../../kv/index.ts';
import { type CatalogCache, type VirtualSchemas } from '../catalog/index.ts';
import { type ColumnsOf, type RunUtility, type ShownBy } from '../ddl/types.ts';
import { type EventLog } from '../events/index.ts';
import { type JobRegistry } from '../jobs/index.ts';
import { type ParseCache } from '../parse/index.ts';
import { type PlanStatement } from '../plan/types.ts';
import { type RetryStats } from './retry-stats.ts';
import { type EvalHostInputs, type SessionHost } from '../virtual/index.ts';

export interface SessionLimits {
  /** Bytes a statement may hold in memory; beyond it 53200. */
  readonly statementMemoryBytes: number;
  /** Most prepared statements of one session. */
  readonly preparedStatements: number;
  /** Most open portals and cursors of one session. */
  readonly portals: number;
  /** Plans kept for unnamed statements, per session. */
  readonly cachedPlans: number;
  /** Re-runs of a statement, and of a transaction's statements. */
  readonly retries: number;
  /** Statements and parameters of an open transaction that are kept so that they can be run again; beyond it they are not. */
  readonly replayBytes: number;
}

export const defaultSessionLimits: SessionLimits = {
  statementMemoryBytes: 256 * 1024 * 1024,
  preparedStatements: 10_000,
  portals: 1000,
  cachedPlans: 256,
  retries: 20,
  replayBytes: 1024 * 1024,
};

/** Counted over all sessions of the node since it started. */
export interface SessionCounters {
  statements: number;
  failedStatements: number;
  /** Runs of a statement that stands alone beyond its first. */
  restarts: number;
  /** Runs of a statement of a transaction beyond its first, on a new snapshot. */
  statementRetries: number;
  /** Transactions whose statements were all run again, with the same answers. */
  replays: number;
  /** Transactions that had to be replayed and were not. */
  replaysRefused: number;
  /** Serialization failures (40001) that clients were told of. */
  retryErrors: number;
  commits: number;
  rollbacks: number;
}

export function newCounters(): SessionCounters {
  return {
    statements: 0,
    failedStatements: 0,
    restarts: 0,
    statementRetries: 0,
    replays: 0,
    replaysRefused: 0,
    retryErrors: 0,
    commits: 0,
    rollbacks: 0,
  };
}

export interface SessionServices {
  readonly counters: SessionCounters;
  readonly retries: RetryStats;
  readonly env: Env;
  readonly db: Db;
  readonly gossip: Gossip | undefined;
  readonly reports: ClusterReports | undefined;
  readonly advisor: PlacementAdvisor | undefined;
  readonly control: NodeControl;
  readonly catalogCache: CatalogCache;
  readonly jobs: JobRegistry;
  readonly eventLog: EventLog;
  readonly virtual: VirtualSchemas;
  readonly parser: ParseCache;
  readonly planStatement: PlanStatement;
  readonly runUtility: RunUtility;
  readonly shownBy: ShownBy;
  readonly columnsOf: ColumnsOf;
  readonly createEvalHost: (inputs: EvalHostInputs) => SessionHost;
  readonly limits: SessionLimits;
}
