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

const memberships = {
  columns: ', m.replicas AS gossiped_replicas, m.is_decommissioning, m.membership, m.is_draining',
  from: '',
};

export function runNodeStatus(flags: Record<string, unknown>): Promise<void> {
  const parts = [
    ...(flags['ranges'] === true || flags['all'] === true ? [counts] : []),
    ...(flags['decommission'] === true || flags['all'] === true ? [memberships] : []),
  ];
  const query = `
    SELECT n.node_id AS id, n.address, n.sql_address, n.build, n.started_at, now() AS updated_at, n.locality,
      m.is_live AND NOT m.is_draining AS is_available, m.is_live${parts.map(({ columns }) => columns).join('')}
    FROM skein_internal.nodes AS n
    JOIN skein_internal.node_membership AS m ON m.node_id = n.node_id${parts.map(({ from }) => from).join('')}
    ORDER BY n.node_id`;
  return withClient(flags, (client) => runStatement(client, query, { rethrow: true }));
}
