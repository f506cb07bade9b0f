/** COPY FROM STDIN: pieces of data to rows, rows into the table. Memory stays bounded: a piece at a time. */
import { yieldTurn } from '../../../util/index.ts';
import { type ColumnDescriptor, type TableDescriptor } from '../../catalog/index.ts';
import { sqlError, SqlFailure } from '../../errors.ts';
import { type Datum, typeOps } from '../../types/index.ts';
import { type ClientOutput } from '../client.ts';
import { toSqlFailure } from '../kv-errors.ts';
import { type Session } from '../session.ts';
import { type StatementContext } from '../types.ts';
import { BinaryRecords } from './binary-input.ts';
import { type CopyRecord, copyRecords } from './input.ts';
import { type CopyOptions } from './options.ts';
import { openRowSink, type RowSink } from './row-sink.ts';

export interface CopyInTarget {
  readonly session: Session;
  readonly context: StatementContext;
  readonly table: TableDescriptor;
  readonly schemaName: string;
  /** In the order of the data. */
  readonly columns: readonly ColumnDescriptor[];
  readonly options: CopyOptions;
  readonly out: ClientOutput;
  /** Commits the transaction; undefined when more may follow in it. */
  readonly commit: (() => Promise<void>) | undefined;
}

/**
 * Rows between two turns of the event loop. The socket hands over megabytes in one turn when the client is fast, and the node
 * has leases to keep meanwhile.
 */
const rowsPerTurn = 512;

/** Where an error happened, for its CONTEXT line. */
interface Position {
  line: number;
  column: string | undefined;
  value: string | undefined;
}

/** Returns the number of rows. Reads the client's data to its end unless it fails. */
export async function copyIn(target: CopyInTarget): Promise<number> {
  const { out, options, columns, table } = target;
  const sink = await openRowSink(target);
  const position: Position = { line: 0, column: undefined, value: undefined };
  out.copyIn(columns.length, options.format === 'binary' ? 1 : 0);
  try {
    const count =
      options.format === 'binary'
        ? await copyBinary(target, sink, position)
        : await copyText(target, sink, position);
    position.line = 0;
    await sink.finish();
    return count;
  } catch (error) {
    throw withContext(error, table.name, position);
  }
}

async function copyText(target: CopyInTarget, sink: RowSink, position: Position): Promise<number> {
  const { out, options, context } = target;
  const records = copyRecords(options);
  const parse = recordParser(target, position);
  let skip = options.header ? 1 : 0;
  let count = 0;
  const load = async (found: readonly CopyRecord[]): Promise<void> => {
    for (const record of found) {
      position.line++;
      if (skip > 0) {
        skip--;
        if (options.headerMatch) checkHeader(record, target.columns);
        continue;
      }
      count++;
      const wait = sink.add(parse(record));
      if (wait !== undefined) await wait;
      if (count % rowsPerTurn === 0) await yieldTurn(context.env);
    }
  };
  while (true) {
    const piece = out.copyData();
    const bytes = piece instanceof Promise ? await piece : piece;
    if (bytes === undefined) break;
    const found = records.push(bytes);
    if (found.length > 0) await load(found);
    context.checkCanceled();
  }
  await load(records.end());
  return count;
}

/** Texts to datums: one small loop with everything looked up beforehand. */
function recordParser(target: CopyInTarget, position: Position): (record: CopyRecord) => Datum[] {
  const { columns, options, context } = target;
  const ops = columns.map((column) => typeOps(column.typeOid));
  const forceNotNull = columns.map((column) => isListed(options.forceNotNull, column.name));
  const forceNull = columns.map((column) => isListed(options.forceNull, column.name));
  const isForced = forceNotNull.includes(true) || forceNull.includes(true);
  const settings = context.eval;
  // A line without anything in it, as it is read where there is one column.
  const nothing = options.nullText === '' ? null : '';
  return (record) => {
    if (columns.length === 0 && record.length === 1 && record[0] === nothing) return [];
    if (record.length < columns.length) {
      const missing = columns[record.length]?.name ?? '';
      throw sqlError('badCopyFileFormat', `missing data for column "${missing}"`);
    }
    if (record.length > columns.length) {
      throw sqlError('badCopyFileFormat', 'extra data after last expected column');
    }
    const row: Datum[] = [];
    for (let i = 0; i < ops.length; i++) {
      let text = record[i] ?? null;
      if (isForced) {
        if (text === null && forceNotNull[i] === true) text = options.nullText;
        else if (text === options.nullText && forceNull[i] === true) text = null;
      }
      if (text === null) {
        row.push(null);
        continue;
      }
      position.column = columns[i]?.name;
      position.value = text;
      row.push(ops[i]?.parse(text, columns[i]?.typmod ?? -1, settings) ?? null);
    }
    position.column = undefined;
    return row;
  };
}

function isListed(names: readonly string[] | 'all', name: string): boolean {
  return names === 'all' || names.includes(name);
}

function checkHeader(record: CopyRecord, columns: readonly ColumnDescriptor[]): void {
  if (record.length !== columns.length) {
    throw sqlError(
      'badCopyFileFormat',
      `wrong number of fields in header line: got ${record.length}, expected ${columns.length}`,
    );
  }
  for (const [i, column] of columns.entries()) {
    if (record[i] === column.name) continue;
    throw sqlError(
      'badCopyFileFormat',
      `column name mismatch in header line field ${i + 1}: got "${record[i] ?? ''}", expected "${column.name}"`,
    );
  }
}

async function copyBinary(
  target: CopyInTarget,
  sink: RowSink,
  position: Position,
): Promise<number> {
  const { out, columns, context } = target;
  const records = new BinaryRecords();
  const ops = columns.map((column) => typeOps(column.typeOid));
  let count = 0;
  while (true) {
    const piece = out.copyData();
    const bytes = piece instanceof Promise ? await piece : piece;
    if (bytes === undefined) break;
    for (const record of records.push(bytes)) {
      position.line++;
      if (record.length !== columns.length) {
        throw sqlError(
          'badCopyFileFormat',
          `row field count is ${record.length}, expected ${columns.length}`,
        );
      }
      const row = record.map((field, i): Datum => {
        if (field === null) return null;
        position.column = columns[i]?.name;
        position.value = undefined;
        return ops[i]?.decodeBinary(field, columns[i]?.typmod ?? -1) ?? null;
      });
      position.column = undefined;
      count++;
      const wait = sink.add(row);
      if (wait !== undefined) await wait;
      if (count % rowsPerTurn === 0) await yieldTurn(context.env);
    }
    context.checkCanceled();
  }
  records.end();
  return count;
}

function withContext(error: unknown, table: string, position: Position): unknown {
  if (!(error instanceof SqlFailure) || position.line === 0) return error;
  const failure = toSqlFailure(error);
  // A client that breaks off is not an error of a line.
  if (failure.code === '57014' || failure.code === '08P01' || failure.code === '40001')
    return error;
  let where = `COPY ${table}, line ${position.line}`;
  if (position.column !== undefined) where += `, column ${position.column}`;
  if (position.value !== undefined && position.column !== undefined) {
    where += `: "${position.value.slice(0, 100)}"`;
  }
  return new SqlFailure(failure.code, failure.message, { ...failure.fields, where });
}
