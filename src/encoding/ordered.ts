/**
 * Order-preserving encodings: bytewise comparison of the encodings equals comparison of the values.
 * Every encoding is self-delimiting, so encodings can stand one behind the other in a key. A
 * descending encoding is the ascending one with every byte inverted.
 *
 *   bytes     0x00 -> 0x00 0xff, end = 0x00 0x01
 *   uint      one length byte (0x88 + n), then n bytes big-endian without leading zeros
 *   int       negative: (0x88 - n) and n bytes of the value's two's complement, n minimal
 *   float64   8 bytes, sign bit flipped (positive) or all bits flipped (negative); NaN sorts last
 */
import { assert } from '../util/index.ts';

/** A growing byte string. `finish` copies out, so a writer can be used again. */
export class KeyWriter {
  #buffer = Buffer.allocUnsafe(256);
  #length = 0;

  reset(): this {
    this.#length = 0;
    return this;
  }

  get length(): number {
    return this.#length;
  }

  finish(): Buffer {
    const out = Buffer.allocUnsafe(this.#length);
    this.#buffer.copy(out, 0, 0, this.#length);
    return out;
  }

  byte(value: number): this {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
    return this;
  }

  raw(bytes: Buffer): this {
    this.#reserve(bytes.length);
    bytes.copy(this.#buffer, this.#length);
    this.#length += bytes.length;
    return this;
  }

  bytes(value: Buffer): this {
    this.#reserve(value.length * 2 + 2);
    const buffer = this.#buffer;
    let at = this.#length;
    for (let i = 0; i < value.length; i++) {
      const byte = value[i] as number;
      buffer[at++] = byte;
      if (byte === 0) buffer[at++] = 0xff;
    }
    buffer[at++] = 0;
    buffer[at++] = 1;
    this.#length = at;
    return this;
  }

  /** A non-negative safe integer. */
  uint(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, 'uint takes a non-negative safe integer');
    return this.int(value);
  }

  /** A safe integer. */
  int(value: number): this {
    this.#reserve(9);
    if (value >= 0 && value <= 0xffffffff) {
      // Nearly every id and count: no division.
      const size = value > 0xffffff ? 4 : value > 0xffff ? 3 : value > 0xff ? 2 : value > 0 ? 1 : 0;
      this.#buffer[this.#length++] = 0x88 + size;
      for (let shift = (size - 1) * 8; shift >= 0; shift -= 8) {
        this.#buffer[this.#length++] = (value >>> shift) & 0xff;
      }
      return this;
    }
    if (value >= 0) {
      let size = 0;
      for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) size++;
      this.#buffer[this.#length++] = 0x88 + size;
      let rest = value;
      for (let i = size - 1; i >= 0; i--) {
        this.#buffer[this.#length + i] = rest % 256;
        rest = Math.floor(rest / 256);
      }
      this.#length += size;
      return this;
    }
    // The complement of a negative number is the non-negative -value-1; its bytes are inverted.
    const complement = -(value + 1);
    let size = 0;
    for (let rest = complement; rest > 0; rest = Math.floor(rest / 256)) size++;
    this.#buffer[this.#length++] = 0x87 - size;
    let rest = complement;
    for (let i = size - 1; i >= 0; i--) {
      this.#buffer[this.#length + i] = 255 - (rest % 256);
      rest = Math.floor(rest / 256);
    }
    this.#length += size;
    return this;
  }

  /** Any 64-bit signed integer; the same encoding as `int`. */
  bigint(value: bigint): this {
    if (value >= -9007199254740991n && value <= 9007199254740991n) return this.int(Number(value));
    this.#reserve(9);
    const negative = value < 0n;
    let rest = negative ? -(value + 1n) : value;
    const reversed: number[] = [];
    while (rest > 0n) {
      reversed.push(Number(rest & 0xffn));
      rest >>= 8n;
    }
    assert(reversed.length <= 8, 'bigint keys hold 64 bits');
    this.#buffer[this.#length++] = negative ? 0x87 - reversed.length : 0x88 + reversed.length;
    for (let i = reversed.length - 1; i >= 0; i--) {
      const byte = reversed[i] as number;
      this.#buffer[this.#length++] = negative ? 255 - byte : byte;
    }
    return this;
  }

