/**
 * What the writes of commands do to keys: their head records before and after. Commands are physical effects, so this is all that a
 * replica needs to know in order to tell what was committed, whatever committed it: a transaction in one phase, the
 * resolution of an intent, an increment.
 *
 * INVARIANT: a command commits at most one version of a key. Its new head has it.
 */
import {
  decodeHead,
  isHeadKey,
  keyOfHead,
  type EngineReader,
  type EngineWrite,
  type HeadRecord,
} from '../../storage/index.ts';
import { compareTimestamps, type ChangedValue } from '../../kv/index.ts';

export interface HeadChange {
  readonly key: Buffer;
  readonly before: HeadRecord | undefined;
  readonly after: HeadRecord | undefined;
}

/** Of the writes of commands in their order, before they reach `engine`. */
export function headChanges(
  writes: readonly EngineWrite[],
  engine: Pick<EngineReader, 'get'>,
): HeadChange[] {
  const changes: HeadChange[] = [];
  /** Several commands are applied together: the later ones find what the earlier ones leave. */
  const written = new Map<string, HeadRecord | undefined>();
  for (const { key: engineKey, value } of writes) {
    if (!isHeadKey(engineKey)) continue;
    const name = engineKey.toString('latin1');
    const before = written.has(name) ? written.get(name) : decode(engine.get(engineKey));
    const after = decode(value);
    written.set(name, after);
    changes.push({ key: keyOfHead(engineKey), before, after });
  }
  return changes;
}

function decode(record: Buffer | undefined): HeadRecord | undefined {
  return record === undefined ? undefined : decodeHead(record);
}

/** The version that the change has committed; undefined when it only lays down, moves or removes an intent. Owned by the caller. */
export function committedBy({ key, before, after }: HeadChange): ChangedValue | undefined {
  const timestamp = after?.timestamp;
  if (timestamp === undefined) return undefined;
  if (before?.timestamp !== undefined && compareTimestamps(before.timestamp, timestamp) >= 0) {
    return undefined;
  }
  const value = copyOf(after?.value);
  const previous = copyOf(before?.value);
  return { kind: 'value', key: Buffer.from(key), value, timestamp, previous };
}

/** The value with memory of its own. */
export function copyOf(value: Buffer | undefined): Buffer | undefined {
  return value && Buffer.from(value);
}
