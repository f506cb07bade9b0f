import { expect, it } from 'vitest';
import { asTxnId, type FinishedTxn, type Timestamp, type TxnMeta } from '../../../src/kv/index.ts';
import { committedBy, headChanges } from '../../../src/range/feed/head-changes.ts';
import {
  createMvccBatch,
  MemoryEngine,
  type EngineReader,
  type EngineWrite,
} from '../../../src/storage/index.ts';

const key = Buffer.from('k');
const at = (wall: number): Timestamp => ({ wall, logical: 0 });

function txnAt(name: string, wall: number): TxnMeta {
  return {
    id: asTxnId(Buffer.from(name.padEnd(16)).toString('hex')),
    anchor: key,
    epoch: 0,
    isolation: 'serializable',
    priority: 1,
    readTimestamp: at(wall),
    writeTimestamp: at(wall),
    minTimestamp: at(wall),
    uncertaintyLimit: at(wall),
    sequence: 1,
    ignoredSequences: [],
  };
}

function committed({ id, writeTimestamp }: TxnMeta): FinishedTxn {
  return { id, epoch: 0, status: 'committed', timestamp: writeTimestamp, ignoredSequences: [] };
}

function told(writes: readonly EngineWrite[], engine: EngineReader): string[] {
  return headChanges(writes, engine).flatMap((change) =>
    committedBy(change).map(
      ({ timestamp, previous, value }) =>
        `${timestamp.wall}: ${previous?.toString()} -> ${value?.toString()}`,
    ),
  );
}

it('a command that commits two versions of a key tells of both, whatever is applied with it', () => {
  const engine = new MemoryEngine();
  const one = createMvccBatch(engine);
  const before = txnAt('before', 10);
  one.put(key, Buffer.from('0'), { timestamp: at(5), txn: undefined, sequence: 0 });
  one.put(key, Buffer.from('1'), { timestamp: at(10), txn: before, sequence: 1 });
  const beneath = new MemoryEngine();
  beneath.apply(one.writes);
  // The next writer takes the place of the intent that is committed by now, and commits in the same command.
  const two = createMvccBatch(beneath);
  const next = txnAt('next', 20);
  two.resolve(key, committed(before));
  two.put(key, Buffer.from('2'), { timestamp: at(20), txn: next, sequence: 1 });
  two.resolve(key, committed(next));
  const versions = ['10: 0 -> 1', '20: 1 -> 2'];
  expect(told(two.writes, beneath)).toEqual(versions);
  expect(told([...one.writes, ...two.writes], engine)).toEqual(['5: undefined -> 0', ...versions]);
});
