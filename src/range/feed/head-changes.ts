/**
 * What the writes of commands do to keys: their head records before and after. Commands are physical effects, so this is all that a
 * replica needs to know in order to tell what was committed, whatever committed it: a transaction in one phase, the
 * resolution of an intent, an increment.
 *
 * INVARIANT: the new head has the newest version that a command commits. Where it commits older ones, too (a write takes the place of an
 * intent that is committed by it), they are among those that it moves to the history, above what the head had before.
 */
import {
  decodeHead,
  decodeVersion,
  decodeVersionKey,
  isHeadKey,
  isVersionKey,
  keyOfHead,
  type EngineReader,
  type EngineWrite,
  type HeadRecord,
} from '../../storage/index.ts';
import { compareTimestamps, type ChangedValue, type Timestamp } from '../../kv/index.ts';

export interface HeadChange {
  readonly key: Buffer;
  readonly before: HeadRecord | undefined;
  readonly after: HeadRecord | undefined;
  /** Committed by the same command below `after`, the newest first. */
  readonly passed: readonly Passed[];
}

interface Passed {
  readonly timestamp: Timestamp;
  readonly value: Buffer | undefined;
}

/** Of the writes of commands in their order, before they reach `engine`. */
export function headChanges(
  writes: readonly EngineWrite[],
  engine: Pick<EngineReader, 'get'>,
): HeadChange[] {
  const changes: HeadChange[] = [];
  /**
   * By key. Several commands are applied together: the later ones find what the earlier ones leave. Each has its writes in the order of
   * their engine keys, so the head of a key comes before its versions.
   */
  const latest = new Map<string, HeadChange & { readonly passed: Passed[] }>();
  for (const { key: engineKey, value } of writes) {
    if (isHeadKey(engineKey)) {
      const key = keyOfHead(engineKey);
      const name = key.toString('latin1');
      const earlier = latest.get(name);
      const before = earlier === undefined ? decode(engine.get(engineKey)) : earlier.after;
      const change = { key, before, after: decode(value), passed: [] };
      latest.set(name, change);
      changes.push(change);
    } else if (isVersionKey(engineKey) && value !== undefined) {
      const { key, timestamp } = decodeVersionKey(engineKey);
      const change = latest.get(key.toString('latin1'));
      if (change !== undefined && isAbove(timestamp, change.before)) {
        change.passed.push({ timestamp, value: decodeVersion(value) });
      }
    }
  }
  return changes;
}

function isAbove(timestamp: Timestamp, head: HeadRecord | undefined): boolean {
  return head?.timestamp === undefined || compareTimestamps(timestamp, head.timestamp) > 0;
}

function decode(record: Buffer | undefined): HeadRecord | undefined {
  return record === undefined ? undefined : decodeHead(record);
}

/** The versions that the change has committed, in their order; none when it only lays down, moves or removes an intent. Owned by the caller. */
export function committedBy({ key, before, after, passed }: HeadChange): ChangedValue[] {
  const timestamp = after?.timestamp;
  if (timestamp === undefined || !isAbove(timestamp, before)) return [];
  const committed: ChangedValue[] = [];
  let previous = before?.value;
  for (const each of [...passed.toReversed(), { timestamp, value: after?.value }]) {
    committed.push({
      kind: 'value',
      key: Buffer.from(key),
      value: copyOf(each.value),
      timestamp: each.timestamp,
      previous: copyOf(previous),
    });
    previous = each.value;
  }
  return committed;
}

/** The value with memory of its own. */
export function copyOf(value: Buffer | undefined): Buffer | undefined {
  return value && Buffer.from(value);
}
