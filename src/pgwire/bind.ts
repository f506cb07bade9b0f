/** Bind messages: parameter values to datums, in the formats and types they come in. */
import {
  type Datum,
  type FormatSettings,
  lateInputTypes,
  oids,
  type PreparedStatement,
  type ResultFormats,
  sqlError,
  typeOps,
} from '../sql/index.ts';
import { type FrameReader } from './frame-reader.ts';

export interface BindMessage {
  readonly portal: string;
  readonly params: readonly Datum[];
  readonly formats: ResultFormats;
}

const none: readonly (0 | 1)[] = [];
/** Their datum is the text itself, or is made of it when the statement runs. */
const keptAsText: ReadonlySet<number> = new Set([
  oids.text,
  oids.varchar,
  oids.unknown,
  ...lateInputTypes,
]);

export function readBind(
  reader: FrameReader,
  find: (statement: string) => PreparedStatement,
  settings: FormatSettings,
): BindMessage & { readonly statement: PreparedStatement } {
  const portal = reader.cstring();
  const statement = find(reader.cstring());
  const formats = readFormats(reader);
  const count = reader.uint16();
  const types = statement.parameterTypes;
  if (formats.length > 1 && formats.length !== count) {
    throw sqlError(
      'protocolViolation',
      `bind message has ${formats.length} parameter formats but ${count} parameters`,
    );
  }
  if (count !== types.length) {
    throw sqlError(
      'protocolViolation',
      `bind message supplies ${count} parameters, but prepared statement "${statement.name}" requires ${types.length}`,
    );
  }
  const params: Datum[] = [];
  for (let i = 0; i < count; i++) {
    const length = reader.int32();
    if (length === -1) {
      params.push(null);
      continue;
    }
    if (length < 0) throw sqlError('protocolViolation', 'invalid parameter length');
    const format = formats.length === 0 ? 0 : (formats[formats.length === 1 ? 0 : i] ?? 0);
    const oid = types[i] ?? oids.text;
    params.push(
      format === 0 ? readText(reader, length, oid, settings) : readBinary(reader, length, oid),
    );
  }
  const resultFormats = readFormats(reader);
  reader.expectEnd();
  return { portal, statement, params, formats: resultFormats };
}

function readFormats(reader: FrameReader): readonly (0 | 1)[] {
  const count = reader.uint16();
  if (count === 0) return none;
  const formats: (0 | 1)[] = [];
  for (let i = 0; i < count; i++) {
    const format = reader.int16();
    if (format !== 0 && format !== 1) {
      throw sqlError('protocolViolation', `unsupported format code: ${format}`);
    }
    formats.push(format);
  }
  return formats;
}

function readText(
  reader: FrameReader,
  length: number,
  oid: number,
  settings: FormatSettings,
): Datum {
  const text = reader.text(length);
  if (keptAsText.has(oid)) {
    if (text.includes('\0')) throw zeroByte();
    return text;
  }
  if (oid === oids.int4 && length < 10) {
    // Digits only; everything else takes the general way.
    let value = 0;
    for (let i = 0; i < text.length; i++) {
      const digit = text.charCodeAt(i) - 48;
      if (digit < 0 || digit > 9) return typeOps(oid).parse(text, -1, settings);
      value = value * 10 + digit;
    }
    if (text.length > 0) return value;
  }
  return typeOps(oid).parse(text, -1, settings);
}

function readBinary(reader: FrameReader, length: number, oid: number): Datum {
  // The frame's memory is only lent.
  return typeOps(oid).decodeBinary(Buffer.from(reader.view(length)), -1);
}

function zeroByte(): Error {
  return sqlError('characterNotInRepertoire', 'invalid byte sequence for encoding "UTF8": 0x00');
}
