/** Setting damaged stores aside. */
import { expect, it } from 'vitest';
import { quarantineStore } from '../../src/server/index.ts';
import { encodeIdentity } from '../../src/server/identity.ts';
import { readReplaced, refuseDamaged } from '../../src/server/quarantine.ts';
import { asNodeId, asStoreId } from '../../src/kv/index.ts';
import { MemoryDisk, SeededRandom } from '../../src/sim/index.ts';

const former = { clusterId: 'c', nodeId: asNodeId(2), storeId: asStoreId(3) };

function damagedStore(): MemoryDisk {
  const disk = new MemoryDisk({ random: new SeededRandom(1) });
  disk.poke('s/DAMAGED', Buffer.from('why\n'));
  disk.poke('s/raft/1.log', Buffer.from('entries'));
  return disk;
}

it('takes everything along and leaves who the store was', async () => {
  const disk = damagedStore();
  disk.poke('s/STORE', encodeIdentity(former));
  expect((await quarantineStore(disk, 's', 'T')).identity).toMatchObject(former);
  await refuseDamaged(disk, 's');
  expect(await readReplaced(disk, 's')).toMatchObject(former);
  expect(disk.paths()).toEqual([
    's/REPLACES',
    's/quarantined-T/DAMAGED',
    's/quarantined-T/STORE',
    's/quarantined-T/raft/1.log',
  ]);
});

it('a note about the store before that cannot be read goes, too: it would be refused for ever', async () => {
  const disk = damagedStore();
  disk.poke('s/REPLACES', Buffer.from('nonsense'));
  expect((await quarantineStore(disk, 's', 'T')).identity).toBe(undefined);
  await refuseDamaged(disk, 's');
  expect(await readReplaced(disk, 's')).toBe(undefined);
});
