/**
 * What a simulated run is loaded with: operations of concurrent clients on the cluster's transactional interface,
 * and what must hold of all that they saw. `clients.ts` runs them; `workloads/` holds them.
 */
import { type Db } from '../kv/index.ts';
import { type SimCluster } from './cluster.ts';
import { type SeededRandom } from './random.ts';
import { type World } from './world.ts';

export interface WorkloadContext {
  readonly world: World;
  /** Clients are numbered from 0; each has one operation under way at most. */
  readonly clients: number;
  /** What is older than this is closed, and any replica may be asked for it, if all goes well. */
  readonly closedAfterMs: number;
  /** Notes what may not be: the run has failed. */
  readonly violation: (text: string) => void;
}

export interface Operation {
  readonly kind: 'read' | 'write';
  /**
   * Resolves when the operation succeeded; throws KvFailure ('ambiguous-result': it may have happened). When the
   * node dies under it, it never settles: then it may have happened, too, and may yet.
   */
  run(db: Db): Promise<void>;
}

export interface Workload {
  /** Its operations do not use the client's connection, and settle whatever dies. */
  readonly hasOwnConnections?: boolean;
  /** Keys between the data, where ranges may be split. */
  splitKeys(): Buffer[];
  /** Writes the initial data, before the clients start. Throws KvFailure. */
  load(db: Db): Promise<void>;
  /** What a client does next. */
  next(client: number, random: SeededRandom): Operation;
  /** All is healed and no client runs: reads everything through one node and checks it. Throws KvFailure. */
  checkNode(db: Db, where: string): Promise<void>;
  /** Once, after every node was checked: the history as a whole, against what the stores hold. */
  conclude?(cluster: SimCluster): Promise<void>;
}

/** A workload from outside. */
export interface GivenWorkload {
  readonly name: string;
  /** Default: drawn from the seed. */
  readonly clients: number | undefined;
  /** The nodes take SQL. */
  readonly sql: boolean;
  make(context: WorkloadContext, random: SeededRandom, cluster: SimCluster): Workload;
}
