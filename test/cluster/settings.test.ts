/** SET CLUSTER SETTING returns when every node of the cluster has the new value. */
import { expect, it } from 'vitest';
import pg from 'pg';
import { Cluster } from '../../src/index.ts';

it('a setting is on all nodes when the statement returns, whichever node it was given to', async () => {
  const cluster = await Cluster.start({ nodes: 3 });
  try {
    const clients = [0, 1, 2].map((node) => new pg.Client({ connectionString: cluster.url(node) }));
    await Promise.all(clients.map((client) => client.connect()));
    const name = 'kv.snapshot_rebalance.max_rate';
    for (let i = 0; i < 9; i++) {
      await clients[i % 3]?.query(`SET CLUSTER SETTING ${name} = '${i + 1} MiB'`);
      const seen = clients.map(async (client) => {
        const { rows } = await client.query<Record<string, string>>(`SHOW CLUSTER SETTING ${name}`);
        return rows[0]?.[name];
      });
      expect(await Promise.all(seen)).toEqual(Array(3).fill(`${i + 1} MiB`));
    }
    const refused = await clients[0]
      ?.query('BEGIN')
      .then(() =>
        clients[0]?.query(`SET CLUSTER SETTING ${name} = '1 MiB'`).catch((error: unknown) => error),
      );
    expect(refused).toMatchObject({ code: '25001' });
    await Promise.all(clients.map((client) => client.end()));
  } finally {
    await cluster.stop();
  }
}, 60_000);
