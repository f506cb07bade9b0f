/**
 * Removes replicas from a store. In one batch the range's state goes and a tombstone comes (trap R6)
 * together with a note of the spans still to be cleared; the data follows in the background, and the
 * note is the last thing to go. Until then the spans are reserved.
 *
 * The raft log is removed only behind a checkpoint: before that a crash may bring the replica back as
 * it was, log included, and it is removed once more.
 *
 * INVARIANT: while a note that tells to remove the log may come back in a crash, no successor of the replica is made
 *   (`isRemoving`): the vote of one that has no data yet is nowhere but in that log.
 */
import { asReplicaId, type RangeDescriptor, type RangeId, type ReplicaId } from '../../kv/index.ts';
import { rangeSpans, rangeStateKey, type EngineWrite } from '../../storage/index.ts';
import { compareBytes } from '../../util/index.ts';
import { ByteReader, ByteWriter } from '../replica/byte-codec.ts';
import { type PreparedRight } from '../replica/host.ts';
import { encodeTombstone } from '../replica/range-state.ts';
import { type Replica } from '../replica/replica.ts';
import { isAtRest, untilAtRest } from './absorb.ts';
import { type Store } from './store.ts';

export interface KeySpanOfRange {
  readonly startKey: Buffer;
  readonly endKey: Buffer;
}

export interface ClearingNote {
  readonly span: KeySpanOfRange | undefined;
  readonly removeLog: boolean;
}

/** Above every replica id: a range that was absorbed never comes back. */
export const afterAllReplicas = asReplicaId(Number.MAX_SAFE_INTEGER);

export const clearingName = 'clearing';
const writer = new ByteWriter();

export function encodeClearing(note: ClearingNote): Buffer {
  writer.reset().byte(note.removeLog ? 1 : 0);
  if (note.span !== undefined) writer.bytes(note.span.startKey).bytes(note.span.endKey);
  return writer.finish();
}

export function decodeClearing(encoded: Buffer): ClearingNote {
  const reader = new ByteReader(encoded);
  const removeLog = reader.byte() === 1;
  if (reader.done) return { span: undefined, removeLog };
  return { span: { startKey: reader.bytes(), endKey: reader.bytes() }, removeLog };
}

interface Removal {
  readonly rangeId: RangeId;
  readonly note: ClearingNote;
}

export class Remover {
  readonly #store: Store;
  readonly #removals = new Set<Removal>();
  #tail: Promise<void> = Promise.resolve();

  /** Replicas to be removed when they are at rest. */
  readonly #later = new Map<Replica, ReplicaId>();

  constructor(store: Store) {
    this.#store = store;
  }

  isRemoving(rangeId: RangeId): boolean {
    return this.#underWay(rangeId).length > 0;
  }

  /** The removals of a range that are under way, oldest first. */
  #underWay(rangeId: RangeId): Removal[] {
    return Array.from(this.#removals).filter((removal) => removal.rangeId === rangeId);
  }

  reservedSpans(): { rangeId: RangeId; descriptor: KeySpanOfRange }[] {
    const spans: { rangeId: RangeId; descriptor: KeySpanOfRange }[] = [];
    for (const { rangeId, note } of this.#removals) {
      if (note.span !== undefined) spans.push({ rangeId, descriptor: note.span });
    }
    return spans;
  }

  /**
   * All replica ids below `nextReplicaId` are over on this store. A snapshot that is being installed comes to its end first:
   * it would write the state and begin the log of a replica that is gone, and its successor would find that log.
   */
  remove(replica: Replica, nextReplicaId: ReplicaId): void {
    const store = this.#store;
    if (replica.destroyed) return;
    if (!isAtRest(replica)) {
      this.#removeLater(replica, nextReplicaId);
      return;
    }
    const { rangeId } = replica;
    const span = replica.initialised
      ? { startKey: replica.descriptor.startKey, endKey: replica.descriptor.endKey }
      : undefined;
    const note: ClearingNote = { span, removeLog: true };
    store.dropReplica(replica);
    store.engine.apply(removalOf(rangeId, nextReplicaId, note));
    store.counters.replicasRemoved++;
    this.resume(rangeId, note);
  }

