/**
 * SHOW as a source of rows: `FROM [SHOW ...]` and `WITH x AS (SHOW ...)`. PostgreSQL's grammar gets a quoted
 * identifier of the same number of characters and bytes in its place, so every position behind it stays true; in
 * the tree that identifier becomes a table of `showSchema` whose name is the text of the SHOW.
 *
 *     FROM [SHOW JOBS] AS j        FROM "HOW JOBS]" AS j       "[show]"."SHOW JOBS" AS j
 *     WITH x AS (SHOW JOBS)        WITH x AS (TABLE"BS")       TABLE "[show]"."SHOW JOBS"
 */
import { type RangeVar } from '@pgsql/types';
import { scan, type Token } from './scanner.ts';

/** The schema of tables that are SHOW statements. */
export const showSchema = '[show]';

export interface ShowSource {
  /** The SHOW without its brackets or parentheses. */
  readonly text: string;
  /** UTF-16 offset of that text. */
  readonly start: number;
  /** UTF-16 offset of the identifier that stands for it. */
  readonly nameStart: number;
}

export interface MaskedText {
  readonly text: string;
  readonly tokens: readonly Token[];
  readonly shows: readonly ShowSource[];
}

/** What stands in front of a row source; in front of a subscript or an array literal stands something else. */
const beforeSource = new Set(['from', 'join', 'using', ',', '(']);

export function maskShows(text: string): MaskedText {
  const tokens = scan(text);
  const shows: ShowSource[] = [];
  let masked = '';
  let at = 0;
  let inBrackets = 0;
  for (const [i, token] of tokens.entries()) {
    if (token.kind !== 'symbol' || token.start < at) continue;
    if (token.value === ']') inBrackets--;
    if (token.value === '[') inBrackets++;
    if (!isShow(tokens, i + 1)) continue;
    const before = tokens[i - 1]?.value ?? '';
    if (token.value === '[' && inBrackets === 1 && beforeSource.has(before)) {
      const close = closing(tokens, i);
      if (close === undefined) continue;
      inBrackets--;
      masked += text.slice(at, token.start) + quotedLike(text.slice(token.start, close.end));
      at = close.end;
      const start = token.end;
      shows.push({ text: text.slice(start, close.start), start, nameStart: token.start });
    } else if (token.value === '(' && (before === 'as' || before === 'materialized')) {
      const close = closing(tokens, i);
      const start = tokens[i + 1]?.start ?? token.end;
      if (close === undefined) continue;
      // One character longer than SHOW: the blank behind it.
      const nameStart = start + 'TABLE'.length;
      masked += `${text.slice(at, start)}TABLE${quotedLike(text.slice(nameStart, close.start))}`;
      at = close.start;
      shows.push({ text: text.slice(start, close.start), start, nameStart });
    }
  }
  if (shows.length === 0) return { text, tokens, shows };
  masked += text.slice(at);
  return { text: masked, tokens: scan(masked), shows };
}

/** SHOW and a word: no expression begins like this. */
function isShow(tokens: readonly Token[], at: number): boolean {
  const show = tokens[at];
  const kind = tokens[at + 1]?.kind;
  return show?.kind === 'word' && show.value === 'show' && (kind === 'word' || kind === 'quoted');
}

function closing(tokens: readonly Token[], open: number): Token | undefined {
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    const token = tokens[i];
    if (token?.kind !== 'symbol') continue;
    if (token.value === '(' || token.value === '[') depth++;
    if ((token.value === ')' || token.value === ']') && --depth === 0) return token;
  }
  return undefined;
}

/** A quoted identifier of as many characters and bytes as `text`: two of its ASCII characters give way to the quotes. */
function quotedLike(text: string): string {
  let room = 2;
  let inside = '';
  for (const character of text) {
    if (room > 0 && character < '\x80') room--;
    else inside += character === '"' ? "'" : character;
  }
  return `"${inside}"`;
}

/** Gives the tables of `tree` that stand for `shows` their names. `text`: what the tree was parsed from. */
export function nameShows(tree: unknown, text: string, shows: readonly ShowSource[]): void {
  if (shows.length === 0) return;
  const byLocation = new Map(
    shows.map((show) => [Buffer.byteLength(text.slice(0, show.nameStart)), show]),
  );
  const stack: unknown[] = [tree];
  while (stack.length > 0) {
    const node = stack.pop();
    if (typeof node !== 'object' || node === null) continue;
    if ('relname' in node && 'location' in node && typeof node.location === 'number') {
      const show = byLocation.get(node.location);
      if (show !== undefined) {
        const table = node as RangeVar;
        table.schemaname = showSchema;
        table.relname = show.text.trim();
      }
    }
    for (const child of Object.values(node)) stack.push(child);
  }
}
