/**
 * What a session says to its client. Implemented by pgwire's connection, and by tests that collect
 * what comes. Everything is written at once into the client's output; nothing here waits except where
 * a promise is handed back, and that promise is backpressure.
 */
import { type ResultColumn } from './types.ts';
import { type Row } from '../types/datum.ts';

/** 0 text, 1 binary; empty: all text. */
export type ResultFormats = readonly (0 | 1)[];

export interface ClientOutput {
  /** The rows that follow have these columns; `describe` asks for a RowDescription. */
  beginResult(columns: readonly ResultColumn[], formats: ResultFormats, describe: boolean): void;
  /** A promise when the client is behind: wait for it before producing more. */
  rows(rows: readonly Row[]): Promise<void> | undefined;
  /** All that was said leaves now; a promise when the client is behind. */
  flush(): Promise<void> | undefined;
  complete(tag: string): void;
  emptyQuery(): void;
  suspended(): void;
  notice(severity: 'NOTICE' | 'WARNING' | 'INFO', code: string, message: string): void;
  /** A position to come back to. */
  mark(): number;
  /** Forgets all that was said since `mark`; false when some of it has left already. */
  rewind(mark: number): boolean;

  copyIn(columnCount: number, format: 0 | 1): void;
  /**
   * The next piece of COPY data; undefined at its end. Throws 57014 when the client gives up. The
   * bytes are lent until the next call.
   */
  copyData(): Buffer | undefined | Promise<Buffer | undefined>;
  copyOut(columnCount: number, format: 0 | 1): void;
  /** One CopyData message. */
  copyChunk(bytes: Buffer): Promise<void> | undefined;
  copyDone(): void;
}
