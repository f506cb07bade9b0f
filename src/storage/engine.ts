/**
 * Engine: the sorted bytes of one store. Writes go into an in-memory overlay and are visible at once;
 * they reach the disk in the background and are durable only after `barrier`. What is lost in a crash
 * is replayed from the raft log, so batches must be idempotent effects (trap L5: after a crash any
 * subset of the unsynced batches may be missing, but each batch is all or nothing).
 *
 * Engine keys (built by the helpers in `engine-keys.ts`):
 *   s <name>                       store-local: identity, clock bound; never replicated
 *   r <rangeId> <name>             range state: applied index, descriptor, stats, tombstone
 *   h <key>                        head record of an MVCC key: newest committed version and intent
 *   u <key>                        unversioned value addressed like a key: transaction records
 *   v <bytes(key)> <inverted ts>   older versions, newest first
 *
 * Every value carries a checksum over key and value that is verified on read; a mismatch throws
 * CorruptionError and poisons the store. Any write error poisons it too: every later call fails,
 * `onPoison` fires once and the node exits (traps L1, L3, L4).
 */

/** `value` undefined deletes. */
export interface EngineWrite {
  readonly key: Buffer;
  readonly value: Buffer | undefined;
}

export interface EngineIterator {
  /**
   * Up to `max` entries in order; an empty array at the end. Entries are owned by the caller. On a machine's own disk other work
   * gets its turn every thousand entries, in whatever pieces they are asked for.
   */
  next(max: number): Promise<[key: Buffer, value: Buffer][]>;
  close(): Promise<void>;
}

export interface EngineReader {
  get(key: Buffer): Buffer | undefined;
  /** [start, end). Sees writes that are applied before the call, none after. */
  iterate(options: { start: Buffer; end: Buffer; reverse?: boolean }): EngineIterator;
}

export interface EngineSnapshot extends EngineReader {
  close(): void;
}

export interface Engine extends EngineReader {
  /** All or nothing; visible when it returns; the engine keeps the buffers, which must not change. */
  apply(writes: readonly EngineWrite[]): void;
  /**
   * Undefined while there is room for more writes; otherwise a promise for it, to be awaited before the
   * next `apply`: the disk is slower than the writers.
   */
  waitForRoom(): Promise<void> | undefined;
  /**
   * Deletes [start, end), visible when it resolves. No writes into the span may run beside it. Not atomic:
   * before the next barrier a crash may leave some of the keys; clearing again is harmless.
   */
  clear(start: Buffer, end: Buffer): Promise<void>;
  snapshot(): EngineSnapshot;
  /** Everything applied before the call is durable when it resolves. */
  barrier(): Promise<void>;
  /** Bytes on disk, roughly. */
  sizeBytes(): Promise<number>;
  close(): Promise<void>;
}

export class StorePoisonedError extends Error {
  override readonly name = 'StorePoisonedError';
}

export class CorruptionError extends Error {
  override readonly name = 'CorruptionError';
}
