/** Real clients over real sockets, unmodified. */
import { pipeline } from 'node:stream/promises';
import { Readable, Writable } from 'node:stream';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer, type TestServer } from './server.ts';

let server: TestServer;
let address: { host: string; port: number; user: string; database: string };
beforeAll(async () => {
  server = await startServer();
  address = { host: '127.0.0.1', port: server.port, user: 'root', database: 'defaultdb' };
});
afterAll(() => server.stop());

describe('node-postgres', () => {
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client(address);
    await client.connect();
    return client;
  };

  it('is known by its address', async () => {
    const client = await connect();
    await client.query('create table seen (a int)');
    const { rows } = await client.query(
      `select inet_client_addr() as here, client_addr, client_port > 0 as has_port,
              info->>'RemoteAddress' = client_addr || ':' || client_port as is_logged
       from pg_stat_activity, system.eventlog where pid = pg_backend_pid() and "eventType" = 'create_table'`,
    );
    const here = '127.0.0.1';
    expect(rows).toEqual([{ here, client_addr: here, has_port: true, is_logged: true }]);
    await client.end();
  });

  it('finishes what it runs when the node is drained, and is told why it has to go', async () => {
    const own = await startServer();
    const client = new pg.Client({ ...address, port: own.port });
    const goodbye = new Promise((resolve) => client.on('error', resolve));
    await client.connect();
    const rows = client.query({
      text: 'select i from generate_series(1, 3000) i',
      rowMode: 'array',
    });
    while (own.service.services.counters.statements === 0) await new Promise(setImmediate);
    own.listener.drain();
    expect((await rows).rows).toHaveLength(3000);
    expect(await goodbye).toMatchObject({ severity: 'FATAL', code: '57P01' });
    await own.stop();
  });

  it('queries, parameters, types', async () => {
    const client = await connect();
    const { rows, fields } = await client.query(
      `select $1::int4 as i, $2::int8 as l, $3::text as t, $4::bool as b, $5::timestamptz as at,
              $6::jsonb as j, $7::int4[] as a, $8::bytea as y, $9::numeric as n, null as nothing`,
      [
        1,
        '9223372036854775807',
        'é',
        true,
        new Date(0),
        { a: [1] },
        [1, 2],
        Buffer.from([0, 255]),
        '1.10',
      ],
    );
    expect(rows).toEqual([
      {
        i: 1,
        l: '9223372036854775807',
        t: 'é',
        b: true,
        at: new Date(0),
        j: { a: [1] },
        a: [1, 2],
        y: Buffer.from([0, 255]),
        n: '1.10',
        nothing: null,
      },
    ]);
    expect(fields.map(({ name }) => name).join()).toBe('i,l,t,b,at,j,a,y,n,nothing');
    await client.end();
  });

  it('named statements', async () => {
    const client = await connect();
    await client.query('create table named (id int primary key, v text)');
    for (let i = 0; i < 50; i++) {
      await client.query({
        name: 'insert',
        text: 'insert into named values ($1, $2)',
        values: [i, `v${i}`],
      });
    }
    const { rows } = await client.query('select count(*)::int as n, max(v) as m from named');
    expect(rows).toEqual([{ n: 50, m: 'v9' }]);
    await client.end();
  });

  it('errors carry their fields, and the connection goes on', async () => {
    const client = await connect();
    await client.query('create table strict (id int primary key, v int not null)');
    await client.query('insert into strict values (1, 1)');
    await expect(client.query('insert into strict values ($1, $2)', [1, 1])).rejects.toMatchObject({
      code: '23505',
      table: 'strict',
      constraint: 'strict_pkey',
      detail: 'Key (id)=(1) already exists.',
    });
    await expect(client.query('selec')).rejects.toMatchObject({ code: '42601', position: '1' });
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await client.end();
  });

  it('transactions and several statements in one message', async () => {
    const client = await connect();
    await client.query(
      'create table acc (id int primary key, v int); insert into acc values (1, 10)',
    );
    await client.query('begin');
    await client.query('update acc set v = v + 1 where id = $1', [1]);
    await client.query('rollback');
    expect((await client.query('select v from acc')).rows).toEqual([{ v: 10 }]);
    await client.end();
  });

  it('cursors and streams', async () => {
    const client = await connect();
    const cursor = client.query(new Cursor('select i from generate_series(1, $1::int) i', [1000]));
    expect(await cursor.read(3)).toEqual([{ i: 1 }, { i: 2 }, { i: 3 }]);
    expect(await cursor.read(2)).toEqual([{ i: 4 }, { i: 5 }]);
    await cursor.close();
    let sum = 0;
    for await (const row of client.query(
      new QueryStream('select i from generate_series(1, $1::int) i', [2500], { batchSize: 100 }),
    )) {
      sum += (row as { i: number }).i;
    }
    expect(sum).toBe((2500 * 2501) / 2);
    await client.end();
  });

  it('COPY in both directions', async () => {
    const client = await connect();
    await client.query('create table copied (id int primary key, v text)');
    const lines = Array.from({ length: 5000 }, (_, i) => `${i}\tvalue ${i}\n`);
    await pipeline(Readable.from(lines), client.query(copyFrom('copy copied from stdin')));
    let text = '';
    await pipeline(
      client.query(copyTo('copy (select * from copied order by id) to stdout')),
      new Writable({
        write(chunk: Buffer, _encoding, done) {
          text += chunk.toString();
          done();
        },
      }),
    );
    expect(text).toBe(lines.join(''));
    await client.end();
  });

  it('a client that vanishes leaves no lock behind', async () => {
    const first = await connect();
    await first.query(
      'create table locked (id int primary key, v int); insert into locked values (1, 1)',
    );
    const second = new pg.Client(address);
    second.on('error', () => {});
    await second.connect();
    await second.query('begin');
    await second.query('update locked set v = 2 where id = 1');
    (
      second as unknown as { connection: { stream: { destroy(): void } } }
    ).connection.stream.destroy();
    await first.query('update locked set v = 3 where id = 1');
    expect((await first.query('select v from locked')).rows).toEqual([{ v: 3 }]);
    await first.end();
  });

  it('a pool', async () => {
    const pool = new pg.Pool({ ...address, max: 4 });
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => pool.query('select $1::int + 1 as n', [i])),
    );
    expect(answers.map(({ rows }) => (rows[0] as { n: number }).n)).toEqual(
      Array.from({ length: 40 }, (_, i) => i + 1),
    );
    await pool.end();
  });
});

