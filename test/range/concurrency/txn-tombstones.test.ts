/** What is not handed over of tombstones counts as ended. */
import { expect, it } from 'vitest';
import { asTxnId, zeroTimestamp, type Timestamp, type TxnMeta } from '../../../src/kv/index.ts';
import { TxnTombstones } from '../../../src/range/concurrency/txn-tombstones.ts';

const at = (wall: number): Timestamp => ({ wall, logical: 0 });

function txnOf(name: string, began: number): TxnMeta {
  return {
    id: asTxnId(name),
    anchor: Buffer.from(name),
    epoch: 0,
    isolation: 'serializable',
    priority: 1,
    readTimestamp: at(began),
    writeTimestamp: at(began),
    minTimestamp: at(began),
    uncertaintyLimit: at(began),
    sequence: 0,
    ignoredSequences: [],
  };
}

function ended(
  tombstones: TxnTombstones,
  wall: number,
  status: 'committed' | 'aborted' = 'aborted',
): void {
  const id = asTxnId(`txn ${wall}`);
  const finished = {
    id,
    epoch: 0,
    status,
    timestamp: at(wall),
    ignoredSequences: [],
  };
  tombstones.addFinished(finished, at(wall));
}

it('the newest tombstones are handed over, and up to where there were others', () => {
  const before = new TxnTombstones(at(10), 50);
  for (let wall = 100; wall < 180; wall++) ended(before, wall);
  before.addPush(asTxnId('pushed'), at(500), at(180));
  const all = before.newest(1 << 20);
  expect(all.tombstones).toHaveLength(81);
  expect(all.txnsUpTo).toEqual(at(10));
  const some = before.newest(640);
  expect(some.tombstones.map(({ txnId }) => txnId)).toEqual([
    ...Array.from({ length: 9 }, (_, i) => `txn ${171 + i}`),
    'pushed',
  ]);
  expect(some.txnsUpTo).toEqual(at(170));

  const after = new TxnTombstones(zeroTimestamp);
  after.adopt(some);
  expect(after.pushedTo(asTxnId('pushed'))).toEqual(at(500));
  // Ended with a tombstone, ended perhaps, and young.
  expect(after.mayCreateRecord(txnOf('txn 175', 175))).toBe(false);
  expect(after.mayCreateRecord(txnOf('old', 170))).toBe(false);
  expect(after.mayCreateRecord(txnOf('young', 171))).toBe(true);
});

it('it is known up to when aborted transactions may have been forgotten', () => {
  const tombstones = new TxnTombstones(at(10), 10);
  for (let wall = 100; wall < 200; wall++) ended(tombstones, wall, 'committed');
  expect(tombstones.abortsForgottenUpTo).toEqual(at(10));
  ended(tombstones, 200);
  for (let wall = 201; tombstones.finished(asTxnId('txn 200')) !== undefined; wall++) {
    expect(tombstones.abortsForgottenUpTo).toEqual(at(10));
    ended(tombstones, wall, 'committed');
  }
  expect(tombstones.abortsForgottenUpTo).toEqual(at(200));
});

it('a merge brings together what both sides of a split have learnt', () => {
  const left = new TxnTombstones(at(10));
  const right = new TxnTombstones(at(10));
  const id = asTxnId('pushed before the split');
  left.addPush(id, at(50), at(40));
  left.copyTo(right);
  left.addPush(id, at(90), at(60));
  const finished = { id, epoch: 0, timestamp: at(90), ignoredSequences: [] };
  left.addFinished({ ...finished, status: 'aborted' }, at(100));
  left.adopt(right.newest(1 << 20));
  expect(left.finished(id)?.status).toBe('aborted');
  expect(left.pushedTo(id)).toEqual(at(90));
});

it('aborts that the right side has forgotten are forgotten by the merged range', () => {
  const left = new TxnTombstones(at(10));
  left.adopt({ tombstones: [], txnsUpTo: at(70) });
  expect(left.abortsForgottenUpTo).toEqual(at(70));
});
