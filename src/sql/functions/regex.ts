/**
 * PostgreSQL's regular expressions (ARE) on JavaScript's RegExp, and LIKE and SIMILAR TO on top of them.
 * Translated: character classes ([[:alpha:]], \m \M \y \Y \A \Z, \d \s \w), embedded options (?i),
 * newline-sensitive matching. PostgreSQL prefers the longest match where JavaScript takes the first
 * alternative; that difference stays. Patterns are cached, their length and a match's time are bounded.
 */
import { sqlError } from '../errors.ts';
import { BoundedRegExp } from './regex-bound.ts';

const maxPatternLength = 100_000;
const maxCached = 256;

const classes: Readonly<Record<string, string>> = {
  alpha: '\\p{L}',
  digit: '0-9',
  alnum: '\\p{L}\\p{N}',
  upper: '\\p{Lu}',
  lower: '\\p{Ll}',
  space: '\\s',
  punct: '!-\\/:-@\\[-`\\{-~',
  blank: ' \\t',
  cntrl: '\\p{Cc}',
  xdigit: '0-9A-Fa-f',
  graph: '\\x21-\\x7e\\u00a1-\\u{10ffff}',
  print: '\\x20-\\x7e\\u00a0-\\u{10ffff}',
  word: '\\p{L}\\p{N}_',
  ascii: '\\x00-\\x7f',
};

export function invalidRegex(reason: string): Error {
  return sqlError('invalidRegularExpression', `invalid regular expression: ${reason}`);
}

interface Options {
  readonly ignoreCase: boolean;
  /** `.` and [^] do not match newlines. */
  readonly dotStops: boolean;
  /** ^ and $ match at line ends. */
  readonly multiline: boolean;
  readonly literal: boolean;
  readonly extended: boolean;
}

/** Letters of the flags argument; `g` is for the caller. */
function parseOptions(flags: string): Options {
  let options: Options = {
    ignoreCase: false,
    dotStops: false,
    multiline: false,
    literal: false,
    extended: false,
  };
  for (const flag of flags) {
    switch (flag) {
      case 'g':
        break;
      case 'i':
        options = { ...options, ignoreCase: true };
        break;
      case 'c':
        options = { ...options, ignoreCase: false };
        break;
      case 'n':
      case 'm':
        options = { ...options, dotStops: true, multiline: true };
        break;
      case 'p':
        options = { ...options, dotStops: true, multiline: false };
        break;
      case 'w':
        options = { ...options, dotStops: false, multiline: true };
        break;
      case 's':
        options = { ...options, dotStops: false, multiline: false };
        break;
      case 'q':
        options = { ...options, literal: true };
        break;
      case 'x':
        options = { ...options, extended: true };
        break;
      case 't':
      case 'e':
      case 'b':
        break;
      default:
        throw sqlError('invalidParameterValue', `invalid regular expression option: "${flag}"`);
    }
  }
  return options;
}

const cache = new Map<string, RegExp>();

/** A RegExp with the `g`, `u` and `d` flags: set lastIndex before use. Throws 2201B, 22023. */
export function compileRegex(pattern: string, flags = ''): RegExp {
  const key = `${flags}/${pattern}`;
  let regex = cache.get(key);
  if (regex === undefined) {
    regex = translate(pattern, flags);
    if (cache.size >= maxCached) cache.clear();
    cache.set(key, regex);
  }
  regex.lastIndex = 0;
  return regex;
}

export function escapeRegex(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}

function translate(pattern: string, flags: string): RegExp {
  if (pattern.length > maxPatternLength) throw invalidRegex('regular expression is too complex');
  let source = pattern;
  let options = parseOptions(flags);
  if (source.startsWith('***=')) {
    source = source.slice(4);
    options = { ...options, literal: true };
  } else if (source.startsWith('***:')) source = source.slice(4);
  const embedded = /^\(\?([a-z]+)\)/.exec(source);
  if (embedded !== null && !options.literal) {
    options = parseOptions(flags + (embedded[1] ?? ''));
    source = source.slice(embedded[0].length);
  }
  const body = options.literal ? escapeRegex(source) : new Translator(source, options).run();
  const jsFlags = `gud${options.ignoreCase ? 'i' : ''}${options.multiline ? 'm' : ''}${options.dotStops ? '' : 's'}`;
  try {
    return new BoundedRegExp(body, jsFlags);
  } catch (error) {
    throw invalidRegex(reasonOf(source, error));
  }
}

