/**
 * What a replica holds of its range, in one hash: every engine entry of the range's replicated data, in engine order.
 * Range state (applied index, floors) is each replica's own and not part of it. Beside the hash the sizes are counted
 * anew, to be compared with what the range has recorded.
 */
import { createHash, type Hash } from 'node:crypto';
import { type RangeDescriptor } from '../../kv/index.ts';
import {
  engineSpans,
  keySpans,
  StatsSum,
  type EngineSnapshot,
  type EngineSpan,
  type MvccStats,
} from '../../storage/index.ts';
import { encodeStats } from '../replica/command-codec.ts';

export interface RangeDigest {
  /** SHA-256, hex. */
  readonly checksum: string;
  readonly stats: MvccStats;
}

/** Values may be large, and a page is what the pace is kept by. */
const rowsPerPage = 32;

/** Reads all of it. `pace` is awaited before each page is worked through: it holds the reader to a rate, and lets others work. */
export async function digestRange(
  snapshot: EngineSnapshot,
  range: Pick<RangeDescriptor, 'startKey' | 'endKey'>,
  pace: (bytes: number) => Promise<void>,
): Promise<RangeDigest> {
  const hash = createHash('sha256');
  const sum = new StatsSum();
  for (const { start, end } of keySpans(range)) {
    for (const span of engineSpans(start, end)) {
      await readSpan(snapshot, span, pace, (key, value) => {
        update(hash, key);
        update(hash, value);
        sum.record(key, value, 1);
      });
    }
  }
  return { checksum: hash.digest('hex'), stats: sum.result() };
}

/** What the range has recorded of itself, for replicas that are compared without reading their data. */
export function digestStats(stats: MvccStats): string {
  return createHash('sha256').update(encodeStats(stats)).digest('hex');
}

const length = Buffer.alloc(4);

/** With its length, so that no byte can move from one entry to the next unnoticed. */
function update(hash: Hash, bytes: Buffer): void {
  length.writeUInt32BE(bytes.length);
  hash.update(length).update(bytes);
}

async function readSpan(
  snapshot: EngineSnapshot,
  span: EngineSpan,
  pace: (bytes: number) => Promise<void>,
  visit: (key: Buffer, value: Buffer) => void,
): Promise<void> {
  const iterator = snapshot.iterate(span);
  try {
    for (;;) {
      const rows = await iterator.next(rowsPerPage);
      if (rows.length === 0) return;
      await pace(rows.reduce((bytes, [key, value]) => bytes + key.length + value.length, 0));
      for (const [key, value] of rows) visit(key, value);
    }
  } finally {
    await iterator.close();
  }
}
