/** Cuts a query string into statements at semicolons, without making tokens: strings and comments are skipped. */

export interface Piece {
  /** UTF-16 offsets in the whole text; `end` is the semicolon or the end of the text. */
  readonly start: number;
  readonly end: number;
}

const apostrophe = 39;
const quote = 34;
const dollar = 36;
const dash = 45;
const slash = 47;
const star = 42;
const semicolon = 59;
const backslash = 92;

const wordRest = /[A-Za-z0-9_$\u0080-\uffff]/;
const dollarTag = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y;

/** Pieces between semicolons, in order, also blank ones. */
export function splitStatements(text: string): Piece[] {
  const last = text.trimEnd().length;
  const single = text.indexOf(';');
  if (single < 0) return [{ start: 0, end: text.length }];
  if (single === last - 1) return [{ start: 0, end: single }];
  const pieces: Piece[] = [];
  let start = 0;
  let at = 0;
  while (at < text.length) {
    switch (text.charCodeAt(at)) {
      case semicolon:
        pieces.push({ start, end: at });
        at++;
        start = at;
        break;
      case apostrophe:
        at = behindString(text, at);
        break;
      case quote: {
        const close = text.indexOf('"', at + 1);
        at = close < 0 ? text.length : close + 1;
        break;
      }
      case dollar:
        at = behindDollar(text, at);
        break;
      case dash:
        if (text.charCodeAt(at + 1) === dash) {
          const end = text.indexOf('\n', at);
          at = end < 0 ? text.length : end + 1;
        } else {
          at++;
        }
        break;
      case slash:
        at = text.charCodeAt(at + 1) === star ? behindComment(text, at) : at + 1;
        break;
      default:
        at++;
    }
  }
  pieces.push({ start, end: text.length });
  return pieces;
}

/** `at` is the opening apostrophe. Doubled apostrophes end one string and start the next: the result is the same. */
function behindString(text: string, at: number): number {
  const prefix = text.charCodeAt(at - 1) | 0x20;
  const escapes = prefix === 0x65 && !wordRest.test(text[at - 2] ?? ' ');
  if (!escapes) {
    const close = text.indexOf("'", at + 1);
    return close < 0 ? text.length : close + 1;
  }
  for (let i = at + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === backslash) i++;
    else if (code === apostrophe) {
      if (text.charCodeAt(i + 1) !== apostrophe) return i + 1;
      i++;
    }
  }
  return text.length;
}

function behindDollar(text: string, at: number): number {
  if (wordRest.test(text[at - 1] ?? ' ')) return at + 1;
  dollarTag.lastIndex = at;
  if (!dollarTag.test(text)) return at + 1;
  const body = dollarTag.lastIndex;
  const close = text.indexOf(text.slice(at, body), body);
  return close < 0 ? text.length : close + (body - at);
}

function behindComment(text: string, at: number): number {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const next = text.charCodeAt(i + 1);
    if (code === slash && next === star) {
      depth++;
      i++;
    } else if (code === star && next === slash) {
      depth--;
      i++;
      if (depth === 0) return i + 1;
    }
  }
  return text.length;
}
