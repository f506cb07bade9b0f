/**
 * Partitions, in CockroachDB's words: PostgreSQL's own PARTITION BY stands without the partitions behind it.
 *
 *     CREATE TABLE t (...) PARTITION BY LIST (a) (PARTITION p VALUES IN (1, 2), PARTITION rest VALUES IN (DEFAULT))
 *     ALTER TABLE t PARTITION BY RANGE (a, b) (PARTITION p VALUES FROM (MINVALUE) TO (5, 'x'))
 *     ALTER INDEX t@i PARTITION BY NOTHING
 */
import { parsePostgres } from './postgres-grammar.ts';
import { expressionPart, indexTarget, type Source } from './parts.ts';
import { rewrite } from './rewrite.ts';
import { scan, TokenReader } from './scanner.ts';
import { type IndexTarget } from './range-statements.ts';
import { type ClusterStatement, type PartitionBound, type PartitionBy } from './types.ts';

/** A CREATE TABLE with partitions; undefined for any other CREATE. */
export function createPartitioned(source: Source): ClusterStatement | undefined {
  const { text } = source;
  const reader: TokenReader = source.reader;
  if (!reader.isWord('create')) return undefined;
  let depth = 0;
  while (!reader.atEnd) {
    const token = reader.peek();
    if (depth === 0 && isPartitionList(reader)) {
      const head = text.slice(0, token.start);
      reader.take('partition', 'by');
      const by = partitionBy(source);
      const table = parsePostgres(rewrite(head, scan(head)).text)[0]?.stmt;
      if (table === undefined) reader.fail();
      return { kind: 'create-partitioned', table, by };
    }
    if (token.kind === 'symbol' && token.value === '(') depth++;
    if (token.kind === 'symbol' && token.value === ')') depth--;
    reader.next();
  }
  return undefined;
}

/** `PARTITION BY kind (columns) (`. */
function isPartitionList(reader: TokenReader): boolean {
  if (!reader.isWord('partition') || !reader.isWord('by', 1)) return false;
  if (!reader.isWord('list', 2) && !reader.isWord('range', 2)) return false;
  for (let ahead = 3; ; ahead++) {
    const { kind, value } = reader.peek(ahead);
    if (kind === 'end') return false;
    if (kind === 'symbol' && value === ')') return reader.peek(ahead + 1).value === '(';
  }
}

/** Behind `ALTER TABLE|INDEX name`; undefined when it is not about partitions. */
export function alterPartitions(source: Source, of: IndexTarget): ClusterStatement | undefined {
  const { reader } = source;
  if (!reader.take('partition', 'by')) return undefined;
  if (reader.take('nothing')) return { kind: 'partition-by', of, by: 'nothing' };
  return { kind: 'partition-by', of, by: partitionBy(source) };
}

/** Behind `SHOW`; undefined when it is not about partitions. */
export function showPartitions(reader: TokenReader): ClusterStatement | undefined {
  if (!reader.take('partitions')) return undefined;
  reader.expect('from');
  if (reader.take('database')) {
    return { kind: 'show-partitions', from: { kind: 'database', name: reader.identifier() } };
  }
  return { kind: 'show-partitions', from: indexTarget(reader) };
}

function partitionBy(source: Source): PartitionBy {
  const { reader } = source;
  const kind = reader.take('list') ? 'list' : 'range';
  if (kind === 'range') reader.expect('range');
  const columns = inParentheses(reader, () => reader.identifier());
  const partitions = inParentheses(reader, () => {
    reader.expect('partition');
    const name = reader.identifier();
    reader.expect('values');
    if (kind === 'list') {
      reader.expect('in');
      return { name, rows: inParentheses(reader, () => listRow(source)) };
    }
    reader.expect('from');
    const from = boundRow(source);
    reader.expect('to');
    return { name, rows: [from, boundRow(source)] };
  });
  return { kind, columns, partitions };
}

/** `5`, `(5, 'x')`. */
function listRow(source: Source): readonly PartitionBound[] {
  const { kind, value } = source.reader.peek();
  return kind === 'symbol' && value === '(' ? boundRow(source) : [bound(source)];
}

function boundRow(source: Source): readonly PartitionBound[] {
  return inParentheses(source.reader, () => bound(source));
}

function bound(source: Source): PartitionBound {
  const { reader } = source;
  if (reader.take('default')) return { kind: 'default' };
  if (reader.take('minvalue')) return { kind: 'min' };
  if (reader.take('maxvalue')) return { kind: 'max' };
  return { kind: 'expression', expression: expressionPart(source) };
}

function inParentheses<T>(reader: TokenReader, item: () => T): T[] {
  reader.expectSymbol('(');
  const items: T[] = [];
  do items.push(item());
  while (reader.takeSymbol(','));
  reader.expectSymbol(')');
  return items;
}
