/** What is told of ranges and nodes gets into its log, behind; old rows go; what cannot be written in time is dropped. */
import { expect, it } from 'vitest';
import {
  asMember,
  asNodeId,
  asRangeId,
  asStoreId,
  ClusterSettings,
} from '../../../src/kv/index.ts';
import { ClusterLogs } from '../../../src/sql/index.ts';
import { startCluster, TestSession } from '../ddl/node.ts';

const event = { kind: 'add_voter', rangeId: asRangeId(7), otherRangeId: undefined } as const;

async function start(settings: ReadonlyMap<string, string>) {
  const cluster = await startCluster();
  const clusterSettings = new ClusterSettings();
  clusterSettings.update(settings);
  const { env, db } = cluster;
  const logs = new ClusterLogs({ env, db, nodeId: asNodeId(1), settings: clusterSettings });
  logs.start();
  const session = new TestSession(cluster);
  const rows = (): Promise<string> =>
    session.run(
      'SELECT "rangeID", "storeID", "eventType", "otherRangeID", info FROM system.rangelog',
    );
  return { cluster, env, logs, rows };
}

it('events become rows, and old rows go', async () => {
  const { env, logs, rows } = await start(new Map([['server.rangelog.ttl', '7200000']]));
  logs.ranges.note({ ...event, info: { storeId: 2 } }, asStoreId(1));
  logs.ranges.note(
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
  await logs.stop();
});

it('what does not fit into the queue is counted', async () => {
  const { env, logs, rows } = await start(new Map());
  for (let i = 0; i < 1500; i++) logs.ranges.note({ ...event, info: { i } }, asStoreId(1));
  expect(logs.dropped).toBe(500);
  await env.runFor(5000);
  expect((await rows()).split('\n').length).toBe(1001);
  await logs.stop();
});

it('what happens to nodes goes into the event log, the last of it at the stop', async () => {
  const { cluster, env, logs } = await start(new Map());
  logs.nodes.noteOwn('node_join', { StartedAt: '2026-01-01T00:00:00Z' });
  logs.nodes.noteMembership(asMember('node', 2), 'decommissioning');
  await env.runFor(1000);
  logs.nodes.noteOwn('node_shutdown');
  await logs.stop();
  logs.nodes.noteOwn('node_restart');
  await env.runFor(1000);
  const rows = await new TestSession(cluster).run(
    `SELECT "targetID", "reportingID", info::jsonb - 'Timestamp' FROM system.eventlog ORDER BY timestamp, "uniqueID"`,
  );
  expect(rows.split('\n').slice(1)).toEqual([
    '1 | 1 | {"NodeID": 1, "EventType": "node_join", "StartedAt": "2026-01-01T00:00:00Z"}',
    '2 | 1 | {"EventType": "node_decommissioning", "TargetNodeID": 2, "RequestingNodeID": 1}',
    '1 | 1 | {"NodeID": 1, "EventType": "node_shutdown"}',
  ]);
});
