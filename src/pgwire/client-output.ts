/** What a session says, as protocol messages in the connection's buffer. */
import {
  type ClientOutput,
  type ResultColumn,
  type ResultFormats,
  type Row,
  sqlError,
  type Session,
} from '../sql/index.ts';
import {
  backend,
  writeCommandComplete,
  writeCopyResponse,
  writeEmpty,
  writeNotice,
  writeRowDescription,
} from './messages.ts';
import { type Format, RowEncoder } from './row-encoder.ts';
import { type WriteBuffer } from './write-buffer.ts';

/** What the connection does for it. */
export interface OutputPort {
  readonly buffer: WriteBuffer;
  /** Bytes that have left the buffer for good. */
  readonly sentBytes: number;
  /** Sends what is in the buffer; a promise when the client must be waited for. */
  flush(): Promise<void> | undefined;
  /** The next CopyData; see ClientOutput. */
  copyData(): Buffer | undefined | Promise<Buffer | undefined>;
}

/** Results larger than this leave before the statement is complete. */
const streamBytes = 64 * 1024;
/** Rows between two looks at the size of the buffer. */
const rowsPerCheck = 64;

const noFormats: readonly Format[] = [];

export class WireOutput implements ClientOutput {
  readonly #port: OutputPort;
  #session: Session | undefined;
  #encoder: RowEncoder = new RowEncoder([], []);
  /** Encoders of results in text form, by their columns: the same array comes with every run of a plan. */
  readonly #textEncoders = new WeakMap<readonly ResultColumn[], RowEncoder>();

  constructor(port: OutputPort) {
    this.#port = port;
  }

  attach(session: Session): void {
    this.#session = session;
  }

  beginResult(columns: readonly ResultColumn[], formats: ResultFormats, describe: boolean): void {
    this.#encoder = this.#encoderFor(columns, formats);
    if (describe) writeRowDescription(this.#port.buffer, columns, this.#encoder.formats);
  }

  #encoderFor(columns: readonly ResultColumn[], formats: ResultFormats): RowEncoder {
    if (formats.every((format) => format === 0)) {
      let encoder = this.#textEncoders.get(columns);
      if (encoder === undefined) {
        encoder = new RowEncoder(columns, noFormats);
        this.#textEncoders.set(columns, encoder);
      }
      return encoder;
    }
    const last = this.#encoder;
    const each = columnFormats(columns.length, formats);
    // A text encoder has no formats: the loop runs over the wanted ones.
    if (last.columns === columns && each.every((format, i) => format === last.formats[i]))
      return last;
    return new RowEncoder(columns, each);
  }

  rows(rows: readonly Row[]): Promise<void> | undefined {
    const { buffer } = this.#port;
    const settings = this.#session?.settings.format;
    if (settings === undefined) return undefined;
    if (rows.length <= rowsPerCheck) {
      for (const row of rows) this.#encoder.write(buffer, row, settings);
      return buffer.at > streamBytes ? this.#port.flush() : undefined;
    }
    return this.#manyRows(rows, settings);
  }

  async #manyRows(rows: readonly Row[], settings: Session['settings']['format']): Promise<void> {
    const { buffer } = this.#port;
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i];
      if (row !== undefined) this.#encoder.write(buffer, row, settings);
      if (i % rowsPerCheck === 0 && buffer.at > streamBytes) {
        const wait = this.#port.flush();
        if (wait !== undefined) await wait;
      }
    }
  }

  flush(): Promise<void> | undefined {
    return this.#port.flush();
  }

  complete(tag: string): void {
    writeCommandComplete(this.#port.buffer, tag);
  }

  emptyQuery(): void {
    writeEmpty(this.#port.buffer, backend.emptyQuery);
  }

  suspended(): void {
    writeEmpty(this.#port.buffer, backend.portalSuspended);
  }

  notice(severity: 'NOTICE' | 'WARNING' | 'INFO', code: string, message: string): void {
    writeNotice(this.#port.buffer, severity, code, message);
  }

  mark(): number {
    return this.#port.sentBytes + this.#port.buffer.at;
  }

  rewind(mark: number): boolean {
    const at = mark - this.#port.sentBytes;
    if (at < 0) return false;
    this.#port.buffer.rewind(at);
    return true;
  }

  copyIn(columnCount: number, format: 0 | 1): void {
    writeCopyResponse(this.#port.buffer, backend.copyIn, columnCount, format);
  }

  copyData(): Buffer | undefined | Promise<Buffer | undefined> {
    return this.#port.copyData();
  }

  copyOut(columnCount: number, format: 0 | 1): void {
    writeCopyResponse(this.#port.buffer, backend.copyOut, columnCount, format);
  }

  copyChunk(bytes: Buffer): Promise<void> | undefined {
    const { buffer } = this.#port;
    buffer.begin(backend.copyData);
    buffer.raw(bytes);
    buffer.end();
    return buffer.at > streamBytes ? this.#port.flush() : undefined;
  }

  copyDone(): void {
    writeEmpty(this.#port.buffer, backend.copyDone);
  }
}

/** One format per column from what Bind said: none, one for all, or one each. Throws 08P01. */
export function columnFormats(count: number, formats: ResultFormats): readonly Format[] {
  if (formats.length === 0) return noFormats;
  if (formats.length === 1) return Array.from<Format>({ length: count }).fill(formats[0] ?? 0);
  if (formats.length !== count) {
    throw sqlError(
      'protocolViolation',
      `bind message has ${formats.length} result formats but query has ${count} columns`,
    );
  }
  return formats;
}
