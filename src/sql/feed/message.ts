/**
 * What a changefeed says, as JSON. Members of an object stand in the order of their names:
 *
 *   key       [1, "a"]                                   values of the primary key
 *   wrapped   {"after": {"a": 1, "b": "x"}}              null for a row that is gone
 *             and "before", "key", "updated" where asked for
 *   resolved  {"resolved": "1532377312562986715.0000000000"}
 *
 * Timestamps are decimal nanoseconds with ten digits of the logical counter, as `cursor` takes them.
 */
import { type Timestamp } from '../../kv/index.ts';
import { compareBytes } from '../../util/index.ts';
import { type TableDescriptor } from '../catalog/index.ts';
import { toJsonText } from '../functions/json-output.ts';
import { tableCodec, storedFormat, type RowDecoder } from '../row/index.ts';
import { quoteJson, type Datum, type Row, typeOps } from '../types/index.ts';
import { type ChangefeedOptions } from './options.ts';

/** Text does not depend on the session: whoever reads a feed need not know it. */
const format = { ...storedFormat, byteaOutput: 'hex' } as const;

/** What is told of a row of one definition of its table. */
export class RowMessages {
  readonly #decode: RowDecoder;
  readonly #width: number;
  readonly #key: readonly Member[];
  readonly #members: readonly Member[];

  constructor({ columns, primaryIndex, ...table }: TableDescriptor) {
    const codec = tableCodec({ columns, primaryIndex, ...table }).index(primaryIndex.id);
    const members = columns.map(({ name, typeOid, state, id }, position) => ({
      id,
      position,
      typeOid,
      isPublic: state === 'public',
      bytes: Buffer.from(name),
      label: `${quoteJson(name)}: `,
    }));
    this.#width = columns.length;
    this.#decode = codec.decoder(codec.coveredPositions);
    this.#key = primaryIndex.columns.flatMap(({ columnId }) =>
      members.filter(({ id }) => id === columnId),
    );
    this.#members = members
      .filter(({ isPublic }) => isPublic)
      .sort((a, b) => compareBytes(a.bytes, b.bytes));
  }

  row(key: Buffer, value: Buffer): Row {
    const row: Datum[] = Array.from<Datum>({ length: this.#width }).fill(null);
    this.#decode(key, value, row);
    return row;
  }

  key(row: Row): string {
    return `[${this.#key.map((member) => textOf(member, row)).join(', ')}]`;
  }

  object(row: Row | undefined): string {
    if (row === undefined) return 'null';
    return `{${this.#members.map((member) => member.label + textOf(member, row)).join(', ')}}`;
  }
}

interface Member {
  readonly position: number;
  readonly typeOid: number;
  readonly label: string;
}

function textOf({ position, typeOid }: Member, row: Row): string {
  return toJsonText(row[position] ?? null, typeOid, format);
}

/** The value of a message; null with envelope=key_only. */
export function wrapped(
  options: ChangefeedOptions,
  parts: {
    readonly key: string;
    readonly after: string;
    readonly before: string;
    readonly timestamp: Timestamp;
  },
): string | null {
  if (options.envelope === 'key_only') return null;
  const { key, after, before, timestamp } = parts;
  const members = [`"after": ${after}`];
  if (options.diff) members.push(`"before": ${before}`);
  if (options.keyInValue) members.push(`"key": ${key}`);
  if (options.updated) members.push(`"updated": "${decimal(timestamp)}"`);
  return `{${members.join(', ')}}`;
}

export function resolvedMessage(timestamp: Timestamp): string {
  return `{"resolved": "${decimal(timestamp)}"}`;
}

function decimal({ wall, logical }: Timestamp): string {
  return `${wall}000.${String(logical).padStart(10, '0')}`;
}

/** A deletion tells its key only if the whole of it can be read from the key's bytes; otherwise from what was there before. */
export function keyNeedsValue({ columns, primaryIndex }: TableDescriptor): boolean {
  return primaryIndex.columns.some(({ columnId }) => {
    const column = columns.find(({ id }) => id === columnId);
    return column === undefined || !typeOps(column.typeOid).keyIsLossless;
  });
}
