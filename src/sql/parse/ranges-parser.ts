/** SHOW RANGES, SHOW RANGE and the statements that steer ranges. */
import { type Node } from '@pgsql/types';
import {
  expressionPart,
  indexTarget,
  integer,
  queryPart,
  type Source,
  valuesPart,
} from './parts.ts';
import {
  type IndexTarget,
  type RangesFrom,
  type RangesOption,
  type RangeStatement,
  type RelocatedReplicas,
} from './range-statements.ts';
import { type TokenReader } from './scanner.ts';

/** Behind `SHOW`; undefined when it is not about ranges. */
export function showRanges(source: Source): RangeStatement | undefined {
  const { reader } = source;
  if (reader.take('cluster', 'ranges')) {
    return { kind: 'show-ranges', from: { kind: 'cluster' }, options: options(reader) };
  }
  if (reader.take('ranges')) {
    return { kind: 'show-ranges', from: rangesFrom(reader), options: options(reader) };
  }
  if (!reader.take('range', 'from')) return undefined;
  const of = indexTarget(reader);
  reader.expect('for', 'row');
  return { kind: 'show-range', of, row: valuesPart(source) };
}

function rangesFrom(reader: TokenReader): RangesFrom {
  if (!reader.take('from') || reader.take('current_catalog')) return { kind: 'current-catalog' };
  if (reader.take('database')) return { kind: 'database', name: reader.identifier() };
  return indexTarget(reader);
}

const allOptions: readonly RangesOption[] = ['tables', 'indexes', 'details', 'keys'];

function options(reader: TokenReader): RangesOption[] {
  const found = new Set<RangesOption>();
  if (!reader.take('with')) return [];
  do {
    const option = allOptions.find((word) => reader.take(word));
    if (option === undefined) reader.fail();
    found.add(option);
  } while (reader.takeSymbol(','));
  return [...found];
}

/** Behind `ALTER TABLE|INDEX name`; undefined when it is no statement about ranges. */
export function alterRanges(source: Source, of: IndexTarget): RangeStatement | undefined {
  const { reader } = source;
  if (reader.take('split', 'at')) return splitAt(source, of);
  if (reader.take('unsplit', 'all')) return { kind: 'unsplit', of, rows: 'all' };
  if (reader.take('unsplit', 'at')) return { kind: 'unsplit', of, rows: rowsPart(source) };
  if (reader.take('scatter')) {
    if (!reader.take('from')) return { kind: 'scatter', of, span: undefined };
    const from = valuesPart(source);
    reader.expect('to');
    return { kind: 'scatter', of, span: { from, to: valuesPart(source) } };
  }
  if (reader.take('experimental_relocate') || reader.take('relocate')) {
    const what = relocated(reader);
    return { kind: 'relocate-rows', of, what, rows: rowsPart(source) };
  }
  return undefined;
}

function splitAt(source: Source, of: IndexTarget): RangeStatement {
  const { reader } = source;
  const rows = rowsPart(source, () => reader.isWord('with') && reader.isWord('expiration', 1));
  const expiration = reader.take('with', 'expiration') ? expressionPart(source) : undefined;
  return { kind: 'split-at', of, rows, expiration };
}

/** VALUES or a query, up to where `isEnd` or the end of the statement. */
function rowsPart(source: Source, isEnd?: () => boolean): Node {
  const { reader } = source;
  const { start } = reader.peek();
  if (!['values', 'select', 'with', 'table'].some((word) => reader.isWord(word))) reader.fail();
  let end = start;
  while (!reader.atEnd && isEnd?.() !== true) end = reader.next().end;
  return queryPart(source, start, end);
}

/** Behind `ALTER RANGE`; undefined when a zone is meant. */
export function alterRange(source: Source): RangeStatement | undefined {
  const { reader } = source;
  const id = reader.peek().kind === 'number' ? integer(reader) : undefined;
  if (!reader.take('relocate')) {
    if (id !== undefined) reader.fail();
    return undefined;
  }
  const what = relocated(reader);
  let from: number | undefined;
  if (what !== 'lease') {
    reader.expect('from');
    from = integer(reader);
  }
  reader.expect('to');
  const to = integer(reader);
  if (id !== undefined) return { kind: 'relocate', ranges: id, what, from, to };
  reader.expect('for');
  return { kind: 'relocate', ranges: rowsPart(source), what, from, to };
}

function relocated(reader: TokenReader): RelocatedReplicas {
  if (reader.take('lease')) return 'lease';
  if (reader.take('nonvoters') || reader.take('non_voters')) return 'non-voters';
  reader.take('voters');
  return 'voters';
}
