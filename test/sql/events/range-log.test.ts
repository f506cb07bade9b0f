/** system.rangelog: what is told gets there, behind; old rows go; what cannot be written in time is dropped. */
import { expect, it } from 'vitest';
import { asNodeId, asRangeId, asStoreId, ClusterSettings } from '../../../src/kv/index.ts';
import { RangeLog } from '../../../src/sql/index.ts';
import { startCluster, TestSession } from '../ddl/node.ts';

const event = { kind: 'add_voter', rangeId: asRangeId(7), otherRangeId: undefined } as const;

async function start(settings: ReadonlyMap<string, string>) {
  const cluster = await startCluster();
  const clusterSettings = new ClusterSettings();
  clusterSettings.update(settings);
  const { env, db } = cluster;
  const log = new RangeLog({ env, db, nodeId: asNodeId(1), settings: clusterSettings });
  log.start();
  const session = new TestSession(cluster);
  const rows = (): Promise<string> =>
    session.run(
      'SELECT "rangeID", "storeID", "eventType", "otherRangeID", info FROM system.rangelog',
    );
  return { env, log, rows };
}

it('events become rows, and old rows go', async () => {
  const { env, log, rows } = await start(new Map([['server.rangelog.ttl', '7200000']]));
  log.note({ ...event, info: { storeId: 2 } }, asStoreId(1));
  log.note(
    { kind: 'split', rangeId: asRangeId(7), otherRangeId: asRangeId(8), info: {} },
    asStoreId(1),
  );
  await env.runFor(1000);
  expect((await rows()).split('\n').slice(1)).toEqual([
    '7 | 1 | add_voter | NULL | {"storeId":2}',
    '7 | 1 | split | 8 | {}',
  ]);
  await env.runFor(2 * 3_600_000);
  expect((await rows()).split('\n').length).toBe(3);
  await env.runFor(2 * 3_600_000);
  expect((await rows()).split('\n').length).toBe(1);
  log.stop();
});

it('what does not fit into the queue is counted', async () => {
  const { env, log, rows } = await start(new Map());
  for (let i = 0; i < 1500; i++) log.note({ ...event, info: { i } }, asStoreId(1));
  expect(log.dropped).toBe(500);
  await env.runFor(5000);
  expect((await rows()).split('\n').length).toBe(1001);
  log.stop();
});
