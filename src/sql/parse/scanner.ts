/**
 * A scanner for SQL text (PostgreSQL chapter 4.1), as far as splitting statements and recognising the
 * cluster dialect needs it: words, quoted identifiers, strings of every kind, numbers, parameters,
 * comments. Offsets are UTF-16 units of the text.
 */
import { sqlError } from '../errors.ts';
import { countCharacters } from './positions.ts';

export interface Token {
  readonly kind: 'word' | 'quoted' | 'string' | 'number' | 'symbol' | 'end';
  /** Words in lower case; quoted identifiers and plain strings without their quotes; symbols as written. */
  readonly value: string;
  readonly start: number;
  readonly end: number;
}

const wordStart = /[A-Za-z_\u0080-\uffff]/;
const wordRest = /[A-Za-z0-9_$\u0080-\uffff]*/y;
const numberRest = /(?:0[xXoObB][0-9a-fA-F_]+|[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9]+)?)/y;
const blank = /[\s]*/y;
const dollarTag = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y;

/** All tokens of `text`, ending in one of kind 'end'. An unterminated token is left to the grammar: it runs to the end. */
export function scan(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (true) {
    at = skipBlank(text, at);
    if (at >= text.length) break;
    const token = scanToken(text, at);
    tokens.push(token);
    at = token.end;
  }
  tokens.push({ kind: 'end', value: '', start: text.length, end: text.length });
  return tokens;
}

/** The first offset at or behind `at` that is neither blank nor in a comment. */
export function skipBlank(text: string, at: number): number {
  let position = at;
  while (position < text.length) {
    const code = text.charCodeAt(position);
    if (code === 32 || (code >= 9 && code <= 13)) {
      position = match(blank, text, position);
    } else if (code === 45 && text.charCodeAt(position + 1) === 45) {
      const end = text.indexOf('\n', position);
      position = end < 0 ? text.length : end + 1;
    } else if (code === 47 && text.charCodeAt(position + 1) === 42) {
      position = skipBlockComment(text, position);
    } else {
      break;
    }
  }
  return position;
}

function skipBlockComment(text: string, at: number): number {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    if (text.startsWith('/*', i)) {
      depth++;
      i++;
    } else if (text.startsWith('*/', i)) {
      depth--;
      i++;
      if (depth === 0) return i + 1;
    }
  }
  return text.length;
}

function scanToken(text: string, start: number): Token {
  const char = text[start] ?? '';
  const next = text[start + 1] ?? '';
  if (char === "'") return stringToken(text, start, start + 1, false);
  if (char === '"') return quotedToken(text, start, start + 1);
  if (next === "'" && /[eE]/.test(char)) return stringToken(text, start, start + 2, true);
  if (next === "'" && /[nNbBxX]/.test(char)) return stringToken(text, start, start + 2, false);
  if (next === '&' && /[uU]/.test(char)) {
    if (text[start + 2] === "'") return stringToken(text, start, start + 3, false);
    if (text[start + 2] === '"') return quotedToken(text, start, start + 3);
  }
  if (wordStart.test(char)) {
    const end = match(wordRest, text, start);
    return { kind: 'word', value: text.slice(start, end).toLowerCase(), start, end };
  }
  if (/[0-9]/.test(char) || (char === '.' && /[0-9]/.test(next))) {
    const end = Math.max(match(numberRest, text, start), start + 1);
    return { kind: 'number', value: text.slice(start, end), start, end };
  }
  if (char === '$') return dollarToken(text, start);
  const length = char === ':' && (next === ':' || next === '=') ? 2 : 1;
  return { kind: 'symbol', value: text.slice(start, start + length), start, end: start + length };
}

function dollarToken(text: string, start: number): Token {
  const end = match(dollarTag, text, start);
  if (end > start) {
    const tag = text.slice(start, end);
    const close = text.indexOf(tag, end);
    if (close < 0) return { kind: 'string', value: text.slice(end), start, end: text.length };
    return { kind: 'string', value: text.slice(end, close), start, end: close + tag.length };
  }
  let digits = start + 1;
  while (digits < text.length && /[0-9]/.test(text[digits] ?? '')) digits++;
  return { kind: 'symbol', value: text.slice(start, digits), start, end: digits };
}

function stringToken(text: string, start: number, body: number, escapes: boolean): Token {
  let at = body;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === 39) {
      if (text.charCodeAt(at + 1) !== 39) break;
      at += 2;
    } else if (code === 92 && escapes) {
      at += 2;
    } else {
      at++;
    }
  }
  const value = text.slice(body, at).replaceAll("''", "'");
  return { kind: 'string', value, start, end: Math.min(at + 1, text.length) };
}

function quotedToken(text: string, start: number, body: number): Token {
  let at = body;
  while (at < text.length) {
    if (text[at] === '"') {
      if (text[at + 1] !== '"') break;
      at++;
    }
    at++;
  }
  const value = text.slice(body, at).replaceAll('""', '"');
  return { kind: 'quoted', value, start, end: Math.min(at + 1, text.length) };
}

function match(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at;
}

/** Reads tokens one after the other. Errors are 42601 in PostgreSQL's words, positions in characters from 1. */
export class TokenReader {
  readonly #text: string;
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(text: string, tokens: readonly Token[]) {
    this.#text = text;
    this.#tokens = tokens;
  }

  peek(ahead = 0): Token {
    const token = this.#tokens[Math.min(this.#at + ahead, this.#tokens.length - 1)];
    return token ?? { kind: 'end', value: '', start: this.#text.length, end: this.#text.length };
  }

  next(): Token {
    const token = this.peek();
    this.#at++;
    return token;
  }

  get atEnd(): boolean {
    return this.peek().kind === 'end';
  }

  isWord(value: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token.kind === 'word' && token.value === value;
  }

  /** Takes all of `words` if they come next, else nothing. */
  take(...words: readonly string[]): boolean {
    if (!words.every((word, i) => this.isWord(word, i))) return false;
    this.#at += words.length;
    return true;
  }

  takeSymbol(symbol: string): boolean {
    const token = this.peek();
    if (token.kind !== 'symbol' || token.value !== symbol) return false;
    this.#at++;
    return true;
  }

  expect(...words: readonly string[]): void {
    for (const word of words) if (!this.take(word)) this.fail();
  }

  expectSymbol(symbol: string): void {
    if (!this.takeSymbol(symbol)) this.fail();
  }

  identifier(): string {
    const token = this.peek();
    if (token.kind !== 'word' && token.kind !== 'quoted') this.fail();
    this.#at++;
    return token.value;
  }

  /** Dotted identifiers. */
  name(): string[] {
    const parts = [this.identifier()];
    while (this.takeSymbol('.')) parts.push(this.identifier());
    return parts;
  }

  expectEnd(): void {
    if (!this.atEnd) this.fail();
  }

  fail(): never {
    const token = this.peek();
    const near = this.#text.slice(token.start, token.end);
    const message =
      token.kind === 'end' ? 'syntax error at end of input' : `syntax error at or near "${near}"`;
    throw sqlError('syntaxError', message, {
      position: countCharacters(this.#text.slice(0, token.start)) + 1,
    });
  }
}
