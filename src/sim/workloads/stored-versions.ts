/** Reads from the stores everything that was ever committed in a span of keys. */
import { type RangeDescriptor, type RangeId, type Timestamp } from '../../kv/index.ts';
import {
  decodeHead,
  decodeVersion,
  decodeVersionKey,
  headSpan,
  keyOfHead,
  versionSpan,
  type EngineReader,
  type EngineSpan,
} from '../../storage/index.ts';
import { maxBytes, minBytes } from '../../util/index.ts';
import { type SimCluster } from '../cluster.ts';
import { replicasOf } from '../picture.ts';

export interface StoredVersion {
  readonly key: Buffer;
  readonly timestamp: Timestamp;
  /** Undefined: a deletion. */
  readonly value: Buffer | undefined;
}

export interface StoredHistory {
  readonly versions: readonly StoredVersion[];
  /** Keys on which a transaction's intent lies. */
  readonly intents: readonly Buffer[];
}

/** Of each range the replica that has applied most is read: all of them are known to be equal. */
export async function readStoredHistory(
  cluster: SimCluster,
  span: EngineSpan,
): Promise<StoredHistory> {
  const versions: StoredVersion[] = [];
  const intents: Buffer[] = [];
  for (const { engine, descriptor } of newestReplicas(cluster)) {
    const start = maxBytes(span.start, descriptor.startKey);
    const end = minBytes(span.end, descriptor.endKey);
    if (start.compare(end) >= 0) continue;
    for (const [engineKey, record] of await readAll(engine, headSpan(start, end))) {
      const key = keyOfHead(engineKey);
      const { timestamp, value, intent } = decodeHead(record);
      if (timestamp !== undefined) versions.push({ key, timestamp, value });
      if (intent !== undefined) intents.push(key);
    }
    for (const [engineKey, stored] of await readAll(engine, versionSpan(start, end))) {
      versions.push({ ...decodeVersionKey(engineKey), value: decodeVersion(stored) });
    }
  }
  return { versions, intents };
}

interface NewestReplica {
  readonly engine: EngineReader;
  readonly descriptor: RangeDescriptor;
  readonly applied: number;
}

function newestReplicas(cluster: SimCluster): NewestReplica[] {
  const newest = new Map<RangeId, NewestReplica>();
  for (const { store, replica } of replicasOf(cluster)) {
    const { descriptor, rangeId } = replica;
    const applied = replica.raft.appliedIndex;
    if (applied > (newest.get(rangeId)?.applied ?? -1)) {
      newest.set(rangeId, { engine: store.engine, descriptor, applied });
    }
  }
  return [...newest.values()];
}

async function readAll(engine: EngineReader, span: EngineSpan): Promise<[Buffer, Buffer][]> {
  const entries: [Buffer, Buffer][] = [];
  const iterator = engine.iterate(span);
  for (;;) {
    const page = await iterator.next(256);
    if (page.length === 0) break;
    entries.push(...page);
  }
  await iterator.close();
  return entries;
}
