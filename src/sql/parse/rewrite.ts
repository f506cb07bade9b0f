/**
 * Words of the dialect inside statements that PostgreSQL's grammar knows otherwise. All replacements
 * keep the length of the text, so error positions stay true:
 *
 *   UPSERT INTO        -> INSERT INTO, and a flag
 *   STORING (...)      -> INCLUDE (...)
 *   string as a type   -> text
 *   AS OF SYSTEM TIME e  cut out (a mode of a transaction: READ ONLY); e is handed back
 */
import { sqlError } from '../errors.ts';
import { countCharacters } from './positions.ts';
import { type Token } from './scanner.ts';

export interface Rewritten {
  readonly text: string;
  readonly upsert: boolean;
  /** Where the AS OF SYSTEM TIME expression stood. */
  readonly asOf: { readonly start: number; readonly end: number } | undefined;
}

const dialectWords =
  /\b(?:upsert|storing|string|split|unsplit|scatter|relocate|experimental_relocate|cluster|configure|decommission|recommission|drain|zones?|ranges|partitions?\s+(?:by|of)\s+(?:list|range|nothing|table|index)|system\s+time)\b|[[(]\s*show\b/i;

/** False for most statements, cheaply: then `rewrite` and the cluster parser need not look. */
export function hasDialectWords(text: string): boolean {
  return dialectWords.test(text);
}

/** Words that may stand in front of a table or column called "string". */
const notTypedNames = new Set(
  (
    'add alter and as by column constraint create delete distinct drop exists from group having if in index insert ' +
    'into is join key like limit not null on or order references rename returning select set table temp temporary to ' +
    'truncate unique update using values view where with'
  ).split(' '),
);

const clauseEnds = new Set(
  'where group having order limit offset fetch for union intersect except window returning join left right inner cross full on'.split(
    ' ',
  ),
);

export function rewrite(text: string, tokens: readonly Token[]): Rewritten {
  const edits: { start: number; end: number; by: string }[] = [];
  let upsert = false;
  let asOf: Rewritten['asOf'];
  const isDefinition = ['create', 'alter'].includes(tokens[0]?.value ?? '');
  const instead = ['begin', 'start', 'set'].includes(tokens[0]?.value ?? '') ? 'READ ONLY' : '';
  const castDepths: number[] = [];
  let depth = 0;
  for (const [i, token] of tokens.entries()) {
    if (token.value === '(' && token.kind === 'symbol') {
      depth++;
      const before = tokens[i - 1];
      if (before?.kind === 'word' && before.value === 'cast') castDepths.push(depth);
    } else if (token.value === ')' && token.kind === 'symbol') {
      if (castDepths.at(-1) === depth) castDepths.pop();
      depth--;
    }
    if (token.kind !== 'word') continue;
    const next = tokens[i + 1];
    const isNext = (word: string, ahead = 1): boolean => {
      const other = tokens[i + ahead];
      return other?.kind === 'word' && other.value === word;
    };
    if (token.value === 'upsert' && isNext('into')) {
      upsert = true;
      edits.push({ start: token.start, end: token.end, by: 'INSERT' });
    } else if (token.value === 'storing' && next?.value === '(') {
      edits.push({ start: token.start, end: token.end, by: 'INCLUDE' });
    } else if (
      token.value === 'string' &&
      isTypePosition(tokens, i, isDefinition, castDepths.at(-1) === depth)
    ) {
      edits.push({ start: token.start, end: token.end, by: 'text  ' });
    } else if (token.value === 'as' && isNext('of') && isNext('system', 2) && isNext('time', 3)) {
      const end = expressionEnd(tokens, i + 4);
      const found = { start: tokens[i + 4]?.start ?? token.end, end };
      const said = ({ start, end: to }: typeof found): string => text.slice(start, to);
      if (asOf !== undefined && said(asOf) !== said(found)) {
        throw sqlError(
          'featureNotSupported',
          'AS OF SYSTEM TIME holds for the whole statement: cannot specify different timestamps',
          { position: countCharacters(text.slice(0, token.start)) + 1 },
        );
      }
      asOf = found;
      edits.push({ start: token.start, end, by: instead.padEnd(end - token.start) });
    }
  }
  return { text: applyEdits(text, edits), upsert, asOf };
}

function isTypePosition(
  tokens: readonly Token[],
  at: number,
  isDefinition: boolean,
  inCast: boolean,
): boolean {
  const before = tokens[at - 1];
  if (before === undefined) return false;
  if (before.kind === 'symbol') return before.value === '::';
  if (before.kind === 'quoted') return isDefinition;
  if (before.kind !== 'word') return false;
  if (inCast && before.value === 'as') return true;
  return isDefinition && (before.value === 'type' || !notTypedNames.has(before.value));
}

/** The end offset of the expression that starts at token `from`: at a clause word or an unmatched parenthesis. */
function expressionEnd(tokens: readonly Token[], from: number): number {
  let depth = 0;
  let end = tokens[from]?.start ?? 0;
  for (let i = from; i < tokens.length; i++) {
    const token = tokens[i];
    if (token === undefined || token.kind === 'end') break;
    if (token.kind === 'symbol') {
      if (token.value === '(') depth++;
      if (token.value === ')' && depth-- === 0) break;
      if (token.value === ',' && depth === 0) break;
    }
    if (token.kind === 'word' && depth === 0 && clauseEnds.has(token.value)) break;
    end = token.end;
  }
  return end;
}

function applyEdits(
  text: string,
  edits: readonly { start: number; end: number; by: string }[],
): string {
  let result = '';
  let at = 0;
  for (const edit of edits) {
    result += text.slice(at, edit.start) + edit.by;
    at = edit.end;
  }
  return result + text.slice(at);
}
