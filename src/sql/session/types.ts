/** What a statement runs in, and what comes out of it. */
import {
  type ClusterReports,
  type Db,
  type Gossip,
  type NodeControl,
  type PlacementAdvisor,
  type Txn,
} from '../../kv/index.ts';
import { type Env } from '../../util/index.ts';
import { type Catalog } from '../catalog/types.ts';
import { type EventLog } from '../events/index.ts';
import { type JobRegistry } from '../jobs/index.ts';
import { type EvalContext } from '../functions/registry-types.ts';
import { type Datum, type Row } from '../types/datum.ts';

/**
 * One statement of one session. `txn` is open for the whole statement; when `autocommit` is true the
 * statement is all there is in it, and the one who runs it may commit it together with its last write
 * (one round trip) by calling `txn.commit()` itself; the session sees txn.status.
 */
export interface StatementContext {
  readonly env: Env;
  readonly db: Db;
  readonly txn: Txn;
  readonly autocommit: boolean;
  readonly catalog: Catalog;
  readonly eval: EvalContext;
  readonly jobs: JobRegistry;
  readonly eventLog: EventLog;
  readonly gossip: Gossip | undefined;
  /** Of all nodes; undefined where there are none to ask. */
  readonly reports: ClusterReports | undefined;
  /** What the allocator would do; undefined where there is no cluster. */
  readonly advisor: PlacementAdvisor | undefined;
  /** Parameter values $1.. in order, of the types the statement was prepared with. */
  readonly params: readonly Datum[];
  readonly readOnly: boolean;
  /** Throws 57014 once a cancel request or timeout came; long work calls it between batches. */
  checkCanceled(): void;
  /** NOTICE, WARNING, INFO to the client. */
  notice(severity: 'NOTICE' | 'WARNING' | 'INFO', code: string, message: string): void;
  /** Bytes of memory this statement may hold; beyond it 53200. */
  readonly memoryLimitBytes: number;
  /** Of nodes and their stores. */
  readonly control: NodeControl;
  /** Transaction-scoped scratch for DDL: what has to happen when it commits. */
  readonly ddl: DdlQueue;
}

/** What a schema change leaves to do once its transaction has committed. */
export interface DdlStep {
  readonly description: string;
  readonly run: () => Promise<void>;
  /** Those behind it build on it: should it fail, they are dropped. */
  readonly isGround?: true;
  /** It is not going to run. */
  readonly drop?: () => void;
}

/** Steps of the open transaction; the session runs them in order once it has committed. */
export interface DdlQueue {
  add(step: DdlStep): void;
  readonly isEmpty: boolean;
}

export interface ResultColumn {
  readonly name: string;
  readonly typeOid: number;
  readonly typmod: number;
  /** Table oid and column number where the column comes straight from a table, else 0. */
  readonly tableOid: number;
  readonly columnNumber: number;
}

/**
 * A running statement. `next` hands over batches of rows (at most ~1,024) until undefined; then `tag`
 * is known ("SELECT 3", "INSERT 0 1"). `close` may be called at any time and is idempotent.
 */
export interface StatementResult {
  /** Empty for statements that return no rows. */
  readonly columns: readonly ResultColumn[];
  next(): Promise<readonly Row[] | undefined>;
  tag(): string;
  close(): Promise<void>;
}
