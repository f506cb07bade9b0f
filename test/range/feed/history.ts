/** All committed versions of a span, as the stores of the leaseholders have them: what a feed must have told. */
import {
  compareTimestamps,
  type ChangedValue,
  type RangeDescriptor,
  type Timestamp,
} from '../../../src/kv/index.ts';
import {
  decodeHead,
  decodeVersion,
  decodeVersionKey,
  headSpan,
  keyOfHead,
  versionsOf,
  type EngineReader,
} from '../../../src/storage/index.ts';
import { must } from '../../../src/util/index.ts';
import { type Cluster } from '../store/cluster.ts';
import { version } from './recorder.ts';

/** Versions above `after`, as `version` names them; throws when an intent is left. */
export async function history(
  cluster: Cluster,
  span: { readonly start: Buffer; readonly end: Buffer },
  after: Timestamp,
): Promise<string[]> {
  const names: string[] = [];
  for (const range of cluster.ranges()) {
    // A replica that has been left behind of a range that was absorbed.
    if (cluster.rangeOf(range.startKey)?.rangeId !== range.rangeId) continue;
    const [node] = cluster.serving(range.rangeId);
    const { engine } = cluster.machine(must(node, `a leaseholder of range ${range.rangeId}`));
    names.push(...(await versionsIn(engine, clip(range, span), after)));
  }
  return names.sort();
}

async function versionsIn(
  engine: EngineReader,
  { start, end }: { readonly start: Buffer; readonly end: Buffer },
  after: Timestamp,
): Promise<string[]> {
  const names: string[] = [];
  if (start.compare(end) >= 0) return names;
  for (const [engineKey, record] of await all(engine, headSpan(start, end))) {
    const key = keyOfHead(engineKey);
    const { timestamp, value, intent } = decodeHead(record);
    if (intent !== undefined) throw new Error(`an intent is left on ${key.toString('latin1')}`);
    const versions: Pick<ChangedValue, 'timestamp' | 'value'>[] = [];
    if (timestamp !== undefined) versions.push({ timestamp, value });
    for (const [versionKey, stored] of await all(engine, versionsOf(key))) {
      const { timestamp: older } = decodeVersionKey(versionKey);
      versions.push({ timestamp: older, value: decodeVersion(stored) });
    }
    for (const [i, each] of versions.entries()) {
      if (compareTimestamps(each.timestamp, after) <= 0) continue;
      names.push(version({ key, ...each, previous: versions[i + 1]?.value }));
    }
  }
  return names;
}

function clip(
  { startKey, endKey }: RangeDescriptor,
  { start, end }: { readonly start: Buffer; readonly end: Buffer },
): { start: Buffer; end: Buffer } {
  return {
    start: startKey.compare(start) > 0 ? startKey : start,
    end: endKey.compare(end) < 0 ? endKey : end,
  };
}

async function all(
  engine: EngineReader,
  span: { readonly start: Buffer; readonly end: Buffer },
): Promise<[Buffer, Buffer][]> {
  const rows: [Buffer, Buffer][] = [];
  const iterator = engine.iterate(span);
  for (;;) {
    const page = await iterator.next(1000);
    if (page.length === 0) break;
    rows.push(...page);
  }
  await iterator.close();
  return rows;
}
