/** The disk takes less than is written: rows wait until it has caught up, before they are proposed. */
import { expect, it } from 'vitest';
import { systemKey, tablesStart } from '../../../src/encoding/index.ts';
import { type KvRequest } from '../../../src/kv/index.ts';
import { must } from '../../../src/util/index.ts';
import { Cluster, values } from './cluster.ts';

it('a row waits while the state engine has no room; reads and system keys do not', async () => {
  const cluster = await Cluster.start({ nodes: 1 });
  await cluster.time.run(1000);
  const { engine, store } = cluster.machine(1);
  let makeRoom: (() => void) | undefined;
  let room: Promise<void> | undefined = new Promise((resolve) => (makeRoom = resolve));
  Object.assign(engine, { waitForRoom: () => room });
  const ask = (request: KvRequest) => cluster.client(1).request(request);
  const row = Buffer.concat([tablesStart, Buffer.from('row')]);
  const value = Buffer.from('value');

  let written = false;
  const held = ask({ kind: 'put', key: row, value, sequence: 1 }).then((answer) => {
    written = true;
    return answer;
  });
  await cluster.time.run(20_000);
  expect(written).toBe(false);
  expect(store.counters.writesHeldBackByDisk).toBe(1);
  const read = await cluster.time.settleOf(ask({ kind: 'get', key: row, lock: 'none' }));
  expect(values(read)[0]).toMatchObject({ kind: 'get', value: undefined });
  const put: KvRequest = { kind: 'put', key: systemKey('user-a'), value, sequence: 1 };
  values(await cluster.time.settleOf(ask(put)));
  expect(store.counters.writesHeldBackByDisk).toBe(1);

  room = undefined;
  must(makeRoom)();
  values(await cluster.time.settleOf(held));
  expect(store.counters.writesHeldBackByDisk).toBe(1);
});
