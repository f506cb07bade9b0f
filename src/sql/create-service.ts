/** Puts the parts of the SQL layer together for one node. */
import {
  KvFailure,
  ClusterSettings,
  type ClusterReports,
  type Db,
  type Gossip,
  type NodeControl,
  type NodeId,
  type PlacementAdvisor,
  type Transport,
} from '../kv/index.ts';
import { type Env } from '../util/index.ts';
import { bootstrapCatalog, CatalogCache, jobRetentionMs, rerun } from './catalog/index.ts';
import { type RunUtility, runUtility, columnsOf, shownBy } from './ddl/index.ts';
import { EventLog, noNodeEvents, type ClusterLogs } from './events/index.ts';
import { JobRegistry, jobTypes } from './jobs/index.ts';
import { loadParser, ParseCache } from './parse/index.ts';
import { planStatement, type PlanStatement } from './plan/index.ts';
import { SqlService } from './session/service.ts';
import { defaultSessionLimits, newCounters, type SessionLimits } from './session/services.ts';
import { RetryStats } from './session/retry-stats.ts';
import { sessionInfo, settingsOf } from './session/session-info.ts';
import { createEvalHost, createVirtualSchemas } from './virtual/index.ts';

/** What tests replace. */
export interface SqlParts {
  readonly planStatement: PlanStatement;
  readonly runUtility: RunUtility;
}

export interface SqlServiceOptions {
  readonly env: Env;
  readonly db: Db;
  readonly nodeId: NodeId;
  /** Absent: this node is alone. */
  readonly gossip?: Gossip | undefined;
  readonly transport?: Transport | undefined;
  /** Told what system.settings holds, from the first reading on: for the layers below. */
  readonly clusterSettings?: ClusterSettings | undefined;
  /** Absent: what happens to nodes is not written down. */
  readonly logs?: ClusterLogs | undefined;
  /** Absent: nothing is known of the nodes beside what `db` says. */
  readonly reports?: ClusterReports | undefined;
  /** Absent: nodes cannot be asked to drain. */
  readonly control?: NodeControl | undefined;
  /** Absent: nobody knows what the allocator would do. */
  readonly advisor?: PlacementAdvisor | undefined;
  readonly limits?: Partial<SessionLimits>;
  readonly maxSessions?: number;
  readonly parts?: Partial<SqlParts>;
}

const noControl: Omit<NodeControl, 'signal'> = {
  drain: noWay,
  drainStore: noWay,
  undrainStore: noWay,
};

async function noWay(nodeId: NodeId): Promise<never> {
  throw new KvFailure({ kind: 'unavailable', reason: `there is no way to node ${nodeId}` });
}

/** Loads the parser, makes the catalog if the cluster has none yet, and begins to follow it. */
export async function createSqlService(options: SqlServiceOptions): Promise<SqlService> {
  const { env, db, nodeId, gossip, transport, reports, advisor, logs } = options;
  const clusterSettings = options.clusterSettings ?? new ClusterSettings();
  await loadParser();
  await rerun(env, ['unavailable', 'ambiguous-result'], () => bootstrapCatalog(db));
  const catalogCache = new CatalogCache({ env, db, nodeId, gossip, transport });
  catalogCache.onChange(({ data }) => clusterSettings.update(data.settings));
  await catalogCache.start();
  const control = options.control ?? {
    ...noControl,
    signal: async (signal) => service.signal(signal),
  };
  const eventLog = logs?.events ?? new EventLog(env.clock, nodeId, clusterSettings);
  const jobs = new JobRegistry({
    env,
    db,
    cache: catalogCache,
    control,
    eventLog,
    nodeEvents: logs?.nodes ?? noNodeEvents,
    types: jobTypes,
    retentionMs: () => jobRetentionMs(catalogCache.current),
  });
  jobs.start();
  const counters = newCounters();
  const retries = new RetryStats(counters);
  const virtual = createVirtualSchemas({
    sessions: () => [...service.sessions].map((session) => sessionInfo(session)),
    settings: settingsOf,
    retries: () => retries.list(),
  });
  const service: SqlService = new SqlService(
    {
      env,
      db,
      gossip,
      reports,
      advisor,
      control,
      catalogCache,
      jobs,
      eventLog,
      counters,
      retries,
      parser: new ParseCache(),
      limits: { ...defaultSessionLimits, ...options.limits },
      virtual,
      createEvalHost,
      planStatement,
      runUtility,
      shownBy,
      columnsOf,
      ...options.parts,
    },
    { nodeId, maxSessions: options.maxSessions ?? 10_000 },
  );
  return service;
}
