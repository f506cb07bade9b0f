/**
 * JSON: checking json text, and jsonb as a tree with exact numbers. Objects keep PostgreSQL's key order
 * (shorter keys first, then bytes) and the last of equal keys.
 */
import { sqlError } from '../errors.ts';
import { Jsonb, type JsonNode, Numeric } from './datum.ts';
import { compareNumeric, formatNumeric, stripZeros, tryParseNumeric } from './numeric.ts';

/** Walks over a tree are recursive; this depth fits the stack with room to spare. */
const maxDepth = 1000;

/** What a JSON text is made of, for those who do not want a tree. */
export interface JsonBuilder<T> {
  null(): T;
  boolean(value: boolean): T;
  string(value: string): T;
  number(text: string): T;
  array(items: T[]): T;
  object(entries: [string, T][]): T;
  /** Called for every value with its source text, when given. */
  readonly located?: (value: T, text: string) => T;
}

class JsonParser<T> {
  readonly #text: string;
  readonly #builder: JsonBuilder<T>;
  #at = 0;
  #depth = 0;

  constructor(text: string, builder: JsonBuilder<T>) {
    this.#text = text;
    this.#builder = builder;
  }

  parse(): T {
    const value = this.#value();
    this.#space();
    if (this.#at < this.#text.length) {
      throw this.#error(`Expected end of input, but found "${this.#token()}".`);
    }
    return value;
  }

