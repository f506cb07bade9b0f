import pg from 'pg';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startServer, type TestServer } from './server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.stop());

it('node-postgres', async () => {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: server.port,
    user: 'root',
    database: 'defaultdb',
  });
  await client.connect();
  expect((await client.query('select 1 as a, $1::text as b', ['x'])).rows).toEqual([
    { a: 1, b: 'x' },
  ]);
  expect((await client.query('select i from generate_series(1, 5000) i')).rows).toHaveLength(5000);
  await expect(client.query('select nope(1)')).rejects.toMatchObject({ code: '42883' });
  expect(await client.query('begin; select 1; commit; show search_path')).toHaveLength(4);
  await client.end();
});

it('postgres.js', async () => {
  const sql = postgres({
    host: '127.0.0.1',
    port: server.port,
    user: 'root',
    database: 'defaultdb',
    max: 3,
  });
  expect(await sql`select ${7}::int4 as a`).toEqual([{ a: 7 }]);
  await sql.end();
});
