/** Reads what a store has written, byte by byte; CorruptionError when it is cut off or makes no sense. */
import { CorruptionError } from './engine.ts';

export class StoredReader {
  readonly #bytes: Buffer;
  /** For messages. */
  readonly #what: string;
  at: number;

  constructor(bytes: Buffer, at: number, what: string) {
    this.#bytes = bytes;
    this.at = at;
    this.#what = what;
  }

  byte(): number {
    const value = this.#bytes[this.at];
    if (value === undefined) throw new CorruptionError(`${this.#what} ends too early`);
    this.at++;
    return value;
  }

  /** Shares the memory. */
  raw(length: number): Buffer {
    if (this.at + length > this.#bytes.length) {
      throw new CorruptionError(`${this.#what} ends too early`);
    }
    const out = this.#bytes.subarray(this.at, this.at + length);
    this.at += length;
    return out;
  }

  /** 7 bits in a byte, the lowest first. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new CorruptionError(`bad number in ${this.#what}`);
  }
}
