/**
 * What other stores say of the ranges they lead, and have closed together (`quiet-groups.ts`): a stream of changes from each of
 * them. A message that is missing makes everything that follows worthless, because it may have said that a range
 * has left its group: the stream is begun anew then. Pure; `side-transport.ts` feeds it.
 *
 * INVARIANT: `of(range)` is a fact for ever: a replica that has applied the log up to `index` knows everything at or
 *   below `closed`.
 */
import { type RangeId, type StoreId } from '../../kv/index.ts';
import { type ClosedMessage } from './closed-codec.ts';

export interface ClosedFact {
  readonly index: number;
  readonly closed: number;
}

interface HeardGroup {
  closed: number;
  /** So many entries of `#ranges` name it. */
  ranges: number;
}

interface HeardRange {
  readonly index: number;
  readonly group: HeardGroup;
}

interface Stream {
  readonly id: number;
  sequence: number;
  readonly groups: Map<number, HeardGroup>;
}

export class ClosedStreams {
  readonly #streams = new Map<StoreId, Stream>();
  readonly #ranges = new Map<RangeId, HeardRange>();
  readonly #settle: (rangeId: RangeId, fact: ClosedFact) => void;

  /** `settle` is told of facts that are not kept here any more. */
  constructor(settle: (rangeId: RangeId, fact: ClosedFact) => void) {
    this.#settle = settle;
  }

  of(rangeId: RangeId): ClosedFact | undefined {
    const heard = this.#ranges.get(rangeId);
    return heard && { index: heard.index, closed: heard.group.closed };
  }

  /** False: something is missing before this message; the sender has to begin anew. */
  receive(message: ClosedMessage): boolean {
    const stream = this.#streamOf(message);
    if (stream === undefined) return false;
    for (const { id, closed, came, went } of message.groups) {
      let group = stream.groups.get(id);
      if (group === undefined) {
        group = { closed, ranges: 0 };
        stream.groups.set(id, group);
      }
      // What was said before of those that go, or come anew, must not be taken for what is said now.
      for (const rangeId of went) this.#forget(rangeId, group);
      for (const { rangeId } of came) this.#forget(rangeId, this.#ranges.get(rangeId)?.group);
      group.closed = closed;
      for (const { rangeId, index } of came) {
        group.ranges++;
        this.#ranges.set(rangeId, { index, group });
      }
      if (group.ranges === 0) stream.groups.delete(id);
    }
    for (const { rangeId, index, closed } of message.awake)
      this.#settle(rangeId, { index, closed });
    return true;
  }

  #streamOf({ from, stream: id, sequence }: ClosedMessage): Stream | undefined {
    const known = this.#streams.get(from);
    if (known?.id === id && known.sequence + 1 === sequence) {
      known.sequence = sequence;
      return known;
    }
    if (known !== undefined) this.#end(from, known);
    if (sequence !== 1) return undefined;
    const begun: Stream = { id, sequence, groups: new Map() };
    this.#streams.set(from, begun);
    return begun;
  }

  #end(from: StoreId, stream: Stream): void {
    this.#streams.delete(from);
    const groups = new Set(stream.groups.values());
    for (const [rangeId, { group }] of this.#ranges) {
      if (groups.has(group)) this.#forget(rangeId, group);
    }
  }

  /** The range is not in `group` any more; what was said of it holds on. */
  #forget(rangeId: RangeId, group: HeardGroup | undefined): void {
    const heard = this.#ranges.get(rangeId);
    if (heard === undefined || heard.group !== group) return;
    heard.group.ranges--;
    this.#ranges.delete(rangeId);
    this.#settle(rangeId, { index: heard.index, closed: heard.group.closed });
  }
}
