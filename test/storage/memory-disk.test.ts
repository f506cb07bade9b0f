import { describe, expect, it } from 'vitest';
import { MemoryDisk } from '../../src/sim/memory-disk.ts';
import { SeededRandom } from '../random.ts';

describe('MemoryDisk', () => {
  it('keeps what was synced, and of the rest what chance leaves', async () => {
    const outcomes = new Set<string>();
    for (let seed = 1; seed <= 200; seed++) {
      const disk = new MemoryDisk({ random: new SeededRandom(seed) });
      const file = await disk.open('d/f');
      await file.writeDurable(0, [Buffer.from('old '), Buffer.from('old')]);
      await disk.syncDir('d');
      await file.write(0, [Buffer.from('new')]);
      await file.write(7, [Buffer.from(' more')]);
      disk.crash();
      await expect(file.sync()).rejects.toThrow('EBADF');
      const text = disk.peek('d/f')?.toString() ?? 'nothing';
      expect(text.slice(3, 7), `seed ${seed}`).toBe(' old');
      outcomes.add(text);
    }
    for (const text of ['old old', 'new old', 'old old more', 'new old more', 'old old mo']) {
      expect(outcomes.has(text), text).toBe(true);
    }
  });

  it('may lose names whose directory was not synced, and never others', async () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const disk = new MemoryDisk({ random: new SeededRandom(seed) });
      for (const name of ['kept', 'gone']) await (await disk.open(`d/${name}`)).sync();
      await disk.syncDir('d');
      await disk.remove('d/gone');
      await (await disk.open('d/fresh')).sync();
      await disk.replaceFile('e/list', Buffer.from('1'));
      disk.crash();
      expect((await disk.readFile('e/list'))?.toString()).toBe('1');
      seen.add((await disk.list('d')).join(' '));
    }
    expect([...seen].sort()).toEqual(['fresh gone kept', 'fresh kept', 'gone kept', 'kept']);
  });

  it('ends a run with its crash', async () => {
    const disk = new MemoryDisk({ random: new SeededRandom(1) });
    const run = disk.mount();
    const file = await run.open('d/f');
    disk.kill();
    await expect(file.write(0, [Buffer.from('x')])).rejects.toThrow();
    await expect(run.remove('d/f')).rejects.toThrow();
    expect(await disk.mount().list('d')).toEqual(['f']);
  });

  it('fails when it is full or told to', async () => {
    const disk = new MemoryDisk({ random: new SeededRandom(1), capacityBytes: 10 });
    const file = await disk.open('d/f');
    await file.write(0, [Buffer.alloc(8)]);
    expect(await disk.space()).toEqual({ freeBytes: 2, totalBytes: 10 });
    await expect(file.write(8, [Buffer.alloc(3)])).rejects.toThrow('ENOSPC');
    await file.write(6, [Buffer.alloc(4)]);
    disk.fault = (operation) => (operation.kind === 'sync' ? new Error('EIO') : undefined);
    await expect(file.sync()).rejects.toThrow('EIO');
    disk.fault = undefined;
    await file.sync();
    disk.flipBit('d/f', 9);
    expect(disk.peek('d/f')?.[1]).toBe(2);
  });
});
