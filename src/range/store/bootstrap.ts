/**
 * The first range of a new cluster: written straight into an empty engine, once, by the first node.
 * Everything else grows out of it by splits.
 */
import {
  keyMax,
  keyMin,
  metaRecordKeys,
  rangeDescriptorKey,
  systemKey,
} from '../../encoding/index.ts';
import {
  zeroTimestamp,
  asRangeId,
  asReplicaId,
  encodeDescriptor,
  nodeIdCounterKey,
  storeIdCounterKey,
  type HlcClock,
  type NodeId,
  type RangeDescriptor,
  type StoreId,
} from '../../kv/index.ts';
import { createMvccBatch, rangeStateKey, type Engine, type RaftLog } from '../../storage/index.ts';
import { assert } from '../../util/index.ts';
import {
  encodeApplied,
  encodeFloor,
  initialLogIndex,
  initialLogTerm,
} from '../replica/range-state.ts';

/** The counter (`Db.increment`) from which range ids are drawn; it holds the last one that was given out. */
export const rangeIdCounterKey: Buffer = systemKey('range-id');

export interface BootstrapOptions {
  readonly engine: Engine;
  readonly raftLog: RaftLog;
  readonly clock: HlcClock;
  readonly nodeId: NodeId;
  readonly storeId: StoreId;
  /** Further initial contents, for instance of system tables. */
  readonly values?: readonly { readonly key: Buffer; readonly value: Buffer }[];
}

/** Durable when it resolves. The engine and the raft log must be empty. */
export async function bootstrapCluster(options: BootstrapOptions): Promise<RangeDescriptor> {
  const { engine, raftLog, clock, nodeId, storeId } = options;
  assert(raftLog.rangeIds().length === 0, 'a cluster is founded on an empty raft log');
  const range: RangeDescriptor = {
    rangeId: asRangeId(1),
    startKey: keyMin,
    endKey: keyMax,
    replicas: [{ nodeId, storeId, replicaId: asReplicaId(1), kind: 'voter' }],
    nextReplicaId: asReplicaId(2),
    generation: 1,
    stickyUntil: zeroTimestamp,
  };
  const stored = encodeDescriptor(range);
  const contents = [
    { key: rangeDescriptorKey(range.startKey), value: stored },
    ...metaRecordKeys(range).map((key) => ({ key, value: stored })),
    { key: rangeIdCounterKey, value: counter(range.rangeId) },
    { key: nodeIdCounterKey, value: counter(nodeId) },
    { key: storeIdCounterKey, value: counter(storeId) },
    ...(options.values ?? []),
  ];
  const batch = createMvccBatch(engine);
  const timestamp = clock.now();
  for (const { key, value } of contents) {
    const result = batch.put(key, value, { timestamp, txn: undefined, sequence: 0 });
    assert(result.kind === 'ok', 'an empty engine takes every write');
  }
  const configuration = { voters: [1], votersOutgoing: [], learners: [] };
  const floor = { index: initialLogIndex, term: initialLogTerm, configuration };
  engine.apply([
    ...batch.writes,
    { key: rangeStateKey(range.rangeId, 'descriptor'), value: stored },
    {
      key: rangeStateKey(range.rangeId, 'applied'),
      value: encodeApplied(floor.index, floor.term, batch.stats),
    },
    { key: rangeStateKey(range.rangeId, 'floor'), value: encodeFloor(floor) },
  ]);
  await engine.barrier();
  await raftLog.reset(
    range.rangeId,
    { index: initialLogIndex, term: initialLogTerm },
    { term: initialLogTerm, vote: 0, commit: initialLogIndex },
  );
  return range;
}

/** Counters are 8 bytes big-endian. */
function counter(value: number): Buffer {
  const out = Buffer.alloc(8);
  out.writeBigInt64BE(BigInt(value));
  return out;
}
