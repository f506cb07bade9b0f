/** Real programs and drivers against a cluster of real processes. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import pg from 'pg';
import postgres from 'postgres';
import { startTestCluster, type TestCluster } from './cluster.ts';
import { isInstalled, postgresProgram, psql, psqlArguments, run } from './programs.ts';

let target: TestCluster;
let ports: readonly number[];

beforeAll(async () => {
  target = await startTestCluster();
  ports = target.ports;
}, 120_000);

afterAll(async () => {
  await target.stop();
}, 60_000);

const port = (node: number): number => ports[node % ports.length] ?? 0;

describe.skipIf(!isInstalled('/usr/bin/psql'))('psql', () => {
  it('runs statements on every node', async () => {
    await psql(port(0), 'CREATE TABLE hello (id int PRIMARY KEY, what text)');
    await psql(port(1), "INSERT INTO hello VALUES (1, 'world')");
    expect(await psql(port(2), 'SELECT what FROM hello WHERE id = 1')).toBe('world');
  });

  it('backslash commands work', async () => {
    await psql(
      port(0),
      `CREATE TABLE parent (id int8 PRIMARY KEY, name varchar(20) NOT NULL DEFAULT 'x');
       CREATE TABLE child (id serial PRIMARY KEY, parent_id int8 REFERENCES parent, amount numeric(10,2) CHECK (amount > 0));
       CREATE INDEX child_parent ON child (parent_id DESC) INCLUDE (amount);
       CREATE VIEW totals AS SELECT parent_id, sum(amount) AS total FROM child GROUP BY parent_id`,
    );
    const commands: Record<string, readonly string[]> = {
      '\\d': ['child', 'child_id_seq', 'totals', 'parent'],
      '\\d child': [
        'parent_id',
        'numeric(10,2)',
        'nextval',
        'child_parent',
        'FOREIGN KEY',
        'CHECK',
      ],
      '\\d+ parent': ['character varying(20)', "'x'::character varying", 'parent_pkey'],
      '\\d+ totals': ['View definition', 'sum('],
      '\\dt': ['public', 'parent', 'table'],
      '\\di': ['child_parent', 'child_pkey'],
      '\\dn': ['public'],
      '\\du': ['root', 'Superuser'],
      '\\l': ['defaultdb', 'postgres', 'UTF8'],
      '\\df now': ['now', 'timestamp with time zone'],
    };
    for (const [command, wanted] of Object.entries(commands)) {
      const { stdout, stderr, status } = await run('psql', [
        ...psqlArguments(port(1)),
        '-c',
        command,
      ]);
      expect(status, `${command}: ${stderr}`).toBe(0);
      for (const part of wanted) expect(stdout, command).toContain(part);
    }
  });

  it('COPY in and out', async () => {
    await psql(port(0), 'CREATE TABLE copied (id int8 PRIMARY KEY, label text, at timestamptz)');
    const rows = Array.from({ length: 5000 }, (_, i) => `${i}\tlabel ${i}\t2026-01-01 00:00:00+00`);
    rows[7] = '7\t\\N\t\\N';
    const loaded = await run('psql', [...psqlArguments(port(1)), '-c', 'COPY copied FROM STDIN'], {
      input: `${rows.join('\n')}\n`,
    });
    expect(loaded.stdout.trim(), loaded.stderr).toBe('COPY 5000');
    const csv = await run('psql', [
      ...psqlArguments(port(2)),
      '-q',
      '-c',
      'COPY (SELECT id, label FROM copied WHERE id < 9 AND id > 6 ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER)',
    ]);
    expect(csv.stdout).toBe('id,label\n7,\n8,label 8\n');
  });
});

const pgbench = postgresProgram('pgbench');

describe.skipIf(pgbench === undefined)('pgbench', () => {
  it('initialises and runs TPC-B without a failed transaction', async () => {
    const common = ['-h', '127.0.0.1', '-U', 'root'];
    await psql(port(0), 'CREATE DATABASE tpcb');
    const made = await run(
      pgbench ?? '',
      ['-i', '-q', '-s', '1', ...common, '-p', String(port(0)), 'tpcb'],
      { timeoutMs: 300_000 },
    );
    expect(made.status, made.stderr).toBe(0);
    for (const mode of ['simple', 'extended', 'prepared']) {
      const ran = await run(pgbench ?? '', [
        '-n',
        '-M',
        mode,
        '-c',
        '4',
        '-t',
        '25',
        '--max-tries=50',
        ...common,
        '-p',
        String(port(1)),
        'tpcb',
      ]);
      expect(ran.status, ran.stderr).toBe(0);
      expect(ran.stdout).toContain('number of failed transactions: 0 (');
    }
    // What TPC-B keeps equal.
    const sums = await psql(
      port(2),
      `SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(bbalance) FROM pgbench_branches)
          AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(delta) FROM pgbench_history)
          AND (SELECT count(*) FROM pgbench_history) = 300`,
      'tpcb',
    );
    expect(sums).toBe('t');
  }, 400_000);
});

describe.skipIf(!isInstalled('/usr/bin/sysbench'))('sysbench', () => {
  const sysbench = (script: string, node: number, ...rest: string[]): ReturnType<typeof run> =>
    run(
      'sysbench',
      [
        script,
        '--db-driver=pgsql',
        '--pgsql-host=127.0.0.1',
        `--pgsql-port=${port(node)}`,
        '--pgsql-user=root',
        '--pgsql-db=sb',
        '--tables=2',
        '--table-size=1000',
        ...rest,
      ],
      { timeoutMs: 200_000 },
    );

  it('prepares, runs every oltp script and cleans up', async () => {
    await psql(port(0), 'CREATE DATABASE sb');
    const prepared = await sysbench('oltp_read_write', 0, 'prepare');
    expect(prepared.status, prepared.stdout + prepared.stderr).toBe(0);
    for (const [i, script] of [
      'oltp_point_select',
      'oltp_read_only',
      'oltp_read_write',
      'oltp_write_only',
      'oltp_update_index',
      'oltp_insert',
      'oltp_delete',
    ].entries()) {
      const ran = await sysbench(script, i, '--threads=4', '--events=60', '--time=60', 'run');
      expect(ran.status, `${script}: ${ran.stdout}${ran.stderr}`).toBe(0);
      expect(ran.stdout, script).toMatch(/total number of events:\s+6\d/);
    }
    const cleaned = await sysbench('oltp_read_write', 1, 'cleanup');
    expect(cleaned.status, cleaned.stdout + cleaned.stderr).toBe(0);
  }, 400_000);
});

describe('node-postgres', () => {
  it('keeps types, parameters, transactions and errors', async () => {
    const client = new pg.Client({ connectionString: target.cluster.url(0) });
    await client.connect();
    try {
      await client.query(
        'CREATE TABLE t_pg (id int8 PRIMARY KEY, n numeric, j jsonb, b bytea, ts timestamptz, a int4[])',
      );
      const big = '9223372036854775807';
      const at = new Date('2026-02-03T04:05:06.789Z');
      await client.query('INSERT INTO t_pg VALUES ($1, $2, $3, $4, $5, $6)', [
        big,
        '12345678901234567890.123456789',
        { x: [1, null, 'ä'] },
        Buffer.from([0, 1, 255]),
        at,
        [1, 2, 3],
      ]);
      const { rows } = await client.query('SELECT * FROM t_pg WHERE id = $1', [big]);
      expect(rows).toEqual([
        {
          id: big,
          n: '12345678901234567890.123456789',
          j: { x: [1, null, 'ä'] },
          b: Buffer.from([0, 1, 255]),
          ts: at,
          a: [1, 2, 3],
        },
      ]);
      await expect(client.query('INSERT INTO t_pg (id) VALUES ($1)', [big])).rejects.toMatchObject({
        code: '23505',
        detail: `Key (id)=(${big}) already exists.`,
      });
      await client.query('BEGIN');
      await client.query('DELETE FROM t_pg');
      await expect(client.query('SELEC 1')).rejects.toMatchObject({ code: '42601' });
      await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: '25P02' });
      await client.query('ROLLBACK');
      expect((await client.query('SELECT count(*)::int AS n FROM t_pg')).rows).toEqual([{ n: 1 }]);
      const named = { name: 'p', text: 'SELECT $1::int + 1 AS v', values: [41] };
      expect((await client.query(named)).rows).toEqual([{ v: 42 }]);
      expect((await client.query(named)).rows).toEqual([{ v: 42 }]);
    } finally {
      await client.end();
    }
  });

  it('cancels a statement from another connection', async () => {
    const client = new pg.Client({ connectionString: target.cluster.url(1) });
    const other = new pg.Client({ connectionString: target.cluster.url(1) });
    await client.connect();
    try {
      const waiting = client
        .query('SELECT count(*) FROM generate_series(1, 100000000) g')
        .catch((error: unknown) => error);
      // pg's own cancel: a new connection with the key of the first.
      (other as unknown as { cancel(c: pg.Client, q: unknown): void }).cancel(
        client,
        (client as unknown as { _activeQuery?: unknown; activeQuery?: unknown })._activeQuery ??
          (client as unknown as { activeQuery?: unknown }).activeQuery,
      );
      expect(await waiting).toMatchObject({ code: '57014' });
      expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    } finally {
      await client.end();
    }
  });
});

describe('postgres.js', () => {
  it('pipelines, inserts many rows and runs transactions', async () => {
    const sql = postgres(target.cluster.url(2), { max: 2, onnotice: () => {} });
    try {
      await sql`CREATE TABLE t_js (id int PRIMARY KEY, name text)`;
      const rows = Array.from({ length: 300 }, (_, id) => ({ id, name: `n${id}` }));
      await sql`INSERT INTO t_js ${sql(rows)}`;
      const got = await Promise.all(
        [1, 2, 3].map((id) => sql`SELECT name FROM t_js WHERE id = ${id}`),
      );
      expect(got.map((result) => result[0]?.['name'] as unknown)).toEqual(['n1', 'n2', 'n3']);
      await sql.begin(async (txn) => {
        await txn`UPDATE t_js SET name = 'changed' WHERE id < 10`;
        await txn`DELETE FROM t_js WHERE id = 0`;
      });
      expect(await sql`SELECT count(*)::int AS n FROM t_js WHERE name = 'changed'`).toEqual([
        { n: 9 },
      ]);
    } finally {
      await sql.end();
    }
  });
});

const python = '/usr/bin/python3';

describe.skipIf(!isInstalled('/usr/lib/python3/dist-packages/psycopg2'))('psycopg2', () => {
  it('connects, adapts types and rolls back', async () => {
    const program = `
import psycopg2, datetime, decimal, json
c = psycopg2.connect(host='127.0.0.1', port=${port(0)}, user='root', dbname='defaultdb')
cur = c.cursor()
cur.execute('CREATE TABLE t_py (id bigint primary key, d date, n numeric(12,4), j json)')
cur.execute('INSERT INTO t_py VALUES (%s, %s, %s, %s)', (2**63-1, datetime.date(2026,1,2), decimal.Decimal('1.5000'), json.dumps({'a': 1})))
c.commit()
cur.execute('SELECT * FROM t_py')
row = cur.fetchone()
assert row == (2**63-1, datetime.date(2026,1,2), decimal.Decimal('1.5000'), {'a': 1}), row
try:
    cur.execute('SELECT * FROM missing')
except psycopg2.Error as e:
    assert e.pgcode == '42P01', e.pgcode
c.rollback()
cur.execute('SELECT count(*) FROM t_py')
assert cur.fetchone()[0] == 1
named = c.cursor('cursor1')
named.itersize = 10
named.execute('SELECT g FROM generate_series(1, 95) g')
assert sum(r[0] for r in named) == 4560
print('ok')
`;
    const { stdout, stderr } = await run(python, ['-c', program]);
    expect(stdout.trim(), stderr).toBe('ok');
  });
});
