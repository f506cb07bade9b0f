/** What was found to be garbage, and what of it may still go a moment later. */
import { expect, it } from 'vitest';
import {
  createMvccBatch,
  dropGarbage,
  MemoryEngine,
  mvccGarbage,
  mvccGet,
} from '../../src/storage/index.ts';

const key = Buffer.from('k');
const span = { start: Buffer.alloc(0), end: Buffer.from([0xff]) };

async function write(engine: MemoryEngine, wall: number, value: string | undefined): Promise<void> {
  const batch = createMvccBatch(engine);
  const stored = value === undefined ? undefined : Buffer.from(value);
  batch.put(key, stored, { timestamp: { wall, logical: 0 }, txn: undefined, sequence: 0 });
  engine.apply(batch.writes);
}

it('a deletion that got a value on top stays', async () => {
  const engine = new MemoryEngine();
  await write(engine, 1, 'a');
  await write(engine, 2, undefined);
  const { found } = await mvccGarbage(engine, span, { wall: 5, logical: 0 }, 100);
  expect(found.length).toBe(2);
  await write(engine, 6, 'b');
  const { keys, stats } = dropGarbage(engine, found);
  expect(keys.length).toBe(1);
  expect(stats.versionCount).toBe(-1);
  engine.apply(keys.map((engineKey) => ({ key: engineKey, value: undefined })));
  const timestamp = { wall: 9, logical: 0 };
  const options = { timestamp, txn: undefined, failOnNewer: false, ignoreIntents: false };
  expect(await mvccGet(engine, key, options)).toMatchObject({ value: Buffer.from('b') });
});
