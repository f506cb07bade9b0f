/** system.replication_*: what a cluster says of its ranges when a node dies and comes back, and when a constraint cannot be met. */
import { expect, it } from 'vitest';
import pg from 'pg';
import { Cluster } from '../../src/index.ts';
import { until } from './replicated.ts';

interface Stats {
  readonly zone: string;
  readonly total: number;
  readonly unavailable: number;
  readonly under: number;
}

it('replication reports follow a dead node and a violated constraint until both are mended', async () => {
  const cluster = await Cluster.start({ nodes: 3 });
  const clients: pg.Client[] = [];
  const connect = async (node: number): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: cluster.url(node) });
    // Its node may be killed.
    client.on('error', () => undefined);
    clients.push(client);
    await client.connect();
    return client;
  };
  try {
    const first = await connect(0);
    await first.query('CREATE TABLE t (i int PRIMARY KEY)');
    await first.query('CREATE TABLE lone (i int PRIMARY KEY)');
    await first.query('CREATE TABLE rest (i int PRIMARY KEY)');
    await first.query('ALTER TABLE lone CONFIGURE ZONE USING num_replicas = 1');
    await first.query('ALTER TABLE t CONFIGURE ZONE USING num_replicas = 3');
    const holder = async (): Promise<number | undefined> => {
      const { rows } = await first.query<{ lease_holder: string; replicas: string[] }>(
        'SELECT lease_holder, replicas FROM [SHOW RANGES FROM TABLE lone WITH DETAILS]',
      );
      const [range] = rows;
      return rows.length === 1 && range?.replicas.length === 1
        ? Number(range.lease_holder) - 1
        : undefined;
    };
    await until(async () => {
      await cluster.clock.advance(1000);
      return (await holder()) !== undefined;
    });
    const victim = (await holder()) ?? 0;
    const client = await connect((victim + 1) % 3);

    const stats = async (): Promise<Stats[]> =>
      (
        await client.query<Stats>(
          `SELECT coalesce(z.table_name, z.range_name) AS zone, total_ranges::int AS total,
             unavailable_ranges::int AS unavailable, under_replicated_ranges::int AS under
           FROM system.replication_stats AS s
           JOIN skein_internal.zones AS z ON z.zone_id = s.zone_id AND z.subzone_id = s.subzone_id
           ORDER BY zone`,
        )
      ).rows;
    const of = async (zone: string): Promise<Stats | undefined> =>
      (await stats()).find((each) => each.zone === zone);
    const violations = async (): Promise<unknown[]> =>
      (
        await client.query<{ since: Date | null }>(
          `SELECT type, config, violation_start AS since, violating_ranges::int AS ranges
           FROM system.replication_constraint_stats`,
        )
      ).rows;
    const critical = async (): Promise<string[]> =>
      (
        await client.query<{ locality: string }>(
          'SELECT DISTINCT locality FROM system.replication_critical_localities ORDER BY 1',
        )
      ).rows.map(({ locality }) => locality);
    /** Reports are made until one says so. */
    const reported = (isSo: () => Promise<boolean>): Promise<void> =>
      until(async () => {
        await cluster.clock.advance(20_000);
        return isSo();
      });

    await reported(async () => (await of('default'))?.under === 0 && (await of('t'))?.under === 0);
    expect((await stats()).map(({ zone }) => zone)).toEqual([
      'default',
      'lone',
      'meta',
      'system',
      't',
    ]);
    expect(await of('lone')).toEqual({ zone: 'lone', total: 1, unavailable: 0, under: 0 });
    expect(await violations()).toEqual([]);

    // No fourth node can take what the third one has to give up.
    await client.query(`ALTER TABLE t CONFIGURE ZONE USING constraints = '[-zone=c]'`);
    await reported(async () => (await violations()).length > 0);
    const before = await violations();
    expect(before).toEqual([
      { type: 'constraint', config: '-zone=c', since: expect.any(Date), ranges: 1 },
    ]);

    await cluster.crash(victim);
    await reported(async () => (await of('t'))?.under === 1);
    expect(await of('lone')).toEqual({ zone: 'lone', total: 1, unavailable: 1, under: 1 });
    expect(await of('t')).toEqual({ zone: 't', total: 1, unavailable: 0, under: 1 });
    const left = ['a', 'b', 'c'].filter((_, at) => at !== victim);
    expect(await critical()).toEqual([
      'region=local',
      ...left.map((zone) => `region=local,zone=${zone}`),
    ]);
    expect(await violations()).toEqual(before);

    await cluster.restart(victim);
    await client.query(`ALTER TABLE t CONFIGURE ZONE USING constraints = '[-zone=d]'`);
    await reported(async () => (await of('t'))?.under === 0 && (await of('lone'))?.under === 0);
    expect(await of('lone')).toEqual({ zone: 'lone', total: 1, unavailable: 0, under: 0 });
    expect(await violations()).toEqual([
      { type: 'constraint', config: '-zone=d', since: null, ranges: 0 },
    ]);
    const { rows: meta } = await client.query<{ id: string; generated: Date }>(
      'SELECT id, generated FROM system.reports_meta ORDER BY id',
    );
    expect(meta.map(({ id }) => id)).toEqual(['1', '2', '3']);
    expect(meta[0]?.generated).toEqual(meta[2]?.generated);
  } finally {
    for (const client of clients) await client.end().catch(() => undefined);
    await cluster.stop();
  }
}, 60_000);