  #space(): void {
    for (;;) {
      const c = this.#text.charCodeAt(this.#at);
      if (c === 32 || c === 10 || c === 13 || c === 9) this.#at++;
      else return;
    }
  }

  #token(): string {
    const word = /^(?:[A-Za-z0-9_.+-]+|"(?:[^"\\]|\\.)*"?|[^])/u.exec(this.#text.slice(this.#at));
    return word?.[0] ?? '';
  }

  #error(detail: string): Error {
    const line = this.#text.slice(0, this.#at).split('\n').length;
    const token = this.#token();
    const end = this.#at + token.length;
    const lineStart = this.#text.lastIndexOf('\n', this.#at - 1) + 1;
    const from = Math.max(lineStart, end - 50);
    const dots = from > lineStart ? '...' : '';
    const tail = end < this.#text.length ? '...' : '';
    return sqlError('invalidTextRepresentation', 'invalid input syntax for type json', {
      detail,
      where: `JSON data, line ${line}: ${dots}${this.#text.slice(from, end)}${tail}`,
    });
  }

  #unexpected(expected: string): Error {
    if (this.#at >= this.#text.length) {
      return this.#error('The input string ended unexpectedly.');
    }
    const token = this.#token();
    if (/^[A-Za-z0-9_.+-]/.test(token) && !/^(?:true|false|null|-?\d+(?:\.\d+)?)$/.test(token)) {
      return this.#error(`Token "${token}" is invalid.`);
    }
    return this.#error(`${expected}, but found "${token}".`);
  }

  #value(): T {
    this.#space();
    const { located } = this.#builder;
    if (located === undefined) return this.#bareValue();
    const start = this.#at;
    const value = this.#bareValue();
    return located(value, this.#text.slice(start, this.#at));
  }

  #bareValue(): T {
    const c = this.#text[this.#at];
    switch (c) {
      case '{':
        return this.#object();
      case '[':
        return this.#array();
      case '"':
        return this.#builder.string(this.#string());
      case 't':
        return this.#word('true', () => this.#builder.boolean(true));
      case 'f':
        return this.#word('false', () => this.#builder.boolean(false));
      case 'n':
        return this.#word('null', () => this.#builder.null());
      default:
        return this.#number();
    }
  }

  #word(word: string, make: () => T): T {
    if (this.#token() !== word) throw this.#unexpected('Expected JSON value');
    this.#at += word.length;
    return make();
  }

  #number(): T {
    const pattern = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) throw this.#unexpected('Expected JSON value');
    const next = this.#text[this.#at + match[0].length];
    if (next !== undefined && /[A-Za-z0-9_.]/.test(next)) {
      throw this.#error(`Token "${this.#token()}" is invalid.`);
    }
    this.#at += match[0].length;
    return this.#builder.number(match[0]);
  }

  #string(): string {
    const text = this.#text;
    const start = ++this.#at;
    for (;;) {
      const c = text.charCodeAt(this.#at);
      if (c === 34) {
        return text.slice(start, this.#at++);
      }
      if (c === 92) break;
      if (Number.isNaN(c)) {
        this.#at = start - 1;
        throw this.#error(`Token "${text.slice(start - 1)}" is invalid.`);
      }
      if (c < 32) {
        throw this.#error(
          `Character with value 0x${c.toString(16).padStart(2, '0')} must be escaped.`,
        );
      }
      this.#at++;
    }
    return this.#escapedString(start);
  }

  #escapedString(start: number): string {
    const text = this.#text;
    let out = text.slice(start, this.#at);
    for (;;) {
      const c = text[this.#at];
      if (c === undefined) {
        this.#at = start - 1;
        throw this.#error(`Token "${text.slice(start - 1)}" is invalid.`);
      }
      if (c === '"') {
        this.#at++;
        return out;
      }
      if (c.charCodeAt(0) < 32) {
        throw this.#error(
          `Character with value 0x${c.charCodeAt(0).toString(16).padStart(2, '0')} must be escaped.`,
        );
      }
      if (c !== '\\') {
        out += c;
        this.#at++;
        continue;
      }
      out += this.#escape();
    }
  }

  #escape(): string {
    const c = this.#text[this.#at + 1] ?? '';
    const simple = simpleEscapes[c];
    if (simple !== undefined) {
      this.#at += 2;
      return simple;
    }
    const hex = this.#text.slice(this.#at + 2, this.#at + 6);
    if (c !== 'u') throw this.#error(`Escape sequence "\\${c}" is invalid.`);
    if (!/^[0-9a-fA-F]{4}$/.test(hex)) {
      throw this.#error('"\\u" must be followed by four hexadecimal digits.');
    }
    const code = Number.parseInt(hex, 16);
    this.#at += 6;
    if (code >= 0xdc00 && code <= 0xdfff) {
      throw this.#error('Unicode low surrogate must follow a high surrogate.');
    }
    if (code < 0xd800 || code > 0xdbff) return String.fromCharCode(code);
    const low = /^\\u([dD][c-fC-F][0-9a-fA-F]{2})/.exec(this.#text.slice(this.#at, this.#at + 6));
    if (low === null) throw this.#error('Unicode low surrogate must follow a high surrogate.');
    this.#at += 6;
    return String.fromCharCode(code, Number.parseInt(low[1] ?? '', 16));
  }

  #enter(): void {
    if (++this.#depth > maxDepth) {
      throw sqlError('statementTooComplex', 'stack depth limit exceeded');
    }
    this.#at++;
  }

  #array(): T {
    this.#enter();
    const items: T[] = [];
    this.#space();
    if (this.#text[this.#at] === ']') this.#at++;
    else {
      for (;;) {
        items.push(this.#value());
        this.#space();
        const c = this.#text[this.#at];
        if (c === ']') {
          this.#at++;
          break;
        }
        if (c !== ',') throw this.#unexpected('Expected "," or "]"');
        this.#at++;
      }
    }
    this.#depth--;
    return this.#builder.array(items);
  }

  #object(): T {
    this.#enter();
    const entries: [string, T][] = [];
    this.#space();
    if (this.#text[this.#at] === '}') this.#at++;
    else {
      for (;;) {
        this.#space();
        if (this.#text[this.#at] !== '"') {
          throw this.#unexpected(
            entries.length === 0 ? 'Expected string or "}"' : 'Expected string',
          );
        }
        const key = this.#string();
        this.#space();
        if (this.#text[this.#at] !== ':') throw this.#unexpected('Expected ":"');
        this.#at++;
        entries.push([key, this.#value()]);
        this.#space();
        const c = this.#text[this.#at];
        if (c === '}') {
          this.#at++;
          break;
        }
        if (c !== ',') throw this.#unexpected('Expected "," or "}"');
        this.#at++;
      }
    }
    this.#depth--;
    return this.#builder.object(entries);
  }
}

const simpleEscapes: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

const checker: JsonBuilder<undefined> = {
  null: () => undefined,
  boolean: () => undefined,
  string: () => undefined,
  number: () => undefined,
  array: () => undefined,
  object: () => undefined,
};

const treeBuilder: JsonBuilder<JsonNode> = {
  null: () => null,
  boolean: (value) => value,
  string(value) {
    if (value.includes('\0')) {
      throw sqlError('untranslatableCharacter', 'unsupported Unicode escape sequence', {
        detail: '\\u0000 cannot be converted to text.',
      });
    }
    return value;
  },
  number: (text) => jsonNumber(text),
  array: (items) => items,
  object: (entries) => makeObject(entries),
};

function jsonNumber(text: string): Numeric {
  const value = tryParseNumeric(text);
  if (value === undefined) {
    throw sqlError('invalidTextRepresentation', `invalid input syntax for type json`);
  }
  return value;
}

/** Throws 22P02 when `text` is not JSON. */
export function checkJson(text: string): void {
  new JsonParser(text, checker).parse();
}

export function isJson(text: string): boolean {
  try {
    checkJson(text);
    return true;
  } catch {
    return false;
  }
}

export function parseJsonNode(text: string): JsonNode {
  return new JsonParser(text, treeBuilder).parse();
}

export function parseJsonb(text: string): Jsonb {
  return new Jsonb(parseJsonNode(text));
}

/** Generic door to the parser for builders elsewhere in this layer's functions. */
export function parseJsonWith<T>(text: string, builder: JsonBuilder<T>): T {
  return new JsonParser(text, builder).parse();
}

/** jsonb order of object keys: length in bytes, then bytes. */
export function compareJsonKeys(a: string, b: string): number {
  const x = Buffer.byteLength(a);
  const y = Buffer.byteLength(b);
  if (x !== y) return x - y;
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}

export function makeObject(entries: readonly (readonly [string, JsonNode])[]): JsonNode {
  const last = new Map(entries);
  return new Map([...last].sort((a, b) => compareJsonKeys(a[0], b[0])));
}

export function isJsonArray(node: JsonNode): node is readonly JsonNode[] {
  return Array.isArray(node);
}

export function isJsonObject(node: JsonNode): node is ReadonlyMap<string, JsonNode> {
  return node instanceof Map;
}

const mustEscape = /["\\\p{Cc}]/gu;

/** A JSON string literal as PostgreSQL writes it. */
export function quoteJson(text: string): string {
  return `"${text.replace(mustEscape, (c) => {
    switch (c) {
      case '"':
        return '\\"';
      case '\\':
        return '\\\\';
      case '\b':
        return '\\b';
      case '\f':
        return '\\f';
      case '\n':
        return '\\n';
      case '\r':
        return '\\r';
      case '\t':
        return '\\t';
      default:
        if (c >= '\x7f') return c;
        return `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;
    }
  })}"`;
}

