/**
 * How far LevelDB's manifest has counted the numbers of files. LevelDB takes up its count there when it opens, so a
 * table with a later number (the output of a compaction or flush that was not finished) is written anew under the
 * same name, with other content; those before it are never used again.
 *
 * A manifest is a log of edits, which only grows (LevelDB's doc/log_format.md and doc/impl.md): blocks of 32 KiB with
 * records of checksum (4 bytes), length (2), type (1) and data; an edit is one record, or a first, middle and last
 * one. An edit is a row of fields, each a tag and its value; the count comes before those of variable kind.
 */
import { CorruptionError } from './engine.ts';
import { type ForeignFiles } from './foreign-files.ts';
import { StoredReader } from './stored-reader.ts';

const blockBytes = 32 * 1024;
const headerBytes = 7;
const chunkBytes = 1024 * 1024;
/** Types of records. */
const full = 1;
const first = 2;
const last = 4;
/** Tags of fields. */
const comparator = 1;
const logNumber = 2;
const nextFileNumber = 3;
const lastSequence = 4;
const previousLogNumber = 9;

export class LevelManifest {
  readonly #files: ForeignFiles;
  readonly #path: string;
  /** All records before it are read. */
  #position = 0;
  #edit: Buffer[] = [];
  #nextFile = 0;

  constructor(files: ForeignFiles, path: string) {
    this.#files = files;
    this.#path = path;
  }

  /** All files with lower numbers have got them for good. Reads what was added since the last call. */
  async nextFile(): Promise<number> {
    for (;;) {
      const block = this.#position - (this.#position % blockBytes);
      const chunk = await this.#files.readRange(this.#path, block, chunkBytes);
      if (chunk === undefined) return this.#nextFile;
      const begin = this.#position;
      this.#readRecords(chunk, block);
      if (chunk.length < chunkBytes || this.#position === begin) return this.#nextFile;
    }
  }

  /** The last record may still lack its end. */
  #readRecords(chunk: Buffer, start: number): void {
    for (;;) {
      const inBlock = this.#position % blockBytes;
      if (blockBytes - inBlock < headerBytes) this.#position += blockBytes - inBlock;
      const at = this.#position - start;
      if (at + headerBytes > chunk.length) return;
      const data = at + headerBytes;
      const end = data + chunk.readUInt16LE(at + 4);
      const type = chunk.readUInt8(at + 6);
      if (end > chunk.length) return;
      if (type < full || type > last) {
        throw new CorruptionError(`${this.#path} has a record of type ${type} at ${start + at}`);
      }
      if (type === full || type === first) this.#edit = [];
      this.#edit.push(chunk.subarray(data, end));
      if (type === full || type === last) this.#readEdit(Buffer.concat(this.#edit));
      this.#position = start + end;
    }
  }

  #readEdit(edit: Buffer): void {
    const fields = new StoredReader(edit, 0, this.#path);
    while (fields.at < edit.length) {
      const tag = fields.varint();
      if (tag === comparator) fields.raw(fields.varint());
      else if (tag === nextFileNumber) this.#nextFile = Math.max(this.#nextFile, fields.varint());
      else if (tag === logNumber || tag === lastSequence || tag === previousLogNumber)
        fields.varint();
      else return;
    }
  }
}