  /** -0 sorts (and is stored) as 0; NaN sorts behind everything, as in PostgreSQL. */
  float(value: number): this {
    this.#reserve(8);
    const buffer = this.#buffer;
    const at = this.#length;
    if (Number.isNaN(value)) buffer.fill(0xff, at, at + 8);
    else {
      buffer.writeDoubleBE(value === 0 ? 0 : value, at);
      if (value < 0) {
        for (let i = at; i < at + 8; i++) buffer[i] = 255 - (buffer[i] as number);
      } else buffer[at] = (buffer[at] as number) | 0x80;
    }
    this.#length += 8;
    return this;
  }

  /** Inverts everything written since `from`: makes that part sort in descending order. */
  invertFrom(from: number): this {
    for (let i = from; i < this.#length; i++) this.#buffer[i] = 255 - (this.#buffer[i] as number);
    return this;
  }

  #reserve(size: number): void {
    if (this.#length + size <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + size));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

/** Reads what KeyWriter wrote. Throws a RangeError on bytes that no writer makes. */
export class KeyReader {
  #buffer: Buffer;
  #at: number;

  constructor(buffer: Buffer, at = 0) {
    this.#buffer = buffer;
    this.#at = at;
  }

  get position(): number {
    return this.#at;
  }

  get done(): boolean {
    return this.#at >= this.#buffer.length;
  }

  peek(): number {
    const byte = this.#buffer[this.#at];
    if (byte === undefined) throw new RangeError('key ends too early');
    return byte;
  }

  byte(): number {
    const byte = this.peek();
    this.#at++;
    return byte;
  }

  raw(length: number): Buffer {
    if (this.#at + length > this.#buffer.length) throw new RangeError('key ends too early');
    const out = Buffer.from(this.#buffer.subarray(this.#at, this.#at + length));
    this.#at += length;
    return out;
  }

  bytes(): Buffer {
    return this.#bytes(0);
  }

  bytesDescending(): Buffer {
    return this.#bytes(0xff);
  }

  /** For values known to be safe integers. */
  int(): number {
    const value = this.#integer(0);
    if (typeof value === 'bigint') throw new RangeError('integer does not fit a number');
    return value;
  }

  bigint(): bigint {
    return BigInt(this.#integer(0));
  }

  bigintDescending(): bigint {
    return BigInt(this.#integer(0xff));
  }

  intDescending(): number {
    const value = this.#integer(0xff);
    if (typeof value === 'bigint') throw new RangeError('integer does not fit a number');
    return value;
  }

  float(): number {
    return this.#float(0);
  }

  floatDescending(): number {
    return this.#float(0xff);
  }

  #bytes(mask: number): Buffer {
    const buffer = this.#buffer;
    if (mask === 0) {
      // Without zero bytes inside, the encoding is the value and its end.
      const end = buffer.indexOf(0, this.#at);
      if (end !== -1 && buffer[end + 1] === 1) {
        const plain = Buffer.from(buffer.subarray(this.#at, end));
        this.#at = end + 2;
        return plain;
      }
    }
    const out = Buffer.allocUnsafe(buffer.length - this.#at);
    let length = 0;
    for (;;) {
      const byte = this.byte() ^ mask;
      if (byte !== 0) {
        out[length++] = byte;
        continue;
      }
      const next = this.byte() ^ mask;
      if (next === 1) return Buffer.from(out.subarray(0, length));
      if (next !== 0xff) throw new RangeError('bad escape in key');
      out[length++] = 0;
    }
  }

  #integer(mask: number): number | bigint {
    const head = this.byte() ^ mask;
    const negative = head < 0x88;
    const size = negative ? 0x87 - head : head - 0x88;
    if (size > 8) throw new RangeError('bad integer in key');
    if (size <= 6) {
      let value = 0;
      for (let i = 0; i < size; i++) {
        const byte = this.byte() ^ mask;
        value = value * 256 + (negative ? 255 - byte : byte);
      }
      return negative ? -value - 1 : value;
    }
    let value = 0n;
    for (let i = 0; i < size; i++) {
      const byte = this.byte() ^ mask;
      value = (value << 8n) | BigInt(negative ? 255 - byte : byte);
    }
    const signed = negative ? -value - 1n : value;
    return signed >= -9007199254740991n && signed <= 9007199254740991n ? Number(signed) : signed;
  }

  #float(mask: number): number {
    const bytes = this.raw(8);
    for (let i = 0; i < 8; i++) bytes[i] = (bytes[i] as number) ^ mask;
    const first = bytes[0] as number;
    if (first & 0x80) {
      if (bytes.every((byte) => byte === 0xff)) return NaN;
      bytes[0] = first & 0x7f;
    } else for (let i = 0; i < 8; i++) bytes[i] = 255 - (bytes[i] as number);
    return bytes.readDoubleBE(0);
  }
}
