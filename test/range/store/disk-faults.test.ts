/**
 * Each of the first disk operations of a leaseholder's store fails, one per run: the store ends itself, the others go
 * on, and after a restart everything that was acknowledged is there (traps L1, L7).
 */
import { expect, it } from 'vitest';
import { systemKey } from '../../../src/encoding/index.ts';
import { asNodeId, asStoreId, type KvRequest } from '../../../src/kv/index.ts';
import { DiskError, type DiskOperation } from '../../../src/sim/memory-disk.ts';
import { Cluster, values } from './cluster.ts';

const puts = 12;
const failing = new Set<DiskOperation['kind']>(['write', 'sync', 'replace', 'sync-dir']);

function key(i: number): Buffer {
  return systemKey(`user-${i}`);
}

async function ask(cluster: Cluster, node: number, request: KvRequest): Promise<string> {
  const response = await cluster.time.settleOf(cluster.client(node).request(request));
  if (response.kind === 'error') return response.error.kind;
  const [result] = values(response);
  return result?.kind === 'get' ? String(result.value) : 'ok';
}

/** The kind of the operation that failed; undefined: there were not so many. */
async function failNth(n: number, code: string, once: boolean): Promise<string | undefined> {
  const cluster = await Cluster.start({ nodes: 3, seed: n });
  await cluster.time.run(1000);
  const place = (id: number) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) });
  const add = [place(2), place(3)];
  await ask(cluster, 1, { kind: 'admin-change-replicas', key: key(0), add, remove: [] });
  const victim = cluster.machine(1);
  let count = 0;
  let failed: string | undefined;
  victim.disk.fault = ({ kind, path }) => {
    if (!failing.has(kind) || ++count < n || (once && count > n)) return undefined;
    failed ??= kind;
    return new DiskError(code, `${kind} ${path}`);
  };
  const acknowledged: number[] = [];
  for (let i = 0; i < puts; i++) {
    const value = Buffer.from(`value ${i}`);
    const outcome = await ask(cluster, 2, { kind: 'put', key: key(i), value, sequence: 1 });
    if (outcome === 'ok') acknowledged.push(i);
    // Longer than the clock bound lasts.
    await cluster.time.run(300);
  }
  if (failed === undefined) return undefined;
  expect(victim.fatal, `${failed} ${n} failed`).toBeInstanceOf(Error);
  expect(acknowledged.length).toBeGreaterThan(puts / 2);
  cluster.crash(1);
  cluster.disk(1, 'answers');
  await cluster.restart(1);
  await cluster.time.run(8000);
  expect(victim.fatal).toBeUndefined();
  for (const i of acknowledged) {
    const found = await ask(cluster, 1, { kind: 'get', key: key(i), lock: 'none' });
    expect(found, `after ${failed} ${n} failed`).toBe(`value ${i}`);
  }
  return failed;
}

it.each([
  ['EIO', true],
  ['EIO', false],
  ['ENOSPC', false],
])('%s (once: %s) ends the store and loses nothing that was acknowledged', async (code, once) => {
  const kinds = new Set<string>();
  for (let n = 1; n <= 16; n++) kinds.add((await failNth(n, code, once)) ?? 'none');
  expect([...kinds].sort()).toEqual(['replace', 'sync', 'sync-dir', 'write']);
});
