/** `skein node status`: the nodes of a cluster, as a table. */
import { runStatement, withClient } from './sql-shell.ts';

/** The leader of a range is its leaseholder. Ranges in trouble are counted at every node that has a replica. */
const counts = {
  columns: `, coalesce(l.leases, 0) AS replicas_leaders, coalesce(l.leases, 0) AS replicas_leaseholders,
    m.replicas AS ranges, coalesce(t.unavailable, 0) AS ranges_unavailable,
    coalesce(t.underreplicated, 0) AS ranges_underreplicated`,
  from: `
    LEFT JOIN (SELECT lease_holder AS node_id, count(*) AS leases FROM skein_internal.ranges GROUP BY lease_holder) AS l
      ON l.node_id = n.node_id
    LEFT JOIN (
      SELECT r.node_id, count(*) FILTER (WHERE NOT c.is_available) AS unavailable,
        count(*) FILTER (WHERE c.is_under_replicated) AS underreplicated
      FROM (SELECT range_id, unnest(replicas) AS node_id FROM skein_internal.ranges_no_leases) AS r
        JOIN skein_internal.replication_conformance AS c ON c.range_id = r.range_id
      GROUP BY r.node_id) AS t
      ON t.node_id = n.node_id`,
};

/** Of the replicas of the node, as their leaseholders say. */
const stats = {
  columns: ['live_bytes', 'key_bytes', 'value_bytes', 'intent_bytes', 'system_bytes']
    .map((name) => `, coalesce(s.${name}, 0) AS ${name}`)
    .join(''),
  from: `
    LEFT JOIN (
      SELECT r.node_id, sum(live_bytes) AS live_bytes, sum(key_bytes) AS key_bytes, sum(value_bytes) AS value_bytes,
        sum(intent_bytes) AS intent_bytes, sum(system_bytes) AS system_bytes
      FROM (SELECT *, unnest(replicas) AS node_id FROM skein_internal.ranges) AS r
      GROUP BY r.node_id) AS s
      ON s.node_id = n.node_id`,
};

const memberships = {
  columns: ', m.replicas AS gossiped_replicas, m.is_decommissioning, m.membership, m.is_draining',
  from: '',
};

/** One row per node; which columns follow the first ones is up to the flags. */
export function nodeStatusQuery(flags: Record<string, unknown>): string {
  const parts = [
    ...(flags['ranges'] === true || flags['all'] === true ? [counts] : []),
    ...(flags['stats'] === true || flags['all'] === true ? [stats] : []),
    ...(flags['decommission'] === true || flags['all'] === true ? [memberships] : []),
  ];
  return `
    SELECT n.node_id AS id, n.address, n.sql_address, n.build, n.started_at, now() AS updated_at, n.locality,
      m.is_live AND NOT m.is_draining AND m.clock_problem IS NULL AS is_available, m.is_live, m.clock_problem${parts.map(({ columns }) => columns).join('')}
    FROM skein_internal.nodes AS n
    JOIN skein_internal.node_membership AS m ON m.node_id = n.node_id${parts.map(({ from }) => from).join('')}
    ORDER BY n.node_id`;
}

export function runNodeStatus(flags: Record<string, unknown>): Promise<void> {
  const query = nodeStatusQuery(flags);
  return withClient(flags, (client) => runStatement(client, query, { rethrow: true }));
}
