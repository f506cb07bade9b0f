/** Descriptors to keep share what they have in common and hold on to nothing else. */
import { expect, it } from 'vitest';
import {
  asNodeId,
  asRangeId,
  asReplicaId,
  asStoreId,
  decodeDescriptor,
  encodeDescriptor,
  keepDescriptor,
  zeroTimestamp,
  type RangeDescriptor,
} from '../../src/kv/index.ts';

function range(rangeId: number, start: string, end: string): RangeDescriptor {
  return {
    rangeId: asRangeId(rangeId),
    startKey: Buffer.from(start),
    endKey: Buffer.from(end),
    replicas: [1, 2, 3].map((id) => ({
      nodeId: asNodeId(id),
      storeId: asStoreId(id),
      replicaId: asReplicaId(id),
      kind: 'voter',
    })),
    nextReplicaId: asReplicaId(4),
    generation: 7,
    stickyUntil: zeroTimestamp,
  };
}

it('is equal to what it was made from, in memory of its own', () => {
  const message = Buffer.concat([Buffer.alloc(1000), encodeDescriptor(range(1, 'a', 'c'))]);
  const read = decodeDescriptor(message.subarray(1000));
  const kept = keepDescriptor(read);
  message.fill(0xff);
  expect(kept).toEqual(range(1, 'a', 'c'));
});

it('both sides of a split share the bound and the members with the range they come from', () => {
  const whole = keepDescriptor(range(1, 'a', 'c'));
  const left = keepDescriptor(range(1, 'a', 'b'), whole);
  const right = keepDescriptor(range(2, 'b', 'c'), whole, left);
  expect(left.startKey).toBe(whole.startKey);
  expect(right.startKey).toBe(left.endKey);
  expect(right.endKey).toBe(whole.endKey);
  expect(left.replicas).toBe(whole.replicas);
  expect(right.replicas).toBe(whole.replicas);
});

it('takes long bounds as they are', () => {
  const long = 'x'.repeat(10_000);
  expect(keepDescriptor(range(1, 'a', long)).endKey.toString()).toBe(long);
});
