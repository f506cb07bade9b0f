/**
 * Writes that were handed to the driver and are not acknowledged yet, oldest first. Writes become
 * durable in order, so an acknowledgement covers all before it.
 *
 * Trap (R15): entry (term 1, index 7) is written, replaced by (2, 7), and written again by a leader
 * that had kept it. An acknowledgement of the first write does not make index 7 durable: the second
 * write will overwrite it. So a write remembers up to where it still holds what the log holds, and a
 * replacement lowers that in every write under way.
 */
import { type HardState, type SnapshotMeta } from './types.ts';

export interface Write {
  /** Its last entry, or its snapshot when it has no entries; undefined for a hard state alone. */
  readonly last: { readonly term: number; readonly index: number } | undefined;
  readonly hasEntries: boolean;
  readonly hardState: HardState;
  readonly snapshot: SnapshotMeta | undefined;
  /** Entries of it up to here are still those of the log. */
  durableTo: number;
}

export class WriteQueue {
  private writes: Write[] = [];

  get empty(): boolean {
    return this.writes.length === 0;
  }

  push(write: Write): void {
    this.writes.push(write);
  }

  /** The log was replaced from `index` on. */
  replaced(index: number): void {
    for (const write of this.writes) write.durableTo = Math.min(write.durableTo, index - 1);
  }

  /**
   * The writes that became durable, oldest first, when `last` is acknowledged. Empty when no such
   * write is under way. Of two equal ones the older is meant.
   */
  acknowledge(last: { readonly term: number; readonly index: number } | undefined): Write[] {
    const at =
      last === undefined
        ? this.writes[0]?.hasEntries === false
          ? 0
          : -1
        : this.writes.findIndex(
            (write) => write.last?.term === last.term && write.last.index === last.index,
          );
    const done = this.writes.slice(0, at + 1);
    this.writes = this.writes.slice(at + 1);
    return done;
  }
}
