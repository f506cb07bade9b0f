/** A node whose clock is wrong, as its clients and operators see it. */
import { expect, it } from 'vitest';
import pg from 'pg';
import { nodeStatusQuery } from '../../src/cli/node-status.ts';
import { Cluster } from '../../src/index.ts';
import { must } from '../../src/util/index.ts';

const wrong = 1;
/** It has no store. */
const gateway = 3;
const refusal = {
  code: '57P03',
  message: expect.stringMatching(
    /^the node does not serve: the clock of this machine differs by up to (?:79|80)\d ms from those of (\d) of \1 other nodes/,
  ) as string,
};

interface Status {
  readonly id: string;
  readonly sql_address: string;
}
const well = { is_available: true, is_live: true, clock_problem: null };
const unwell = {
  is_available: false,
  is_live: true,
  clock_problem: expect.stringMatching(/^the clock of this machine differs by up to/) as string,
};

it('refuses statements and connections, says so, and comes back by itself', async () => {
  const cluster = await Cluster.start({
    nodes: 4,
    stores: (node) => (node === gateway ? 0 : 1),
  });
  const connect = async (node: number): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: cluster.url(node) });
    await client.connect();
    return client;
  };
  try {
    const [sound, idle, busy] = await Promise.all([connect(0), connect(wrong), connect(wrong)]);
    await sound.query('CREATE TABLE t (i int PRIMARY KEY)');
    await cluster.clock.advance(2_000);
    await busy.query('BEGIN');
    await busy.query('INSERT INTO t VALUES (1)');

    await cluster.clock.advance(800, wrong);
    await expect(idle.query('SELECT 1')).rejects.toMatchObject(refusal);
    await expect(connect(wrong)).rejects.toMatchObject(refusal);
    // What has begun may end: it keeps the timestamps of a clock that was right.
    await busy.query('COMMIT');

    await cluster.clock.advance(2_000);
    expect((await sound.query('SELECT i FROM t')).rows).toEqual([{ i: 1 }]);
    const status = async (node: number): Promise<Status> => {
      const { rows } = await sound.query<Status>(nodeStatusQuery({}));
      const { port } = new URL(cluster.url(node));
      return must(
        rows.find((row) => row.sql_address.endsWith(`:${port}`)),
        `node ${node}`,
      );
    };
    const { id, ...told } = await status(wrong);
    expect(told).toMatchObject(unwell);
    expect(await status(0)).toMatchObject(well);
    const leases = await sound.query(
      `SELECT count(*)::int AS n FROM skein_internal.ranges WHERE lease_holder = ${id}`,
    );
    expect(leases.rows).toEqual([{ n: 0 }]);

    await cluster.clock.advance(-800, wrong);
    await cluster.clock.advance(5_000);
    expect((await idle.query('SELECT i FROM t')).rows).toEqual([{ i: 1 }]);
    expect(await status(wrong)).toMatchObject(well);

    const front = await connect(gateway);
    await cluster.clock.advance(-800, gateway);
    await expect(front.query('SELECT 1')).rejects.toMatchObject(refusal);
    await cluster.clock.advance(1_000);
    expect(await status(gateway)).toMatchObject(unwell);
    await cluster.clock.advance(800, gateway);
    await cluster.clock.advance(5_000);
    expect((await front.query('SELECT i FROM t')).rows).toEqual([{ i: 1 }]);
    await Promise.all([sound, idle, busy, front].map((client) => client.end()));
  } finally {
    await cluster.stop();
  }
}, 60_000);