export function formatJsonNode(node: JsonNode): string {
  if (node === null) return 'null';
  if (typeof node === 'boolean') return node ? 'true' : 'false';
  if (typeof node === 'string') return quoteJson(node);
  if (node instanceof Numeric) return formatNumeric(node);
  if (isJsonArray(node)) return `[${node.map(formatJsonNode).join(', ')}]`;
  if (!isJsonObject(node)) return 'null';
  const parts: string[] = [];
  for (const [key, value] of node) parts.push(`${quoteJson(key)}: ${formatJsonNode(value)}`);
  return `{${parts.join(', ')}}`;
}

/**
 * jsonb order: Object > Array > Boolean > Number > String > Null. A quirk that indexes depend on: on the
 * top level an empty array is less than every scalar.
 */
export function compareJsonb(a: JsonNode, b: JsonNode): number {
  const emptyA = isJsonArray(a) && a.length === 0;
  const emptyB = isJsonArray(b) && b.length === 0;
  if (emptyA !== emptyB) {
    if (emptyA && !isJsonObject(b)) return -1;
    if (emptyB && !isJsonObject(a)) return 1;
  }
  return compareJsonNodes(a, b);
}

function compareJsonNodes(a: JsonNode, b: JsonNode): number {
  const kindA = jsonRank(a);
  const kindB = jsonRank(b);
  if (kindA !== kindB) return kindA - kindB;
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b);
  if (a instanceof Numeric && b instanceof Numeric) return compareNumeric(a, b);
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b);
  if (a !== null && b !== null && typeof a === 'object' && typeof b === 'object') {
    return compareContainers(a, b);
  }
  return 0;
}

function compareContainers(a: JsonNode, b: JsonNode): number {
  if (isJsonArray(a) && isJsonArray(b)) {
    if (a.length !== b.length) return a.length - b.length;
    for (let i = 0; i < a.length; i++) {
      const order = compareJsonNodes(a[i] ?? null, b[i] ?? null);
      if (order !== 0) return order;
    }
    return 0;
  }
  if (!isJsonObject(a) || !isJsonObject(b)) return 0;
  if (a.size !== b.size) return a.size - b.size;
  const x = [...a];
  const y = [...b];
  for (let i = 0; i < x.length; i++) {
    const [keyA, valueA] = x[i] ?? ['', null];
    const [keyB, valueB] = y[i] ?? ['', null];
    const order = compareText(keyA, keyB) || compareJsonNodes(valueA, valueB);
    if (order !== 0) return order;
  }
  return 0;
}

export function jsonRank(node: JsonNode): number {
  if (node === null) return 0;
  if (typeof node === 'string') return 1;
  if (node instanceof Numeric) return 2;
  if (typeof node === 'boolean') return 3;
  return isJsonArray(node) ? 4 : 5;
}

/** Order of texts by their UTF-8 bytes (the "C" collation), from UTF-16 strings. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    let x = a.charCodeAt(i);
    let y = b.charCodeAt(i);
    if (x === y) continue;
    // Surrogates stand for code points above all others.
    if (x >= 0xd800 && y >= 0xd800) {
      x = x >= 0xe000 ? x - 0x800 : x + 0x2000;
      y = y >= 0xe000 ? y - 0x800 : y + 0x2000;
    }
    return x - y;
  }
  return a.length - b.length;
}

/** Equal nodes give equal strings. */
export function jsonHashKey(node: JsonNode): string {
  if (node instanceof Numeric) return formatNumeric(stripZeros(node));
  if (isJsonArray(node)) return `[${node.map(jsonHashKey).join(',')}]`;
  if (isJsonObject(node)) {
    return `{${[...node].map(([key, value]) => `${quoteJson(key)}:${jsonHashKey(value)}`).join(',')}}`;
  }
  return formatJsonNode(node);
}
