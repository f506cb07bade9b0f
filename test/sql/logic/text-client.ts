/** A client inside the process: runs query strings in a session and collects rows as texts. */
import {
  type ClientOutput,
  type ResultColumn,
  type Row,
  type Session,
  SqlFailure,
  typeOps,
} from '../../../src/sql/index.ts';

export interface TextResult {
  readonly columns: readonly string[];
  readonly rows: (string | null)[][];
  readonly tag: string;
}

export interface TextAnswer {
  readonly results: readonly TextResult[];
  readonly notices: readonly string[];
  readonly error: SqlFailure | undefined;
}

export async function runText(session: Session, sql: string, copyData = ''): Promise<TextAnswer> {
  const output = new Collector(session, copyData);
  try {
    await session.query(sql, output);
    return { results: output.results, notices: output.notices, error: undefined };
  } catch (error) {
    if (!(error instanceof SqlFailure)) throw error;
    return { results: output.results, notices: output.notices, error };
  }
}

class Collector implements ClientOutput {
  results: TextResult[] = [];
  readonly notices: string[] = [];
  readonly #session: Session;
  #columns: readonly ResultColumn[] = [];
  #rows: (string | null)[][] = [];
  #data: Buffer | undefined;

  constructor(session: Session, copyData: string) {
    this.#session = session;
    this.#data = Buffer.from(copyData);
  }

  beginResult(columns: readonly ResultColumn[]): void {
    this.#columns = columns;
    this.#rows = [];
  }

  rows(rows: readonly Row[]): undefined {
    const settings = this.#session.settings.format;
    const ops = this.#columns.map((column) => typeOps(column.typeOid));
    for (const row of rows) {
      this.#rows.push(
        ops.map((op, i) => {
          const value = row[i] ?? null;
          return value === null ? null : op.format(value, settings);
        }),
      );
    }
    return undefined;
  }

  flush(): undefined {
    return undefined;
  }

  complete(tag: string): void {
    this.results.push({ columns: this.#columns.map(({ name }) => name), rows: this.#rows, tag });
    this.#columns = [];
    this.#rows = [];
  }

  emptyQuery(): void {}
  suspended(): void {}

  notice(severity: string, code: string, message: string): void {
    this.notices.push(`${severity} ${code} ${message}`);
  }

  mark(): number {
    return this.results.length;
  }

  rewind(mark: number): boolean {
    this.results.length = mark;
    this.#columns = [];
    this.#rows = [];
    return true;
  }

  copyIn(): void {}

  copyData(): Buffer | undefined {
    const data = this.#data;
    this.#data = undefined;
    return data;
  }

  copyOut(): void {
    this.#columns = [{ name: 'copy', typeOid: 25, typmod: -1, tableOid: 0, columnNumber: 0 }];
  }

  copyChunk(bytes: Buffer): undefined {
    this.#rows.push([bytes.toString().replace(/\n$/, '')]);
    return undefined;
  }

  copyDone(): void {}
}
