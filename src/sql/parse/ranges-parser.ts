/** SHOW RANGES and the statements that steer ranges. */
import { type Node } from '@pgsql/types';
import { expressionPart, indexName, queryPart, type Source } from './parts.ts';
import { type TokenReader } from './scanner.ts';
import { type ClusterStatement, type NameParts } from './types.ts';

/** Behind `SHOW RANGES`. */
export function showRanges(reader: TokenReader): ClusterStatement {
  if (!reader.take('from')) return { kind: 'show-ranges', from: { kind: 'current-catalog' } };
  if (reader.take('current_catalog')) {
    return { kind: 'show-ranges', from: { kind: 'current-catalog' } };
  }
  if (reader.take('database')) {
    return { kind: 'show-ranges', from: { kind: 'database', name: reader.identifier() } };
  }
  if (reader.take('index')) {
    return { kind: 'show-ranges', from: { kind: 'index', ...indexName(reader) } };
  }
  reader.expect('table');
  return { kind: 'show-ranges', from: { kind: 'table', name: reader.name() } };
}

/** Behind `ALTER TABLE|INDEX name`; undefined when it is no statement about ranges. */
export function alterRanges(
  source: Source,
  table: NameParts,
  index: string | undefined,
): ClusterStatement | undefined {
  const { reader } = source;
  if (reader.take('split', 'at')) return splitAt(source, table, index);
  return undefined;
}

function splitAt(source: Source, table: NameParts, index: string | undefined): ClusterStatement {
  const { reader } = source;
  const start = reader.peek().start;
  if (!reader.isWord('values') && !reader.isWord('select')) reader.fail();
  let end = start;
  while (!reader.atEnd && !(reader.isWord('with') && reader.isWord('expiration', 1))) {
    end = reader.next().end;
  }
  const rows = queryPart(source, start, end);
  let expiration: Node | undefined;
  if (reader.take('with', 'expiration')) expiration = expressionPart(source);
  return { kind: 'split-at', table, index, rows, expiration };
}
