/** COPY data in binary form: signature, flags, extension, then tuples of length-prefixed fields. */
import { sqlError } from '../../errors.ts';
import { binarySignature } from './output.ts';

const maxTupleBytes = 64 * 1024 * 1024;

export class BinaryRecords {
  #bytes: Buffer = Buffer.alloc(0);
  #hasHeader = false;
  #isEnded = false;
  line = 0;

  push(bytes: Buffer): (Buffer | null)[][] {
    this.#bytes =
      this.#bytes.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#bytes, bytes]);
    if (this.#bytes.length > maxTupleBytes) {
      throw sqlError('programLimitExceeded', 'a row of COPY data is too long');
    }
    const records: (Buffer | null)[][] = [];
    let at = this.#hasHeader ? 0 : this.#header();
    while (at !== undefined && !this.#isEnded) {
      const record: (Buffer | null)[] = [];
      const next = this.#tuple(at, record);
      if (next === undefined) break;
      at = next;
      if (!this.#isEnded) {
        this.line++;
        records.push(record);
      }
    }
    if (at !== undefined) this.#bytes = this.#bytes.subarray(at);
    return records;
  }

  end(): void {
    if (!this.#hasHeader) throw sqlError('badCopyFileFormat', 'COPY file signature not recognized');
    if (!this.#isEnded && this.#bytes.length > 0) {
      throw sqlError('badCopyFileFormat', 'unexpected EOF in COPY data');
    }
  }

  #header(): number | undefined {
    const bytes = this.#bytes;
    if (bytes.length < 19) return undefined;
    if (!bytes.subarray(0, 11).equals(binarySignature)) {
      throw sqlError('badCopyFileFormat', 'COPY file signature not recognized');
    }
    const flags = bytes.readInt32BE(11);
    if ((flags & 0xffff0000) !== 0) {
      throw sqlError('badCopyFileFormat', 'unrecognized critical flags in COPY file header');
    }
    const extension = bytes.readInt32BE(15);
    if (extension < 0)
      throw sqlError('badCopyFileFormat', 'invalid COPY file header (wrong length)');
    if (bytes.length < 19 + extension) return undefined;
    this.#hasHeader = true;
    return 19 + extension;
  }

  #tuple(start: number, record: (Buffer | null)[]): number | undefined {
    const bytes = this.#bytes;
    if (bytes.length < start + 2) return undefined;
    const count = bytes.readInt16BE(start);
    let at = start + 2;
    if (count === -1) {
      this.#isEnded = true;
      return at;
    }
    for (let i = 0; i < count; i++) {
      if (bytes.length < at + 4) return undefined;
      const length = bytes.readInt32BE(at);
      at += 4;
      if (length === -1) {
        record.push(null);
        continue;
      }
      if (length < 0) throw sqlError('badCopyFileFormat', 'invalid field size');
      if (bytes.length < at + length) return undefined;
      record.push(bytes.subarray(at, at + length));
      at += length;
    }
    return at;
  }
}
