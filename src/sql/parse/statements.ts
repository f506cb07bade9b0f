/** From query text to statements: split, recognise the dialect, parse, remember. */
import { type Node } from '@pgsql/types';
import { sqlError, SqlFailure } from '../errors.ts';
import { parseCluster } from './cluster-parser.ts';
import { selectedExpression } from './parts.ts';
import { countCharacters } from './positions.ts';
import { must } from '../../util/index.ts';
import { loadGrammar, parsePostgres } from './postgres-grammar.ts';
import { hasDialectWords, rewrite } from './rewrite.ts';
import { skipBlank } from './scanner.ts';
import { maskShows, type MaskedText, nameShows, type ShowSource } from './show-sources.ts';
import { splitStatements } from './split.ts';
import { type ParsedStatement, type Statement } from './types.ts';

export const defaultMaxStatementBytes = 16 * 1024 * 1024;

const firstWord = /[A-Za-z]+/y;
/** Statements that begin so are, or may be, none of PostgreSQL's. */
const ownVerbs: ReadonlySet<string> = new Set([
  'show',
  'pause',
  'resume',
  'cancel',
  'experimental',
]);

/**
 * The statements of a query string, blank ones left out. Node locations are UTF-8 byte offsets in the
 * statement's own text. Throws SqlFailure 42601 (position: characters of the whole string, from 1),
 * 54000 when the text is too long, 54001 when it nests too deeply.
 */
export function parseStatements(
  text: string,
  maxBytes: number = defaultMaxStatementBytes,
): readonly ParsedStatement[] {
  if (text.length > maxBytes) {
    throw sqlError('programLimitExceeded', 'statement is too long', {
      detail: `It has ${text.length} characters; the limit is ${maxBytes}.`,
    });
  }
  const statements: ParsedStatement[] = [];
  for (const { start, end } of splitStatements(text)) {
    const first = skipBlank(text, start);
    if (first >= end) continue;
    const own = text.slice(first, end).trimEnd();
    try {
      // With its semicolon, so that the grammar's messages can name it.
      const statement = parseOne(text.charCodeAt(end) === 0x3b ? text.slice(first, end + 1) : own);
      if (statement !== undefined) statements.push({ statement, text: own, offset: first });
    } catch (error) {
      throw shifted(error, text.slice(0, first));
    }
  }
  return statements;
}

/** A single expression, as stored in descriptors. */
export function parseExpression(sql: string): Node {
  const statement = parsePostgres(`SELECT (${sql})`)[0]?.stmt;
  if (statement === undefined) throw sqlError('syntaxError', 'syntax error at end of input');
  return selectedExpression(statement);
}

function parseOne(text: string): Statement | undefined {
  firstWord.lastIndex = 0;
  const isOurs =
    firstWord.test(text) && ownVerbs.has(text.slice(0, firstWord.lastIndex).toLowerCase());
  if (!isOurs && !hasDialectWords(text)) return parsePlain(text, text, false, undefined);
  return parseDialect(text.endsWith(';') ? text.slice(0, -1) : text);
}

function parseDialect(text: string): Statement | undefined {
  const masked = maskShows(text);
  for (const show of masked.shows) checkShow(text, show);
  const statement = parseMasked(masked);
  nameShows(statement, masked.text, masked.shows);
  return statement;
}

function parseMasked({ text, tokens }: MaskedText): Statement | undefined {
  const cluster = parseCluster(text, tokens);
  if (cluster !== undefined) return { kind: 'cluster', statement: cluster };
  const rewritten = rewrite(text, tokens);
  return parsePlain(rewritten.text, text, rewritten.upsert, rewritten.asOf);
}

/** What is wrong with a SHOW inside is said here, where it stands. */
function checkShow(text: string, show: ShowSource): void {
  try {
    parseOne(show.text);
  } catch (error) {
    throw shifted(error, text.slice(0, show.start));
  }
}

function parsePlain(
  text: string,
  original: string,
  upsert: boolean,
  asOf: { readonly start: number; readonly end: number } | undefined,
): Statement | undefined {
  const trees = parsePostgres(text);
  const node = trees[0]?.stmt;
  if (node === undefined) return undefined;
  if (trees.length > 1) throw sqlError('syntaxError', 'cannot insert multiple commands here');
  return {
    kind: 'postgres',
    node,
    upsert,
    asOf: asOf === undefined ? undefined : asOfExpression(original, asOf),
  };
}

function asOfExpression(text: string, at: { readonly start: number; readonly end: number }): Node {
  const prefix = 'SELECT ';
  const blanks = ' '.repeat(Buffer.byteLength(text.slice(0, at.start)) - prefix.length);
  const statement = parsePostgres(blanks + prefix + text.slice(at.start, at.end))[0]?.stmt;
  if (statement === undefined) throw sqlError('syntaxError', 'syntax error at end of input');
  return selectedExpression(statement);
}

/** Moves the error's position behind `prefix`; positions count characters, not UTF-16 units. */
function shifted(error: unknown, prefix: string): unknown {
  if (!(error instanceof SqlFailure) || error.fields.position === undefined) return error;
  const position = error.fields.position + countCharacters(prefix);
  return new SqlFailure(error.code, error.message, { ...error.fields, position });
}

/** The tree of one statement of our own: plain PostgreSQL, without the dialect. Loads the grammar if need be. */
export async function parseOwn(sql: string): Promise<Node> {
  await loadGrammar();
  return must(parsePostgres(sql)[0]?.stmt, 'a statement of our own parses to one tree');
}
