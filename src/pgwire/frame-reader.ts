/**
 * Cuts the incoming byte stream into messages. Bytes may arrive split anywhere. A message is read in
 * place where it lies in one chunk; only an incomplete one is copied together.
 */
import { isUtf8 } from 'node:buffer';
import { sqlError } from '../sql/index.ts';

const empty: Buffer = Buffer.alloc(0);

export class FrameReader {
  #bytes: Buffer = empty;
  #at = 0;
  /** Filled part of #bytes. */
  #filled = 0;
  /** Chunks behind #bytes that wait for the message in front of them to be taken. */
  #owned = false;

  /** Type byte of the current message; 0 for startup packets. */
  type = 0;
  #body = 0;
  #end = 0;

  push(chunk: Buffer): void {
    const rest = this.#filled - this.#at;
    if (rest === 0) {
      this.#bytes = chunk;
      this.#at = 0;
      this.#filled = chunk.length;
      this.#owned = false;
      return;
    }
    if (!this.#owned || this.#bytes.length - this.#filled < chunk.length) {
      const size = Math.max(rest + chunk.length, this.#wanted(rest), 1024);
      const joined = Buffer.allocUnsafeSlow(this.#owned ? Math.max(size, rest * 2) : size);
      this.#bytes.copy(joined, 0, this.#at, this.#filled);
      this.#bytes = joined;
      this.#at = 0;
      this.#filled = rest;
      this.#owned = true;
    }
    chunk.copy(this.#bytes, this.#filled);
    this.#filled += chunk.length;
  }

  /** Size of the message that has begun, so that a large one is copied once. */
  #wanted(rest: number): number {
    if (rest < 5) return 0;
    const length = this.#bytes.readInt32BE(this.#at + 1);
    return length > 0 && length < 64 * 1024 * 1024 ? length + 1 : 0;
  }

  get bufferedBytes(): number {
    return this.#filled - this.#at;
  }

  /** Moves to the next complete message. Throws 54000 when its length is above `limit`, 08P01 when impossible. */
  next(limit: number): boolean {
    const { bufferedBytes } = this;
    if (bufferedBytes < 5) return false;
    const length = this.#bytes.readInt32BE(this.#at + 1);
    if (length < 4) throw sqlError('protocolViolation', 'invalid message length');
    if (length > limit) {
      throw sqlError('programLimitExceeded', `message of ${length} bytes is longer than allowed`, {
        detail: `The limit is ${limit} bytes.`,
      });
    }
    if (bufferedBytes < length + 1) return false;
    this.type = this.#bytes[this.#at] ?? 0;
    this.#body = this.#at + 5;
    this.#end = this.#at + 1 + length;
    this.#at = this.#end;
    return true;
  }

  /** The type byte of the message behind the current one, if it is there whole. */
  peekType(): number | undefined {
    const { bufferedBytes } = this;
    if (bufferedBytes < 5) return undefined;
    const length = this.#bytes.readInt32BE(this.#at + 1);
    return bufferedBytes >= length + 1 ? this.#bytes[this.#at] : undefined;
  }

  /** The same for packets without a type byte, as they come first. */
  nextStartup(limit: number): boolean {
    if (this.bufferedBytes < 4) return false;
    const length = this.#bytes.readInt32BE(this.#at);
    if (length < 8 || length > limit) {
      throw sqlError('protocolViolation', 'invalid length of startup packet');
    }
    if (this.bufferedBytes < length) return false;
    this.type = 0;
    this.#body = this.#at + 4;
    this.#end = this.#at + length;
    this.#at = this.#end;
    return true;
  }

  // Fields of the current message.

  get remaining(): number {
    return this.#end - this.#body;
  }

  #need(length: number): number {
    if (this.#end - this.#body < length) {
      throw sqlError('protocolViolation', 'insufficient data left in message');
    }
    const at = this.#body;
    this.#body += length;
    return at;
  }

  byte(): number {
    return this.#bytes[this.#need(1)] ?? 0;
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#need(2));
  }

  uint16(): number {
    return this.#bytes.readUInt16BE(this.#need(2));
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#need(4));
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#need(4));
  }

  cstring(): string {
    const { data, start, end } = this.#cstringSpan();
    if (start === end) return '';
    return validText(data, start, end);
  }

  #cstringSpan(): { data: Buffer; start: number; end: number } {
    const start = this.#body;
    const end = this.#bytes.indexOf(0, start);
    if (end < 0 || end >= this.#end) {
      throw sqlError('protocolViolation', 'invalid string in message');
    }
    this.#body = end + 1;
    return { data: this.#bytes, start, end };
  }

  /** UTF-8 text of `length` bytes. */
  text(length: number): string {
    const at = this.#need(length);
    return validText(this.#bytes, at, at + length);
  }

  /** A view of the next `length` bytes: valid until the next message is asked for. */
  view(length: number): Buffer {
    const at = this.#need(length);
    return this.#bytes.subarray(at, at + length);
  }

  rest(): Buffer {
    return this.view(this.remaining);
  }

  expectEnd(): void {
    if (this.remaining !== 0) throw sqlError('protocolViolation', 'invalid message format');
  }
}

function validText(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, end);
  // The decoder puts U+FFFD where bytes make no sense; only then is it worth looking closer.
  if (text.includes('\ufffd') && !isUtf8(bytes.subarray(start, end))) {
    throw sqlError('characterNotInRepertoire', 'invalid byte sequence for encoding "UTF8"');
  }
  return text;
}
