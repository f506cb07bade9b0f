/**
 * Compact binary writing and reading for the hot path: commands, raft messages, range state. One
 * allocation per finished buffer; readers hand out slices of what they read.
 */

/** A growing byte string; `finish` copies out, so one writer serves a whole module. */
export class ByteWriter {
  #buffer = Buffer.allocUnsafeSlow(1 << 12);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  reset(): this {
    this.#length = 0;
    // One huge command must not hold its memory for ever.
    if (this.#buffer.length > 1 << 22) this.#buffer = Buffer.allocUnsafeSlow(1 << 12);
    return this;
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

  /** A non-negative safe integer, seven bits per byte, least significant first. */
  uint(value: number): this {
    this.#reserve(8);
    const buffer = this.#buffer;
    let rest = value;
    while (rest >= 0x8000_0000) {
      buffer[this.#length++] = (rest % 128) + 128;
      rest = Math.floor(rest / 128);
    }
    while (rest >= 0x80) {
      buffer[this.#length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    buffer[this.#length++] = rest;
    return this;
  }

  /** A safe integer of either sign with magnitude below 2^52. */
  int(value: number): this {
    return this.uint(value >= 0 ? value * 2 : -value * 2 - 1);
  }

  /** Length, then the bytes. */
  bytes(value: Buffer): this {
    const size = value.length;
    this.uint(size);
    this.#reserve(size);
    const buffer = this.#buffer;
    let at = this.#length;
    // Copying short strings by hand is cheaper than a call into native code.
    if (size < 48) for (let i = 0; i < size; i++) buffer[at++] = value[i] as number;
    else value.copy(buffer, at);
    this.#length += size;
    return this;
  }

  raw(value: Buffer): this {
    this.#reserve(value.length);
    value.copy(this.#buffer, this.#length);
    this.#length += value.length;
    return this;
  }

  #reserve(size: number): void {
    if (this.#length + size <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#length + size));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

/** Throws a RangeError when the bytes end too early or hold an integer that is not safe. */
export class ByteReader {
  readonly #buffer: Buffer;
  #at: number;

  constructor(buffer: Buffer, at = 0) {
    this.#buffer = buffer;
    this.#at = at;
  }

  get done(): boolean {
    return this.#at >= this.#buffer.length;
  }

  get position(): number {
    return this.#at;
  }

  byte(): number {
    const value = this.#buffer[this.#at++];
    if (value === undefined) throw new RangeError('the bytes end too early');
    return value;
  }

  uint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) throw new RangeError('an integer is too large');
        return value;
      }
      scale *= 128;
      if (scale > 2 ** 56) throw new RangeError('an integer is too long');
    }
  }

  int(): number {
    const coded = this.uint();
    return coded % 2 === 0 ? coded / 2 : -(coded + 1) / 2;
  }

  /** Shares the reader's memory. */
  bytes(): Buffer {
    return this.raw(this.uint());
  }

  raw(size: number): Buffer {
    const end = this.#at + size;
    if (end > this.#buffer.length) throw new RangeError('the bytes end too early');
    const out = this.#buffer.subarray(this.#at, end);
    this.#at = end;
    return out;
  }
}
