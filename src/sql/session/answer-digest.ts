/** What a statement said to its client, kept as a digest: enough to tell whether a second run says the same. */
import { createHash, type Hash } from 'node:crypto';
import { type Row } from '../types/datum.ts';
import { type TypeOps } from '../types/types.ts';
import { defaultFormat, typeOps } from '../types/index.ts';
import { type SqlFailure } from '../errors.ts';
import { type ClientOutput, type ResultFormats } from './client.ts';
import { type ResultColumn } from './types.ts';

/** Answers up to here are kept as they are; longer ones are hashed, in pieces of about `pieceLength`. */
const plainLength = 64;
const pieceLength = 16_384;
/** Characters. Answers that are longer have no digest: whoever reads so much does not pay for it twice. */
const maxLength = 1_048_576;

/** Hands everything on and keeps its digest. */
export class DigestOutput implements ClientOutput {
  readonly #out: ClientOutput;
  #hash: Hash | undefined;
  #text = '';
  /** Of what is hashed already. */
  #hashedLength = 0;
  #ops: readonly TypeOps[] = [];

  constructor(out: ClientOutput) {
    this.#out = out;
  }

  /** Of the whole answer, undefined when it is too long. To be called once, at its end. */
  digest(): string | undefined {
    if (this.#isTooLong) return undefined;
    if (this.#hash === undefined && this.#text.length <= plainLength) return this.#text;
    return (this.#hash ?? createHash('sha256')).update(this.#text).digest('base64');
  }

  /** Instead of `digest`, for a statement that failed: of what was sent before, and of all that the client is told about it. */
  failed({ code, message, fields }: SqlFailure): string | undefined {
    this.#add(`error ${code} ${message} ${JSON.stringify(fields)}`);
    return this.digest();
  }

  get #isTooLong(): boolean {
    return this.#hashedLength > maxLength;
  }

  #add(text: string): void {
    this.#text += `${text.length}:${text}`;
    if (this.#text.length < pieceLength) return;
    this.#hash ??= createHash('sha256');
    this.#hash.update(this.#text);
    this.#hashedLength += this.#text.length;
    this.#text = '';
  }

  beginResult(columns: readonly ResultColumn[], formats: ResultFormats, describe: boolean): void {
    this.#ops = columns.map(({ typeOid }) => typeOps(typeOid));
    for (const { name, typeOid } of columns) this.#add(`${name} ${typeOid}`);
    this.#out.beginResult(columns, formats, describe);
  }

  rows(rows: readonly Row[]): Promise<void> | undefined {
    if (!this.#isTooLong) this.#addRows(rows);
    return this.#out.rows(rows);
  }

  #addRows(rows: readonly Row[]): void {
    const ops = this.#ops;
    for (const row of rows) {
      for (let i = 0; i < ops.length; i++) {
        const value = row[i] ?? null;
        if (value === null) this.#text += 'null';
        else this.#add(ops[i]?.format(value, defaultFormat) ?? '');
      }
    }
  }

  flush(): Promise<void> | undefined {
    return this.#out.flush();
  }

  complete(tag: string): void {
    this.#add(tag);
    this.#out.complete(tag);
  }

  notice(severity: 'NOTICE' | 'WARNING' | 'INFO', code: string, message: string): void {
    this.#add(`${severity} ${code} ${message}`);
    this.#out.notice(severity, code, message);
  }

  emptyQuery(): void {
    this.#out.emptyQuery();
  }

  suspended(): void {
    this.#out.suspended();
  }

  mark(): number {
    return this.#out.mark();
  }

  /** Whoever rewinds begins a new digest. */
  rewind(mark: number): boolean {
    return this.#out.rewind(mark);
  }

  // COPY is never run again: its data pass by.

  copyIn(columnCount: number, format: 0 | 1): void {
    this.#out.copyIn(columnCount, format);
  }

  copyData(): Buffer | undefined | Promise<Buffer | undefined> {
    return this.#out.copyData();
  }

  copyOut(columnCount: number, format: 0 | 1): void {
    this.#out.copyOut(columnCount, format);
  }

  copyChunk(bytes: Buffer): Promise<void> | undefined {
    return this.#out.copyChunk(bytes);
  }

  copyDone(): void {
    this.#out.copyDone();
  }
}

/** For runs whose answers nobody hears. */
export const silentOutput: ClientOutput = {
  beginResult: () => {},
  rows: () => undefined,
  flush: () => undefined,
  complete: () => {},
  emptyQuery: () => {},
  suspended: () => {},
  notice: () => {},
  mark: () => 0,
  rewind: () => true,
  copyIn: () => {},
  copyData: () => undefined,
  copyOut: () => {},
  copyChunk: () => undefined,
  copyDone: () => {},
};
