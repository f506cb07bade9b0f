/**
 * Is there a row, and does it stay? What a foreign key needs to know of its parent: everybody may change the row meanwhile, in
 * intents and in versions that are newer than the reader, as long as it stays. Values are not looked at.
 */
import { compareTimestamps, type Timestamp } from '../../kv/index.ts';
import {
  decodeHead,
  headKey,
  keepsRow,
  mvccGet,
  type EngineReader,
  type HeadRecord,
  type MvccGet,
  type MvccReadOptions,
} from '../../storage/index.ts';

/** As a locking read of `key`, but for a row that was there at the read timestamp already, is there now, and stays. */
export function mvccExists(
  reader: EngineReader,
  key: Buffer,
  options: MvccReadOptions,
): MvccGet | Promise<MvccGet> {
  const stored = reader.get(headKey(key));
  const head = stored === undefined ? undefined : decodeHead(stored);
  const { timestamp, value } = head ?? {};
  if (head === undefined || timestamp === undefined || value === undefined || !stays(head)) {
    return mvccGet(reader, key, options);
  }
  if (compareTimestamps(timestamp, options.timestamp) <= 0) {
    return { kind: 'value', value, timestamp };
  }
  return valueAt(reader, key, options.timestamp).then((older): MvccGet =>
    older?.value === undefined ? { kind: 'newer', key, existing: timestamp } : older,
  );
}

function stays(head: HeadRecord): boolean {
  return head.intent === undefined || keepsRow(head);
}

/** A row that was there at `from` may not be there at `to`. The head decides unless it is newer than `to`. */
export async function hasGone(
  reader: EngineReader,
  key: Buffer,
  { timestamp, value }: Pick<HeadRecord, 'timestamp' | 'value'>,
  span: { readonly from: Timestamp; readonly to: Timestamp },
): Promise<boolean> {
  if (timestamp === undefined || compareTimestamps(timestamp, span.from) <= 0) return false;
  if (compareTimestamps(timestamp, span.to) <= 0) return value === undefined;
  return (await valueAt(reader, key, span.to))?.value === undefined;
}

/** The committed version at `timestamp`, whatever is about to replace it. */
async function valueAt(
  reader: EngineReader,
  key: Buffer,
  timestamp: Timestamp,
): Promise<Extract<MvccGet, { kind: 'value' }> | undefined> {
  const got = await mvccGet(reader, key, {
    timestamp,
    txn: undefined,
    failOnNewer: false,
    ignoreIntents: true,
  });
  return got.kind === 'value' ? got : undefined;
}
