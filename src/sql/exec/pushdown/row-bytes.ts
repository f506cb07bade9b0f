/** Rows as bytes: per value a 4-byte length (-1 = null) and the type's binary form. */
import { type Datum, type Row, typeOps, type TypeOps } from '../../types/index.ts';

export class RowBytes {
  readonly #ops: readonly TypeOps[];

  constructor(types: readonly number[]) {
    this.#ops = types.map((type) => typeOps(type));
  }

  encode(row: Row): Buffer {
    const parts: (Buffer | undefined)[] = [];
    let size = 0;
    for (const [i, ops] of this.#ops.entries()) {
      const value = row[i] ?? null;
      const bytes = value === null ? undefined : ops.encodeBinary(value);
      parts.push(bytes);
      size += 4 + (bytes?.length ?? 0);
    }
    const out = Buffer.allocUnsafe(size);
    let at = 0;
    for (const bytes of parts) {
      at = out.writeInt32BE(bytes === undefined ? -1 : bytes.length, at);
      if (bytes !== undefined) at += bytes.copy(out, at);
    }
    return out;
  }

  /** Throws RangeError on bytes that `encode` does not make. */
  decode(bytes: Buffer): Datum[] {
    const row: Datum[] = [];
    let at = 0;
    for (const ops of this.#ops) {
      const length = bytes.readInt32BE(at);
      at += 4;
      if (length < 0) {
        row.push(null);
        continue;
      }
      row.push(ops.decodeBinary(bytes.subarray(at, at + length), -1));
      at += length;
    }
    return row;
  }
}

/** A key-value pair as one string of bytes. */
export function packPair(key: Buffer, value: Buffer): Buffer {
  const out = Buffer.allocUnsafe(4 + key.length + value.length);
  out.writeUInt32BE(key.length, 0);
  key.copy(out, 4);
  value.copy(out, 4 + key.length);
  return out;
}

export function unpackPair(bytes: Buffer): { readonly key: Buffer; readonly value: Buffer } {
  const length = bytes.readUInt32BE(0);
  return { key: bytes.subarray(4, 4 + length), value: bytes.subarray(4 + length) };
}
