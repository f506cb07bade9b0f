/**
 * What other stores send: raft frames, snapshots, and the news that a replica was removed. Decides to
 * which replica they go, whether one has to be made for them, and whether there is room for it.
 */
import {
  asReplicaId,
  replicaOnStore,
  storeMethod,
  type NodeId,
  type RangeId,
  type ReplicaId,
  type Transport,
} from '../../kv/index.ts';
import { decodeFrame, type RaftEnvelope, type RaftFrame } from '../replica/message-codec.ts';
import { Replica, type PeerAddress } from '../replica/replica.ts';
import { uninitialisedStart } from '../replica/replica-start.ts';
import { subsumedBy } from './absorb.ts';
import { type KeySpanOfRange } from './remover.ts';
import { raftMethod } from './scheduler.ts';
import { type SnapshotHeader } from './snapshot-format.ts';
import { type Store } from './store.ts';

const removedMethod = 'replica-removed';

/** Tells a store that its replica left the range, so that it looks and removes itself. */
export function tellRemoved(transport: Transport, to: PeerAddress, rangeId: RangeId): void {
  const { nodeId, storeId } = to;
  transport.send(nodeId, storeMethod(removedMethod, storeId), { to: storeId, rangeId }, 'system');
}

export class Intake {
  readonly #store: Store;
  /** Key spans of snapshots that are arriving. */
  readonly #reserved: () => readonly {
    readonly rangeId: RangeId;
    readonly descriptor: KeySpanOfRange;
  }[];

  constructor(
    store: Store,
    reserved: () => readonly { readonly rangeId: RangeId; readonly descriptor: KeySpanOfRange }[],
  ) {
    this.#store = store;
    this.#reserved = reserved;
    const { transport, storeId } = store.deps;
    transport.onMessage(storeMethod(raftMethod, storeId), (payload, from) =>
      this.#onFrame(payload, from),
    );
    transport.onMessage(storeMethod(removedMethod, storeId), (payload) => this.#onRemoved(payload));
  }

  #onRemoved(payload: unknown): void {
    if (typeof payload !== 'object' || payload === null) return;
    if (Reflect.get(payload, 'to') !== this.#store.storeId) return;
    const rangeId: unknown = Reflect.get(payload, 'rangeId');
    for (const replica of this.#store.replicas.values()) {
      if (replica.rangeId === rangeId) this.#store.checkMembership(replica);
    }
  }

  #onFrame(payload: unknown, fromNode: NodeId): void {
    if (!this.#store.serving || this.#store.diskIsSlow || !Buffer.isBuffer(payload)) return;
    const frame = readFrame(payload);
    if (frame === undefined) {
      this.#store.env.log.warn({ node: fromNode }, 'a raft frame that cannot be read is dropped');
      return;
    }
    if (frame.toStore !== this.#store.storeId) return;
    if (this.#store.clock.isTooFarAhead(frame.now)) return;
    this.#store.clock.observe(frame.now);
    const from: PeerAddress = { nodeId: fromNode, storeId: frame.fromStore };
    for (const envelope of frame.envelopes) {
      this.#store.counters.raftMessagesReceived++;
      // A snapshot is stepped in here when all of it is staged (`snapshotStaged`): nobody sends the bare message.
      if (envelope.message.kind === 'snapshot') continue;
      const replica = this.#addressee(envelope, from);
      if (replica === undefined) continue;
      if (this.#isFromRemoved(replica, envelope)) this.#tellRemoved(from, replica.rangeId);
      else replica.step(envelope, from);
    }
  }

  #tellRemoved(to: PeerAddress, rangeId: RangeId): void {
    tellRemoved(this.#store.deps.transport, to, rangeId);
  }

  /** A replica that was removed and does not know it asks for votes: it is told instead. */
  #isFromRemoved(replica: Replica, envelope: RaftEnvelope): boolean {
    if (envelope.message.kind !== 'vote-request' || !replica.initialised) return false;
    const { descriptor } = replica;
    const sender = envelope.message.from;
    return (
      sender < descriptor.nextReplicaId &&
      !descriptor.replicas.some((each) => each.replicaId === sender)
    );
  }

  #addressee(envelope: RaftEnvelope, from: PeerAddress): Replica | undefined {
    const { rangeId, message } = envelope;
    const to = asReplicaId(message.to);
    const existing = this.#store.replicas.get(rangeId);
    if (existing !== undefined) {
      if (existing.replicaId === to) return existing;
      // The range's newer members know this store under a newer id: the old replica was removed.
      if (existing.replicaId < to) this.#store.remover.remove(existing, to);
      return undefined;
    }
    // Answers concern a replica that is gone; only requests make a new one.
    if (
      message.kind !== 'append' &&
      message.kind !== 'heartbeat' &&
      message.kind !== 'vote-request'
    ) {
      return undefined;
    }
    return this.#makeUninitialised(rangeId, to, from);
  }

  #makeUninitialised(rangeId: RangeId, to: ReplicaId, from: PeerAddress): Replica | undefined {
    if (to < this.#store.tombstone(rangeId)) {
      this.#tellRemoved(from, rangeId);
      return undefined;
    }
    if (this.#store.remover.isRemoving(rangeId)) return undefined;
    const { hardState, lastIndex } = this.#store.raftLog.range(rangeId);
    // The log of a right side whose split a crash took back: the left side will apply it again.
    if (lastIndex > 0) return undefined;
    const replica = new Replica(this.#store, uninitialisedStart(rangeId, to, hardState));
    this.#store.addReplica(replica);
    return replica;
  }

  admitSnapshot(header: SnapshotHeader): string | undefined {
    if (!this.#store.running) return 'the store is not running';
    const { rangeId, descriptor } = header;
    const mine = replicaOnStore(descriptor, this.#store.storeId);
    if (mine?.replicaId !== header.to) return 'the snapshot is for another replica';
    const overlap = this.#overlap(header);
    if (overlap !== undefined) return overlap;
    const existing = this.#store.replicas.get(rangeId);
    if (existing !== undefined) {
      if (existing.replicaId !== header.to) return 'another replica of the range is here';
      // What is applied later would be written over the snapshot.
      return existing.applier.idle ? undefined : 'entries are still being applied';
    }
    if (header.to < this.#store.tombstone(rangeId))
      return 'the replica was removed from this store';
    if (this.#store.remover.isRemoving(rangeId)) return 'the former replica is still being removed';
    const { hardState, lastIndex } = this.#store.raftLog.range(rangeId);
    if (lastIndex > 0) return 'the split that makes this range is not applied here yet';
    this.#store.addReplica(
      new Replica(this.#store, uninitialisedStart(rangeId, header.to, hardState)),
    );
    return undefined;
  }

  #overlap(header: SnapshotHeader): string | undefined {
    const { rangeId, descriptor: wanted } = header;
    const subsumed = new Set(subsumedBy(this.#store, header).map((each) => each.rangeId));
    for (const other of this.#store.rangesOverlapping(wanted.startKey, wanted.endKey)) {
      const replica = this.#store.replicas.get(other.rangeId);
      if (other.rangeId === rangeId || subsumed.has(other.rangeId)) continue;
      // Perhaps it was removed and has not heard of it.
      if (replica !== undefined && !replica.isLeader) this.#store.checkMembership(replica);
      return `range ${other.rangeId} holds some of these keys here`;
    }
    for (const taken of [...this.#store.remover.reservedSpans(), ...this.#reserved()]) {
      if (taken.rangeId === rangeId) continue;
      const { startKey, endKey } = taken.descriptor;
      if (wanted.startKey.compare(endKey) < 0 && wanted.endKey.compare(startKey) > 0) {
        return `range ${taken.rangeId} is leaving or arriving with some of these keys`;
      }
    }
    return undefined;
  }

  snapshotStaged(header: SnapshotHeader, fromNode: NodeId): boolean {
    const replica = this.#store.replicas.get(header.rangeId);
    const leader = header.descriptor.replicas.find((each) => each.replicaId === header.from);
    if (replica === undefined || leader === undefined || replica.replicaId !== header.to) {
      return false;
    }
    const { from, to, term, meta, rangeId } = header;
    replica.step(
      { rangeId, supportEpoch: 0, message: { kind: 'snapshot', from, to, term, snapshot: meta } },
      { nodeId: fromNode, storeId: leader.storeId },
    );
    return true;
  }
}

function readFrame(payload: Buffer): RaftFrame | undefined {
  try {
    return decodeFrame(payload);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