function reasonOf(source: string, error: unknown): string {
  const message = error instanceof Error ? error.message : '';
  if (/unterminated group|unmatched '\)'|unmatched parenthes/i.test(message))
    return 'parentheses () not balanced';
  if (/character class/i.test(message)) {
    return /range/i.test(message) ? 'invalid character range' : 'brackets [] not balanced';
  }
  if (/nothing to repeat/i.test(message)) return 'quantifier operand invalid';
  if (/numbers out of order|quantifier/i.test(message)) return 'invalid repetition count(s)';
  if (/escape/i.test(message) || source.endsWith('\\')) return 'invalid escape \\ sequence';
  return 'invalid regexp';
}

class Translator {
  readonly #source: string;
  readonly #options: Options;
  #at = 0;
  #out = '';

  constructor(source: string, options: Options) {
    this.#source = source;
    this.#options = options;
  }

  run(): string {
    const source = this.#source;
    while (this.#at < source.length) {
      const c = source[this.#at] ?? '';
      switch (c) {
        case '\\':
          this.#escape();
          break;
        case '[':
          this.#bracket();
          break;
        case '$':
          // In JavaScript `$` without the m flag is the end of the text, as here.
          this.#out += '$';
          this.#at++;
          break;
        case '{':
          this.#brace();
          break;
        case '}':
          this.#out += '\\}';
          this.#at++;
          break;
        case ']':
          this.#out += '\\]';
          this.#at++;
          break;
        case '(':
          this.#group();
          break;
        case '/':
          this.#out += '\\/';
          this.#at++;
          break;
        default:
          this.#plain(c);
      }
    }
    return this.#out;
  }

  #plain(c: string): void {
    this.#at++;
    if (!this.#options.extended) {
      this.#out += c;
      return;
    }
    if (/\s/.test(c)) return;
    if (c === '#') {
      while (this.#at < this.#source.length && this.#source[this.#at] !== '\n') this.#at++;
      return;
    }
    this.#out += c;
  }

  #group(): void {
    const comment = /^\(\?#[^)]*\)/.exec(this.#source.slice(this.#at, this.#at + 1000));
    if (comment !== null) {
      this.#at += comment[0].length;
      return;
    }
    const rest = this.#source.slice(this.#at, this.#at + 4);
    const head = /^\((?:\?(?:[:=!]|<[=!]))?/.exec(rest)?.[0] ?? '(';
    if (head === '(' && rest[1] === '?') throw invalidRegex('quantifier operand invalid');
    this.#out += head;
    this.#at += head.length;
  }

  #brace(): void {
    const bound = /^\{(\d+)(,(\d*))?\}/.exec(this.#source.slice(this.#at, this.#at + 20));
    if (bound === null) {
      // A brace that begins no bound is an ordinary character only when no digit follows.
      if (/^\{\d/.test(this.#source.slice(this.#at)))
        throw invalidRegex('invalid repetition count(s)');
      this.#out += '\\{';
      this.#at++;
      return;
    }
    if (Number(bound[1]) > 255 || Number(bound[3] ?? '0') > 255) {
      throw invalidRegex('invalid repetition count(s)');
    }
    this.#out += bound[0];
    this.#at += bound[0].length;
  }

  #escape(): void {
    const c = this.#source[this.#at + 1];
    if (c === undefined) throw invalidRegex('invalid escape \\ sequence');
    this.#at += 2;
    const simple = escapes[c];
    if (simple !== undefined) {
      this.#out += simple;
      return;
    }
    if (c === 'x' || c === 'u' || c === 'U') {
      this.#out += this.#hex(c);
      return;
    }
    if (/[1-9]/.test(c)) {
      this.#out += `\\${c}`;
      return;
    }
    if (c === 'c') {
      const letter = this.#source[this.#at++] ?? '';
      this.#out += `\\x${(letter.charCodeAt(0) & 31).toString(16).padStart(2, '0')}`;
      return;
    }
    if (/[A-Za-z0-9]/.test(c)) throw invalidRegex('invalid escape \\ sequence');
    this.#out += escapeLiteral(c);
  }

  #hex(kind: string): string {
    const pattern =
      kind === 'x' ? /^[0-9a-fA-F]{1,}/ : kind === 'u' ? /^[0-9a-fA-F]{4}/ : /^[0-9a-fA-F]{8}/;
    const match = pattern.exec(this.#source.slice(this.#at, this.#at + 8));
    if (match === null) throw invalidRegex('invalid escape \\ sequence');
    this.#at += match[0].length;
    return `\\u{${match[0]}}`;
  }

  #bracket(): void {
    const source = this.#source;
    if (source.startsWith('[[:<:]]', this.#at)) {
      this.#out += wordStart;
      this.#at += 7;
      return;
    }
    if (source.startsWith('[[:>:]]', this.#at)) {
      this.#out += wordEnd;
      this.#at += 7;
      return;
    }
    let out = '[';
    let i = this.#at + 1;
    if (source[i] === '^') {
      out += '^';
      i++;
      if (this.#options.dotStops) out += '\\n';
    }
    let first = true;
    for (;;) {
      const c = source[i];
      if (c === undefined) throw invalidRegex('brackets [] not balanced');
      if (c === ']' && !first) break;
      first = false;
      if (c === '[' && /[:.=]/.test(source[i + 1] ?? '')) {
        const named = /^\[([:.=])(.+?)\1\]/.exec(source.slice(i, i + 40));
        if (named === null) throw invalidRegex('brackets [] not balanced');
        out += namedClass(named[1] ?? '', named[2] ?? '');
        i += named[0].length;
        continue;
      }
      if (c === '\\') {
        const next = source[i + 1] ?? '';
        if (/[dswDSW]/.test(next))
          out += next === 'w' ? '\\p{L}\\p{N}_' : next === 'd' ? '0-9' : `\\${next}`;
        else if (/[nrtfvb]/.test(next)) out += `\\${next}`;
        else out += escapeLiteral(next);
        i += 2;
        continue;
      }
      if (c === '-') {
        // A dash between two characters is a range, else itself.
        const isRange = i > this.#at + 1 && source[i + 1] !== ']' && !/[[^]$/.test(out);
        out += isRange ? '-' : '\\-';
        i++;
        continue;
      }
      out += /[[\]^/{}()|.*+?$&!#%,:;<=>@`~]/.test(c) ? classLiteral(c) : c;
      i++;
    }
    this.#out += `${out}]`;
    this.#at = i + 1;
  }
}

function classLiteral(c: string): string {
  return /[[\]^/\\]/.test(c) ? `\\${c}` : c;
}

const word = '[\\p{L}\\p{N}_]';
const wordStart = `(?<!${word})(?=${word})`;
const wordEnd = `(?<=${word})(?!${word})`;

const escapes: Readonly<Record<string, string>> = {
  a: '\\x07',
  b: '\\x08',
  B: '\\\\',
  e: '\\x1b',
  f: '\\f',
  n: '\\n',
  r: '\\r',
  t: '\\t',
  v: '\\v',
  '0': '\\0',
  d: '[0-9]',
  D: '[^0-9]',
  s: '\\s',
  S: '\\S',
  w: word,
  W: '[^\\p{L}\\p{N}_]',
  A: '(?<![\\s\\S])',
  Z: '(?![\\s\\S])',
  m: wordStart,
  M: wordEnd,
  y: `(?:${wordStart}|${wordEnd})`,
  Y: `(?:(?<=${word})(?=${word})|(?<!${word})(?!${word}))`,
};

function escapeLiteral(c: string): string {
  return /[\\^$.*+?()[\]{}|/-]/.test(c) ? `\\${c}` : c;
}

function namedClass(kind: string, name: string): string {
  if (kind === ':') {
    const found = Object.hasOwn(classes, name) ? classes[name] : undefined;
    if (found === undefined) throw invalidRegex('invalid character class');
    return found;
  }
  if (Array.from(name).length !== 1) throw invalidRegex('invalid collating element');
  return escapeLiteral(name);
}

/** True when the pattern matches anywhere in the text. */
export function regexMatches(text: string, pattern: string, flags = ''): boolean {
  return compileRegex(pattern, flags).test(text);
}

// --------------------------------------------------------------------------- LIKE, SIMILAR TO

export function like(text: string, pattern: string, ignoreCase = false): boolean {
  // Matching with several wildcards is done by hand: RegExp could backtrack exponentially.
  if (!ignoreCase) return likeMatch(text, pattern);
  return likeMatch(text.toLowerCase(), pattern.toLowerCase());
}

/** LIKE in at most length(text) * length(pattern) steps. */
function likeMatch(text: string, pattern: string): boolean {
  let t = 0;
  let p = 0;
  let retryPattern = -1;
  let retryText = 0;
  while (t < text.length) {
    const c = pattern[p];
    if (c === '%') {
      retryPattern = ++p;
      retryText = t;
      continue;
    }
    if (c === '_') {
      const code = text.charCodeAt(t);
      t += code >= 0xd800 && code <= 0xdbff ? 2 : 1;
      p++;
      continue;
    }
    if (c !== undefined) {
      let wanted = c;
      let width = 1;
      if (c === '\\') {
        const next = pattern[p + 1];
        if (next === undefined) {
          throw sqlError(
            'invalidEscapeSequence',
            'LIKE pattern must not end with escape character',
          );
        }
        wanted = next;
        width = 2;
      }
      if (text[t] === wanted) {
        t++;
        p += width;
        continue;
      }
    }
    if (retryPattern < 0) return false;
    p = retryPattern;
    t = ++retryText;
  }
  while (pattern[p] === '%') p++;
  return p >= pattern.length;
}

/** LIKE with another escape character, rewritten to backslashes (like_escape). Throws 22025. */
export function likeEscape(pattern: string, escape: string): string {
  const characters = Array.from(escape);
  if (characters.length > 1) {
    throw sqlError('invalidEscapeSequence', 'invalid escape string', {
      hint: 'Escape string must be empty or one character.',
    });
  }
  if (escape === '\\') return pattern;
  let out = '';
  let afterEscape = false;
  for (const c of pattern) {
    if (c === escape && !afterEscape) {
      out += '\\';
      afterEscape = true;
    } else {
      if (c === '\\' && !afterEscape) out += '\\';
      out += c;
      afterEscape = false;
    }
  }
  return out;
}

/** The ARE of a SIMILAR TO pattern. Throws 22025. */
export function similarToRegex(pattern: string, escape = '\\'): string {
  let out = '^(?:';
  let inBracket = false;
  const characters = Array.from(pattern);
  let quotes = 0;
  for (let i = 0; i < characters.length; i++) {
    const c = characters[i] ?? '';
    if (escape !== '' && c === escape) {
      const next = characters[++i];
      if (next === undefined) break;
      if (next === '"' && !inBracket) {
        // Separators of SUBSTRING(... SIMILAR ...): the middle part is what is returned.
        if (quotes === 0) out += '){1,1}?(';
        else if (quotes === 1) out += '){1,1}(?:';
        else {
          throw sqlError(
            'invalidEscapeSequence',
            'SQL regular expression may not contain more than two escape-double-quote separators',
          );
        }
        quotes++;
      } else out += `\\${next}`;
      continue;
    }
    if (inBracket) {
      if (c === '\\') out += '\\';
      out += c;
      if (c === ']') inBracket = false;
    } else if (c === '[') {
      out += c;
      inBracket = true;
    } else if (c === '%') out += '.*';
    else if (c === '_') out += '.';
    else if (c === '(') out += '(?:';
    else if (c === '\\' || c === '.' || c === '^' || c === '$') out += `\\${c}`;
    else out += c;
  }
  return `${out})$`;
}
