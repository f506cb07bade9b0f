/** Who is who at the moment. */
import { must } from '../../../src/util/index.ts';
import { type Target } from './fault.ts';

export interface Range {
  readonly rangeId: string;
  /** Nodes, and the store of each, in the same order. */
  readonly nodes: readonly number[];
  readonly stores: readonly number[];
  readonly leaseholder: number;
}

/** The id of a node in the cluster: it changes when the node joins anew. */
export async function nodeIdOf(target: Target, node: number): Promise<number> {
  const port = new URL(target.cluster.url(node)).port;
  const rows = await target.sql<{ node_id: string }>(
    'SELECT max(node_id) AS node_id FROM skein_internal.nodes WHERE sql_address LIKE $1',
    [`%:${port}`],
  );
  return Number(must(rows[0]).node_id);
}

/** The ranges of a table of the workload, `place` in [0, 1) chooses which. */
export async function rangesOf(target: Target, place: number): Promise<Range[]> {
  const nodeIds = new Map<number, number>();
  for (const node of target.cluster.up) nodeIds.set(await nodeIdOf(target, node), node);
  const rows = await target.sql<{
    range_id: string;
    lease_holder: string | null;
    replicas: string[];
    store_ids: string[];
  }>(
    `SELECT r.range_id, r.lease_holder, r.replicas, r.store_ids FROM skein_internal.ranges AS r
      JOIN [SHOW RANGES FROM TABLE ${pickAt(target.tables, place)}] AS t USING (range_id)`,
  );
  return rows.flatMap((row) => {
    const leaseholder = nodeIds.get(Number(row.lease_holder));
    if (leaseholder === undefined) return [];
    const nodes = row.replicas.map((id) => nodeIds.get(Number(id)) ?? -1);
    return [{ rangeId: row.range_id, nodes, stores: row.store_ids.map(Number), leaseholder }];
  });
}

/** The node that holds the lease of one of the workload's ranges. */
export async function leaseholderAt(target: Target, place: number): Promise<number> {
  return pickAt(await rangesOf(target, place), place).leaseholder;
}

export function pickAt<T>(items: readonly T[], place: number): T {
  return must(items[Math.floor(place * items.length)], 'nothing to choose from');
}
