/**
 * Finds the literals of a simple statement in its text, so that statements that differ in literals only
 * share one plan. One pass over the characters, no tokens. Anything unusual (comments, escape strings,
 * parameters, several statements) answers undefined: such a statement goes the long way.
 */

export interface Literal {
  /** UTF-16 offsets in the text. */
  readonly start: number;
  readonly end: number;
  readonly kind: 'number' | 'string';
  /** Digits, or the string without its quotes. */
  readonly value: string;
}

export interface LiteralText {
  /** The text with a mark in place of each literal: equal for statements of one shape. */
  readonly key: string;
  readonly literals: readonly Literal[];
}

/** Longer statements are not worth remembering. */
const maxTextLength = 4096;
const maxLiterals = 100;

const isWord = new Uint8Array(128);
for (let code = 0; code < 128; code++) {
  if (/[A-Za-z0-9_$]/.test(String.fromCharCode(code))) isWord[code] = 1;
}

const selectLetter = 0x73;
const firstLetters = new Set([selectLetter, 0x69, 0x75, 0x64]);

export function findLiterals(text: string): LiteralText | undefined {
  if (text.length > maxTextLength || !firstLetters.has(text.charCodeAt(0) | 0x20)) return undefined;
  const literals: Literal[] = [];
  let key = '';
  let copied = 0;
  let at = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    let literal: Literal | undefined;
    if (code >= 48 && code <= 57) {
      literal = numberAt(text, at);
    } else if (code > 127 || isWord[code] === 1) {
      if (code === 36) return undefined;
      at = behindWord(text, at);
      // E'..', U&'..', B'..' are not plain strings.
      const next = text.charCodeAt(at);
      if (next === 39 || (next === 38 && text.charCodeAt(at + 1) === 39)) return undefined;
      continue;
    } else if (code === 39) {
      // A string that goes on behind a line break is one constant.
      const last = literals.at(-1);
      if (last?.kind === 'string' && text.slice(last.end, at).trim() === '') return undefined;
      literal = stringAt(text, at);
    } else if (code === 34) {
      at = text.indexOf('"', at + 1) + 1;
      if (at === 0) return undefined;
      continue;
    } else if (code === 45 || code === 47) {
      const next = text.charCodeAt(at + 1);
      if (next === 45 || next === 42) return undefined;
      at++;
      continue;
    } else if (code === 59) {
      if (text.slice(at + 1).trim() !== '') return undefined;
      break;
    } else {
      at++;
      continue;
    }
    if (literal === undefined || literals.length === maxLiterals) return undefined;
    key += `${text.slice(copied, at)}\u0001${literal.kind === 'number' ? 'n' : 's'}`;
    literals.push(literal);
    at = literal.end;
    copied = at;
  }
  if (literals.length === 0) return undefined;
  return { key: key + text.slice(copied, at), literals };
}

/** The shape for people: `_` for each literal. */
export function shapeText({ key }: LiteralText): string {
  return key.replaceAll('\u0001n', '_').replaceAll('\u0001s', '_');
}

function behindWord(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code < 128 && isWord[code] === 0) break;
    at++;
  }
  return at;
}

/** Digits with at most one point; undefined for exponents, hexadecimal numbers and junk behind. */
function numberAt(text: string, start: number): Literal | undefined {
  let at = start;
  let points = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === 46) points++;
    else if (code < 48 || code > 57) break;
    at++;
  }
  const code = text.charCodeAt(at);
  if (points > 1 || (code < 128 && isWord[code] === 1)) return undefined;
  return { start, end: at, kind: 'number', value: text.slice(start, at) };
}

function stringAt(text: string, start: number): Literal | undefined {
  let close = text.indexOf("'", start + 1);
  let isDoubled = false;
  while (close >= 0 && text.charCodeAt(close + 1) === 39) {
    isDoubled = true;
    close = text.indexOf("'", close + 2);
  }
  if (close < 0) return undefined;
  const raw = text.slice(start + 1, close);
  return {
    start,
    end: close + 1,
    kind: 'string',
    value: isDoubled ? raw.replaceAll("''", "'") : raw,
  };
}
