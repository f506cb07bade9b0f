/**
 * The stored form of a range descriptor: the value of the range's own descriptor key and of its meta
 * records. Fields stand one behind the other in the order-preserving encoding; the first byte is the
 * version of the format.
 */
import { KeyReader, KeyWriter } from '../encoding/index.ts';
import { type RangeDescriptor, type ReplicaDescriptor, type ReplicaKind } from './descriptor.ts';
import { asNodeId, asRangeId, asReplicaId, asStoreId } from './ids.ts';

const formatVersion = 2;
const kinds: readonly ReplicaKind[] = [
  'voter',
  'learner',
  'voter-incoming',
  'voter-outgoing',
  'non-voter',
  'voter-demoting',
];

export function encodeDescriptor(range: RangeDescriptor): Buffer {
  const writer = new KeyWriter()
    .byte(formatVersion)
    .uint(range.rangeId)
    .bytes(range.startKey)
    .bytes(range.endKey)
    .uint(range.nextReplicaId)
    .uint(range.generation)
    .uint(range.stickyUntil.wall)
    .uint(range.stickyUntil.logical)
    .uint(range.replicas.length);
  for (const replica of range.replicas) {
    writer
      .uint(replica.nodeId)
      .uint(replica.storeId)
      .uint(replica.replicaId)
      .uint(kinds.indexOf(replica.kind));
  }
  return writer.finish();
}

/** Throws a RangeError on bytes that `encodeDescriptor` does not make. */
export function decodeDescriptor(encoded: Buffer): RangeDescriptor {
  if (encoded[0] !== formatVersion) {
    throw new RangeError(`range descriptor has unknown format ${encoded[0]}`);
  }
  const reader = new KeyReader(encoded, 1);
  const rangeId = asRangeId(reader.int());
  const startKey = reader.bytes();
  const endKey = reader.bytes();
  const nextReplicaId = asReplicaId(reader.int());
  const generation = reader.int();
  const stickyUntil = { wall: reader.int(), logical: reader.int() };
  const count = reader.int();
  const replicas: ReplicaDescriptor[] = [];
  for (let i = 0; i < count; i++) {
    const nodeId = asNodeId(reader.int());
    const storeId = asStoreId(reader.int());
    const replicaId = asReplicaId(reader.int());
    const kind = kinds[reader.int()];
    if (kind === undefined) throw new RangeError('range descriptor has an unknown replica kind');
    replicas.push({ nodeId, storeId, replicaId, kind });
  }
  return { rangeId, startKey, endKey, replicas, nextReplicaId, generation, stickyUntil };
}
