/** What happens to ranges, for those who keep a log of it (`system.rangelog`). */
import { type RangeId, type StoreId } from './ids.ts';

export type RangeEventKind =
  | 'split'
  | 'merge'
  | 'add_voter'
  | 'remove_voter'
  | 'add_non_voter'
  | 'remove_non_voter';

export interface RangeEvent {
  readonly kind: RangeEventKind;
  readonly rangeId: RangeId;
  /** Of a split the new range, of a merge the one that is gone. */
  readonly otherRangeId: RangeId | undefined;
  /** Plain data. */
  readonly info: Readonly<Record<string, unknown>>;
}

export interface RangeEvents {
  /** At once, without an answer: an event may get lost. `storeId`: of the leaseholder, which has just applied the change. */
  note(event: RangeEvent, storeId: StoreId): void;
}
