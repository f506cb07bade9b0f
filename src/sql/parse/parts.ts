/**
 * Parts of a cluster statement that are PostgreSQL's own: expressions and queries are handed to its grammar with
 * the text in front blanked out, so their positions stay true.
 */
import { type Node } from '@pgsql/types';
import { sqlError } from '../errors.ts';
import { parsePostgres } from './postgres-grammar.ts';
import { type TokenReader } from './scanner.ts';
import { type IndexTarget } from './range-statements.ts';

/** A statement that is being read. */
export interface Source {
  readonly text: string;
  readonly reader: TokenReader;
}

/** An expression up to a comma outside parentheses, a parenthesis that closes none of its own, or the end. */
export function expressionPart(source: Source): Node {
  const { reader } = source;
  const start = reader.peek().start;
  let end = start;
  let depth = 0;
  while (!reader.atEnd) {
    const { kind, value } = reader.peek();
    if (kind === 'symbol' && value === ',' && depth === 0) break;
    if (kind === 'symbol' && (value === '(' || value === '[')) depth++;
    if (kind === 'symbol' && (value === ')' || value === ']') && depth-- === 0) break;
    end = reader.next().end;
  }
  return selectedExpression(parsePart(source, 'SELECT ', start, end));
}

/** A whole query, the text from `start` to `end`. */
export function queryPart(source: Source, start: number, end: number): Node {
  return parsePart(source, '', start, end);
}

/** One row in parentheses, as VALUES (...). */
export function valuesPart(source: Source): Node {
  const { reader } = source;
  const { start } = reader.peek();
  reader.expectSymbol('(');
  let end = start;
  for (let depth = 1; depth > 0;) {
    if (reader.atEnd) reader.fail();
    const token = reader.next();
    if (token.kind === 'symbol' && token.value === '(') depth++;
    if (token.kind === 'symbol' && token.value === ')') depth--;
    ({ end } = token);
  }
  return parsePart(source, 'VALUES ', start, end);
}

function parsePart(source: Source, prefix: string, start: number, end: number): Node {
  const { text } = source;
  const reader: TokenReader = source.reader;
  if (start === end) reader.fail();
  const blanks = ' '.repeat(Buffer.byteLength(text.slice(0, start)) - prefix.length);
  const statement = parsePostgres(blanks + prefix + text.slice(start, end))[0]?.stmt;
  if (statement === undefined) reader.fail();
  return statement;
}

/** The expression of a `SELECT expression` tree. */
export function selectedExpression(statement: Node): Node {
  const target = 'SelectStmt' in statement ? statement.SelectStmt.targetList?.[0] : undefined;
  const value = target !== undefined && 'ResTarget' in target ? target.ResTarget.val : undefined;
  if (value === undefined) throw sqlError('syntaxError', 'syntax error: an expression is missing');
  return value;
}

/** `TABLE t`, `INDEX t@i`, `INDEX i`. */
export function indexTarget(reader: TokenReader): IndexTarget {
  if (!reader.take('index')) {
    reader.expect('table');
    return { kind: 'table', name: reader.name() };
  }
  const name = reader.name();
  if (!reader.takeSymbol('@')) return { kind: 'index-name', name };
  return { kind: 'index', table: name, index: reader.identifier() };
}

/** A whole number. */
export function integer(reader: TokenReader): number {
  const { kind, value } = reader.peek();
  const number = Number(value);
  if (kind !== 'number' || !Number.isSafeInteger(number)) reader.fail();
  reader.next();
  return number;
}
