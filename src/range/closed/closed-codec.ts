/** Bytes of a message of the side transport: `side-transport.ts`. */
import {
  asRangeId,
  asStoreId,
  type RangeId,
  type StoreId,
  type Timestamp,
} from '../../kv/index.ts';
import { ByteReader, ByteWriter } from '../replica/byte-codec.ts';

export interface ClosedMessage {
  readonly from: StoreId;
  readonly to: StoreId;
  /** Sender's clock. */
  readonly now: Timestamp;
  /** Another number each time the sender begins anew; its messages are counted from 1. */
  readonly stream: number;
  readonly sequence: number;
  /** Groups of ranges at rest, each closed up to `closed` as of the named index of the range's log. */
  readonly groups: readonly {
    readonly id: number;
    readonly closed: number;
    readonly came: readonly { readonly rangeId: RangeId; readonly index: number }[];
    readonly went: readonly RangeId[];
  }[];
  /** Ranges that are not at rest, this time. */
  readonly awake: readonly {
    readonly rangeId: RangeId;
    readonly index: number;
    readonly closed: number;
  }[];
}

const formatVersion = 1;
const writer = new ByteWriter();

export function encodeClosed(message: ClosedMessage): Buffer {
  const { from, to, now, stream, sequence, groups, awake } = message;
  writer.reset().byte(formatVersion).uint(from).uint(to).uint(now.wall).uint(now.logical);
  writer.uint(stream).uint(sequence).uint(groups.length);
  for (const { id, closed, came, went } of groups) {
    writer.uint(id).uint(closed).uint(came.length);
    for (const { rangeId, index } of came) writer.uint(rangeId).uint(index);
    writer.uint(went.length);
    for (const rangeId of went) writer.uint(rangeId);
  }
  writer.uint(awake.length);
  for (const { rangeId, index, closed } of awake) {
    writer
      .uint(rangeId)
      .uint(index)
      .int(now.wall - closed);
  }
  return writer.finish();
}

/** Throws RangeError for what is damaged. */
export function decodeClosed(encoded: Buffer): ClosedMessage {
  const reader = new ByteReader(encoded);
  if (reader.byte() !== formatVersion) {
    throw new RangeError('a message about closed timestamps has an unknown format');
  }
  const rangeId = (): RangeId => asRangeId(reader.uint());
  const from = asStoreId(reader.uint());
  const to = asStoreId(reader.uint());
  const now = { wall: reader.uint(), logical: reader.uint() };
  const stream = reader.uint();
  const sequence = reader.uint();
  const groups = list(reader, () => ({
    id: reader.uint(),
    closed: reader.uint(),
    came: list(reader, () => ({ rangeId: rangeId(), index: reader.uint() })),
    went: list(reader, rangeId),
  }));
  const awake = list(reader, () => ({
    rangeId: rangeId(),
    index: reader.uint(),
    closed: now.wall - reader.int(),
  }));
  return { from, to, now, stream, sequence, groups, awake };
}

function list<T>(reader: ByteReader, read: () => T): T[] {
  const found: T[] = [];
  for (let left = reader.uint(); left > 0; left--) found.push(read());
  return found;
}