  #removeLater(replica: Replica, nextReplicaId: ReplicaId): void {
    const known = this.#later.get(replica);
    this.#later.set(replica, asReplicaId(Math.max(known ?? 0, nextReplicaId)));
    if (known !== undefined) return;
    untilAtRest(replica).then(
      () => {
        const nextId = this.#later.get(replica) ?? nextReplicaId;
        this.#later.delete(replica);
        this.remove(replica, nextId);
      },
      (error: unknown) => this.#store.fatal(error),
    );
  }

  /** A replica whose keys and data go over to another one of this store, in whose batch the writes belong. */
  prepareAbsorption(rangeId: RangeId): PreparedRight {
    const note: ClearingNote = { span: undefined, removeLog: true };
    return {
      writes: removalOf(rangeId, afterAllReplicas, note),
      finish: () => this.resume(rangeId, note),
    };
  }

  /**
   * Data of a right side that nobody on this store owns; the write belongs into the split's batch. The note takes the
   * place of one about a removal under way: its keys are among these, its log still has to go.
   */
  prepareDiscard(right: RangeDescriptor): { write: EngineWrite; finish: () => void } {
    const { startKey, endKey, rangeId } = right;
    const removeLog = this.#underWay(rangeId).some((removal) => removal.note.removeLog);
    const note: ClearingNote = { span: { startKey, endKey }, removeLog };
    return {
      write: { key: rangeStateKey(rangeId, clearingName), value: encodeClearing(note) },
      finish: () => this.resume(rangeId, note),
    };
  }

  /** Reserves the span and clears it when it is this one's turn. */
  resume(rangeId: RangeId, note: ClearingNote): void {
    const removal: Removal = { rangeId, note };
    this.#removals.add(removal);
    this.#tail = this.#tail.then(() => this.#finish(removal));
    this.#tail.catch((error: unknown) => this.#store.fatal(error));
  }

  /** Resolves when everything asked for so far is gone. */
  idle(): Promise<void> {
    return this.#tail;
  }

  /**
   * The parts of a span that no replica of this store holds. A replayed split may bring a note about a right side that
   * was removed since: what had been split off from that one lives on.
   */
  #unowned({ startKey, endKey }: KeySpanOfRange): KeySpanOfRange[] {
    const parts: KeySpanOfRange[] = [];
    let from = startKey;
    for (const owned of this.#store.rangesOverlapping(startKey, endKey)) {
      if (compareBytes(from, owned.startKey) < 0) {
        parts.push({ startKey: from, endKey: owned.startKey });
      }
      if (compareBytes(from, owned.endKey) < 0) from = owned.endKey;
    }
    if (compareBytes(from, endKey) < 0) parts.push({ startKey: from, endKey });
    return parts;
  }

  async #finish(removal: Removal): Promise<void> {
    const { rangeId, note } = removal;
    const store = this.#store;
    await store.opened;
    await store.checkpointer.runTwice();
    if (note.removeLog) await store.raftLog.remove(rangeId);
    if (note.span !== undefined) {
      for (const part of this.#unowned(note.span)) {
        for (const span of rangeSpans(part)) await store.engine.clear(span.start, span.end);
      }
      // What comes back in a crash would be cleared by nobody without its note.
      await store.engine.barrier();
    }
    if (this.#underWay(rangeId).at(-1) === removal) {
      store.engine.apply([{ key: rangeStateKey(rangeId, clearingName), value: undefined }]);
      if (note.removeLog) await store.engine.barrier();
    }
    this.#removals.delete(removal);
  }
}

/** The range's state goes, a tombstone and a note of what is left to do come. */
function removalOf(rangeId: RangeId, nextReplicaId: ReplicaId, note: ClearingNote): EngineWrite[] {
  return [
    { key: rangeStateKey(rangeId, 'tombstone'), value: encodeTombstone(nextReplicaId) },
    { key: rangeStateKey(rangeId, 'descriptor'), value: undefined },
    { key: rangeStateKey(rangeId, 'applied'), value: undefined },
    { key: rangeStateKey(rangeId, 'floor'), value: undefined },
    { key: rangeStateKey(rangeId, clearingName), value: encodeClearing(note) },
  ];
}
