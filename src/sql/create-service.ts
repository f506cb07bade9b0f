/** Puts the parts of the SQL layer together for one node. */
import { type Db, type Gossip, type NodeId, type Transport } from '../kv/index.ts';
import { type Env } from '../util/index.ts';
import { bootstrapCatalog, CatalogCache, type VirtualSchemas } from './catalog/index.ts';
import { type RunUtility } from './ddl/types.ts';
import { type EvalHost } from './functions/registry-types.ts';
import { loadParser, ParseCache } from './parse/index.ts';
import { type PlanStatement } from './plan/types.ts';
import { SqlService } from './session/service.ts';
import {
  defaultSessionLimits,
  type EvalHostInputs,
  type SessionLimits,
} from './session/services.ts';

export interface SqlParts {
  readonly planStatement: PlanStatement;
  readonly runUtility: RunUtility;
  readonly virtual: VirtualSchemas;
  readonly createEvalHost: (inputs: EvalHostInputs) => EvalHost;
}

export interface SqlServiceOptions {
  readonly env: Env;
  readonly db: Db;
  readonly nodeId: NodeId;
  /** Absent: this node is alone. */
  readonly gossip?: Gossip | undefined;
  readonly transport?: Transport | undefined;
  readonly limits?: Partial<SessionLimits>;
  readonly maxSessions?: number;
  /** For tests: other parts than the real ones. */
  readonly parts: SqlParts;
}

/** Loads the parser, makes the catalog if the cluster has none yet, and begins to follow it. */
export async function createSqlService(options: SqlServiceOptions): Promise<SqlService> {
  const { env, db, nodeId, gossip, transport, parts } = options;
  await loadParser();
  await bootstrapCatalog(db);
  const catalogCache = new CatalogCache({ env, db, nodeId, gossip, transport });
  await catalogCache.start();
  return new SqlService(
    {
      env,
      db,
      gossip,
      catalogCache,
      parser: new ParseCache(),
      limits: { ...defaultSessionLimits, ...options.limits },
      ...parts,
    },
    { nodeId, maxSessions: options.maxSessions ?? 10_000 },
  );
}
