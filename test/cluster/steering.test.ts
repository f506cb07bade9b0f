/** Operators steer ranges by SQL, and see what became of it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import pg from 'pg';
import { Cluster } from '../../src/index.ts';
import { allReplicated, until } from './replicated.ts';

describe('steering ranges', () => {
  let cluster: Cluster;
  let client: pg.Client;
  /** Of a node that has a store. */
  let near: pg.Client;

  beforeAll(async () => {
    // The fifth node serves SQL only: what it does not know of stores it has to ask.
    cluster = await Cluster.start({ nodes: 5, stores: (node) => (node === 4 ? 0 : 1) });
    client = new pg.Client({ connectionString: cluster.url(4) });
    near = new pg.Client({ connectionString: cluster.url(0) });
    await Promise.all([client.connect(), near.connect()]);
    await client.query('CREATE TABLE r (id int PRIMARY KEY, v text)');
    await client.query("INSERT INTO r SELECT g, repeat('x', 100) FROM generate_series(1, 1000) g");
    await client.query('CREATE TABLE s (k text PRIMARY KEY)');
    await client.query("INSERT INTO s VALUES ('a'), ('b')");
    await client.query('ALTER TABLE r SPLIT AT VALUES (500)');
    await allReplicated(cluster);
  }, 60_000);

  afterAll(async () => {
    await Promise.all([client.end(), near.end()]);
    await cluster.stop();
  });

  /** Nodes and stores got their numbers as they came: each node with its one store. */
  async function storesByNode(): Promise<Map<number, number>> {
    const stores = new Map<number, number>();
    // While replicas move, not all of them have a vote.
    const { rows } = await client.query('SELECT replicas, store_ids FROM crdb_internal.ranges');
    for (const row of rows) {
      for (const [at, node] of row.replicas.entries()) {
        stores.set(Number(node), Number(row.store_ids[at]));
      }
    }
    return stores;
  }

  interface Range {
    readonly id: number;
    /** Stores. */
    readonly leaseholder: number;
    readonly voters: readonly number[];
    readonly others: readonly number[];
  }

  /** The range from 500 on. */
  /** Between two changes: in the middle of one that the allocator makes there are more voters. */
  async function look(): Promise<Range> {
    for (;;) {
      const range = await lookNow();
      if (range.voters.length === 3) return range;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async function lookNow(): Promise<Range> {
    const stores = await storesByNode();
    const { rows } = await client.query(
      "SELECT * FROM [SHOW RANGES FROM TABLE r WITH DETAILS] WHERE start_key = '…/1/500'",
    );
    const [row] = rows;
    const voters = row.voting_replicas.map((node: string) => stores.get(Number(node)));
    return {
      id: Number(row.range_id),
      leaseholder: stores.get(Number(row.lease_holder)) ?? 0,
      voters,
      others: [...stores.values()].filter((store) => !voters.includes(store)),
    };
  }

  async function results(sql: string): Promise<string[]> {
    const { rows, fields } = await client.query(sql);
    expect(fields.map(({ name }) => name)).toEqual(['range_id', 'pretty', 'result']);
    return rows.map((row) => row.result);
  }

  async function failure(sql: string): Promise<string> {
    return client.query(sql).then(
      () => 'done',
      (error: unknown) =>
        error instanceof pg.DatabaseError ? `${error.code} ${error.message}` : '',
    );
  }

  it('a lease goes to the store that is named', async () => {
    const before = await look();
    const heir = before.voters.find((store) => store !== before.leaseholder) ?? 0;
    expect(await results(`ALTER RANGE ${before.id} RELOCATE LEASE TO ${heir}`)).toEqual(['ok']);
    expect((await look()).leaseholder).toBe(heir);
    const [stranger] = (await look()).others;
    const [refusal] = await results(`ALTER RANGE ${before.id} RELOCATE LEASE TO ${stranger}`);
    expect(refusal).toMatch(
      new RegExp(`^unable to find store ${stranger} in range r${before.id}: \\[\\(n\\d,s\\d\\):`),
    );
  });

  it('a voter moves to another store, the leaseholder too', async () => {
    const { id, leaseholder, others } = await look();
    const [to] = others;
    expect(await results(`ALTER RANGE ${id} RELOCATE FROM ${leaseholder} TO ${to}`)).toEqual([
      'ok',
    ]);
    const after = await look();
    expect(after.voters).toContain(to);
    expect(after.voters).not.toContain(leaseholder);
    const [again] = await results(`ALTER RANGE ${id} RELOCATE FROM ${leaseholder} TO ${to}`);
    expect(again).toContain(`unable to find store ${leaseholder} in range r${id}`);
    const [nowhere] = await results(`ALTER RANGE ${id} RELOCATE VOTERS FROM ${to} TO 99`);
    expect(nowhere).toContain('unable to add store 99 (there is no such store)');
  });

  it('ranges that a query finds are steered together', async () => {
    const { leaseholder } = await look();
    const outcomes = await results(
      `ALTER RANGE RELOCATE LEASE TO ${leaseholder} FOR SELECT range_id FROM [SHOW RANGES FROM TABLE r]`,
    );
    expect(outcomes).toHaveLength(2);
    expect(await failure('ALTER RANGE 4711 RELOCATE LEASE TO 1')).toBe(
      '42704 range r4711 does not exist',
    );
  });

  it('the range of a row goes to exactly the stores that are named', async () => {
    const { voters, others } = await look();
    const wanted = [voters[0], voters[1], others[0]];
    const { rows } = await client.query(
      `ALTER TABLE r EXPERIMENTAL_RELOCATE VALUES (ARRAY[${wanted.join()}], 700)`,
    );
    expect(rows.map((row) => row.pretty)).toEqual([expect.stringMatching(/\/1\/700$/)]);
    expect(new Set((await look()).voters)).toEqual(new Set(wanted));
    expect(
      await failure(
        `ALTER TABLE r EXPERIMENTAL_RELOCATE VALUES (ARRAY[${wanted[0]}, ${wanted[0]}, ${wanted[1]}], 700)`,
      ),
    ).toMatch(/^22023 .*twice/);
  });

  it('tables that share a range are counted each', async () => {
    const { rows } = await client.query(
      `WITH t AS (SHOW RANGES FROM DATABASE defaultdb WITH TABLES, DETAILS)
       SELECT table_name, (span_stats->>'live_count')::int AS live FROM t
       WHERE range_id = (SELECT range_id FROM t WHERE table_name = 's') ORDER BY table_name`,
    );
    expect(rows).toEqual([
      { table_name: 'r', live: 501 },
      { table_name: 's', live: 2 },
    ]);
  });

  it('ranges are scattered, all or some', async () => {
    const { rows } = await client.query('ALTER TABLE r SCATTER');
    expect(rows.map((row) => row.pretty)).toHaveLength(2);
    const { rows: some } = await client.query('ALTER TABLE r SCATTER FROM (600) TO (700)');
    expect(some.map((row) => row.pretty)).toEqual([expect.stringMatching(/\/1\/500$/)]);
    expect(await failure('ALTER TABLE r SCATTER FROM (7) TO (6)')).toMatch(/^22023 /);
  });

  interface Advice {
    readonly action: string;
    readonly range_id: string;
    readonly replica: string | null;
    readonly from_store: string | null;
    readonly to_store: string | null;
    readonly bytes: string | null;
    readonly reason: string | null;
  }

  it('a zone configuration is explained before it is set', async () => {
    const explain = async (settings: string): Promise<Advice[]> =>
      (await client.query(`EXPLAIN ALTER TABLE r CONFIGURE ZONE USING ${settings}`)).rows;
    const added = (rows: readonly Advice[]): Advice[] =>
      rows.filter(({ action, replica }) => action === 'add' && replica === 'voter');
    // Two ranges of the table, each gets one replica more.
    const four = added(await explain('num_replicas = 4'));
    expect(four).toHaveLength(2);
    for (const { bytes, to_store, from_store } of four) {
      expect(Number(bytes)).toBeGreaterThan(10_000);
      expect(to_store).not.toBeNull();
      expect(from_store).toBeNull();
    }
    const five = await explain('num_replicas = 5');
    expect(five.filter(({ action }) => action === 'blocked')).toHaveLength(2);
    await until(async () => (await explain('gc.ttlseconds = 700')).length === 0);
    // The table shares a range: only what is its own would move.
    const { rows: small } = await client.query<Advice>(
      'EXPLAIN ALTER TABLE s CONFIGURE ZONE USING num_replicas = 4',
    );
    expect(added(small)).toHaveLength(1);
    expect(Number(added(small)[0]?.bytes)).toBeLessThan(1_000);
    expect(await failure('EXPLAIN ALTER TABLE r CONFIGURE ZONE USING num_replicas = 2')).toMatch(
      /^22023 /,
    );
    const { rows } = await client.query(
      "SELECT * FROM [SHOW ZONE CONFIGURATIONS] WHERE target LIKE 'TABLE%'",
    );
    expect(rows).toEqual([]);
  });

  it('a decommissioning is explained before it begins', async () => {
    const notices: (string | undefined)[] = [];
    near.on('notice', ({ message }) => notices.push(message));
    const explain = async (nodes: string): Promise<Advice[]> =>
      (await near.query(`EXPLAIN ALTER NODE ${nodes} DECOMMISSION`)).rows;
    const stores = await storesByNode();
    const [one, other] = [...stores.keys()];
    const moves = await explain(`${one}`);
    expect(notices).toEqual([
      expect.stringMatching(
        /^replicas to be moved: \d+, bytes to be copied: \d+, blocked ranges: \d+$/,
      ),
    ]);
    const from = String(stores.get(one ?? 0));
    expect(moves.some(({ action, from_store }) => action === 'move' && from_store === from)).toBe(
      true,
    );
    expect(moves.every(({ to_store }) => to_store !== from)).toBe(true);
    const both = await explain(`${one}, ${other}`);
    expect(both.some(({ action, reason }) => action === 'blocked' && reason !== null)).toBe(true);
    expect(await failure('EXPLAIN ALTER NODE 9 DECOMMISSION')).toBe('42704 node 9 does not exist');
  });

  it('non-voters are shown and steered', async () => {
    await client.query('ALTER TABLE r CONFIGURE ZONE USING num_replicas = 4, num_voters = 3');
    const nonVoters = async (): Promise<number> => {
      const { id } = await look();
      const { rows } = await client.query(
        'SELECT non_voting_replicas AS nodes FROM [SHOW RANGES FROM TABLE r WITH KEYS] WHERE range_id = $1',
        [id],
      );
      return rows[0].nodes.length;
    };
    await until(async () => (await nonVoters()) === 1);
    const { id, voters } = await look();
    const [refusal] = await results(
      `ALTER RANGE ${id} RELOCATE NONVOTERS FROM ${voters[0]} TO ${voters[1]}`,
    );
    expect(refusal).toMatch(new RegExp(`^store ${voters[0]} has no non-voter in range r${id}: `));
  });

  it('a split that is given up can be merged', async () => {
    await client.query('ALTER TABLE r UNSPLIT ALL');
    const { rows } = await client.query(
      'SELECT count(split_enforced_until)::int AS n FROM [SHOW RANGES FROM TABLE r WITH KEYS]',
    );
    expect(rows).toEqual([{ n: 0 }]);
  });
});