describe('postgres.js', () => {
  it('types, arrays, fragments', async () => {
    const sql = postgres({ ...address, max: 2 });
    await sql`create table people (id int primary key, name text, tags text[])`;
    await sql`insert into people ${sql([
      { id: 1, name: 'a', tags: ['x', 'y z'] },
      { id: 2, name: null, tags: [] },
    ])}`;
    expect(await sql`select * from people where id in ${sql([1, 2])} order by id`).toEqual([
      { id: 1, name: 'a', tags: ['x', 'y z'] },
      { id: 2, name: null, tags: [] },
    ]);
    await sql.end();
  });

  it('transactions, savepoints, cursors', async () => {
    const sql = postgres({ ...address, max: 2 });
    await sql`create table t (id int primary key)`;
    await sql.begin(async (tx) => {
      await tx`insert into t values (1)`;
      await tx
        .savepoint(async (nested) => {
          await nested`insert into t values (2)`;
          throw new Error('back');
        })
        .catch(() => {});
      await tx`insert into t values (3)`;
    });
    expect((await sql`select id from t order by id`).map(({ id }) => id as number)).toEqual([1, 3]);
    const seen: number[] = [];
    await sql`select i from generate_series(1, 250) i`.cursor(100, (rows) => {
      seen.push(rows.length);
    });
    expect(seen).toEqual([100, 100, 50]);
    await sql.end();
  });

  it('a cancelled query', async () => {
    const sql = postgres({ ...address, max: 2 });
    const query = sql`select count(*) from generate_series(1, 50000000) i`.execute();
    const failed = expect(query).rejects.toMatchObject({ code: '57014' });
    await sql`select 1`;
    query.cancel();
    await failed;
    await sql.end();
  });
});
