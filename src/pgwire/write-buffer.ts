/**
 * The growing output buffer of one connection. Messages are written in place: `begin` leaves room
 * for the length, `end` fills it in. What is not yet taken can be cut off again (`rewind`), which is
 * how results of a statement that is run anew disappear.
 */

const initialBytes = 8 * 1024;
/** A buffer that grew beyond this is let go once it is empty. */
const keptBytes = 256 * 1024;

export class WriteBuffer {
  bytes: Buffer = Buffer.allocUnsafeSlow(initialBytes);
  /** End of what is written. */
  at = 0;
  #messageStart = 0;

  reserve(length: number): void {
    if (this.bytes.length - this.at < length) this.#grow(length);
  }

  #grow(length: number): void {
    let size = this.bytes.length * 2;
    while (size - this.at < length) size *= 2;
    const larger = Buffer.allocUnsafeSlow(size);
    this.bytes.copy(larger, 0, 0, this.at);
    this.bytes = larger;
  }

  begin(type: number): void {
    this.reserve(16);
    this.bytes[this.at] = type;
    this.#messageStart = this.at + 1;
    this.at += 5;
  }

  end(): void {
    this.bytes.writeInt32BE(this.at - this.#messageStart, this.#messageStart);
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.at++] = value;
  }

  int16(value: number): void {
    this.reserve(2);
    const { bytes, at } = this;
    bytes[at] = value >> 8;
    bytes[at + 1] = value;
    this.at = at + 2;
  }

  int32(value: number): void {
    this.reserve(4);
    this.putInt32(value);
  }

  /** Room is already reserved. */
  putInt32(value: number): void {
    const { bytes, at } = this;
    bytes[at] = value >> 24;
    bytes[at + 1] = value >> 16;
    bytes[at + 2] = value >> 8;
    bytes[at + 3] = value;
    this.at = at + 4;
  }

  raw(value: Buffer): void {
    this.reserve(value.length);
    value.copy(this.bytes, this.at);
    this.at += value.length;
  }

  /** A string and a zero byte; a zero inside would end it early, so it is replaced. */
  cstring(value: string): void {
    const clean = value.includes('\0') ? value.replaceAll('\0', ' ') : value;
    this.reserve(clean.length * 3 + 1);
    this.at += this.bytes.write(clean, this.at);
    this.bytes[this.at++] = 0;
  }

  /** A length-prefixed field of UTF-8 text. */
  textField(value: string): void {
    const { length } = value;
    this.reserve(length * 3 + 4);
    const { bytes } = this;
    const start = this.at + 4;
    let written = 0;
    if (length < 24) {
      // Short ASCII strings: a loop beats the call into C++.
      while (written < length) {
        const code = value.charCodeAt(written);
        if (code > 127) break;
        bytes[start + written] = code;
        written++;
      }
      if (written < length) written = bytes.write(value, start);
    } else {
      written = bytes.write(value, start);
    }
    this.putInt32(written);
    this.at = start + written;
  }

  bytesField(value: Buffer): void {
    this.reserve(value.length + 4);
    this.putInt32(value.length);
    value.copy(this.bytes, this.at);
    this.at += value.length;
  }

  /** A length-prefixed field with the decimal digits of an integer of at most 32 bits. */
  intField(value: number): void {
    this.reserve(16);
    const { bytes } = this;
    let at = this.at + 4;
    let rest = value;
    if (rest < 0) {
      bytes[at++] = 45;
      rest = -rest;
    }
    let digits = 1;
    for (let limit = 10; rest >= limit; limit *= 10) digits++;
    for (let i = at + digits - 1; i >= at; i--) {
      const quotient = Math.floor(rest / 10);
      bytes[i] = 48 + (rest - quotient * 10);
      rest = quotient;
    }
    at += digits;
    this.putInt32(at - this.at - 4);
    this.at = at;
  }

  rewind(to: number): void {
    this.at = to;
  }

  /** Hands over everything written. The buffer's memory goes with it. */
  take(): Buffer {
    const taken = this.bytes.subarray(0, this.at);
    const rest = this.bytes.length - this.at;
    if (rest >= initialBytes / 2 && this.bytes.length <= keptBytes) {
      // Small answers share one piece of memory until it is used up.
      this.bytes = this.bytes.subarray(this.at);
    } else {
      this.bytes = Buffer.allocUnsafeSlow(initialBytes);
    }
    this.at = 0;
    return taken;
  }
}
