/** pg_cancel_backend and pg_terminate_backend find a session on whatever node it is. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import pg from 'pg';
import { Cluster } from '../../src/index.ts';
import { until } from './replicated.ts';

let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.start({ nodes: 3 });
}, 60_000);

afterAll(() => cluster.stop(), 60_000);

it('is stopped, sent away, or told to be nobody', async () => {
  const [one, look, other] = await Promise.all(
    [0, 0, 1].map(async (node) => {
      const client = new pg.Client({ connectionString: cluster.url(node) });
      await client.connect();
      return client;
    }),
  );
  if (one === undefined || look === undefined || other === undefined) return expect.fail();
  const { rows } = await one.query<{ pid: number }>('select pg_backend_pid() as pid');
  const pid = rows[0]?.pid;
  const runs = async (): Promise<boolean> => {
    const text = "select from pg_stat_activity where pid = $1 and state = 'active'";
    return (await look.query(text, [pid])).rowCount === 1;
  };
  const send = async (name: string, to: number | undefined): Promise<unknown> =>
    (await other.query({ text: `select ${name}($1)`, values: [to], rowMode: 'array' })).rows;

  const sleeping = expect(one.query('select pg_sleep(600)')).rejects.toMatchObject({
    code: '57014',
  });
  await until(runs);
  expect(await send('pg_cancel_backend', pid)).toEqual([[true]]);
  await sleeping;

  const goodbye = new Promise((resolve) => one.on('error', resolve));
  expect(await send('pg_terminate_backend', pid)).toEqual([[true]]);
  expect(await goodbye).toMatchObject({ severity: 'FATAL', code: '57P01' });

  const notices: unknown[] = [];
  other.on('notice', ({ message }) => notices.push(message));
  // Of a node that is there, and of one that never was.
  const nobodies = [(pid ?? 0) + 1000, 77 << 19];
  for (const nobody of nobodies) {
    expect(await send('pg_terminate_backend', nobody)).toEqual([[false]]);
  }
  expect(notices).toEqual(nobodies.map((n) => `PID ${n} is not a PostgreSQL backend process`));
  await Promise.all([look.end(), other.end()]);
}, 60_000);
