/** Reads from the stores everything that was ever committed in a span of keys. */
import { type Timestamp } from '../../kv/index.ts';
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

/** Of each range the leaseholder's replica is read: all are known to be equal. */
export async function readStoredHistory(
  cluster: SimCluster,
  span: EngineSpan,
): Promise<StoredHistory> {
  const versions: StoredVersion[] = [];
  const intents: Buffer[] = [];
  for (const { node } of cluster.serving()) {
    const { engine, replicas } = node.store;
    for (const replica of replicas.values()) {
      if (!replica.initialised || replica.checkLease(node.clock.now()) !== undefined) continue;
      const start = maxBytes(span.start, replica.descriptor.startKey);
      const end = minBytes(span.end, replica.descriptor.endKey);
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
  }
  return { versions, intents };
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
