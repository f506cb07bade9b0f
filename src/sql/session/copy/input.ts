/**
 * COPY data to records of texts. Bytes come in pieces cut anywhere; only the piece of a record that is
 * not complete yet is kept. Fields are raw texts (or null), in the order of the line.
 */
import { isUtf8 } from 'node:buffer';
import { sqlError, type SqlFailure } from '../../errors.ts';
import { type CopyOptions } from './options.ts';

/** null = NULL. */
export type CopyRecord = (string | null)[];

export interface CopyRecords {
  /** Records that `bytes` completes. */
  push(bytes: Buffer): CopyRecord[];
  /** The record that ended with the data instead of a line end. */
  end(): CopyRecord[];
  /** Number of the last line handed out, from 1. */
  readonly line: number;
}

const maxRecordBytes = 64 * 1024 * 1024;

/** PostgreSQL's three: the first end of a line that is not data decides for all. */
type LineEnd = '\n' | '\r\n' | '\r';

const lineFeed = 10;
const carriageReturn = 13;

/** Looks for the first line end. Behind an escape, and between quotes where there are any, it is data. */
class LineEndFinder {
  readonly #quote: number | undefined;
  readonly #escape: number | undefined;
  #isQuoted = false;
  #isEscaped = false;
  #sawReturn = false;

  constructor({ format, quote, escape }: CopyOptions) {
    const isCsv = format === 'csv';
    this.#quote = isCsv ? quote.charCodeAt(0) : undefined;
    // A quote that escapes a quote opens at once what it has closed.
    this.#escape = !isCsv ? 92 : escape === quote ? undefined : escape.charCodeAt(0);
  }

  find(bytes: Buffer): LineEnd | undefined {
    for (const byte of bytes) {
      if (this.#sawReturn) return byte === lineFeed ? '\r\n' : '\r';
      const isData = this.#isEscaped || this.#isQuoted;
      if (this.#isEscaped) this.#isEscaped = false;
      else if (byte === this.#escape) this.#isEscaped = this.#quote === undefined || this.#isQuoted;
      else if (byte === this.#quote) this.#isQuoted = !this.#isQuoted;
      if (isData) continue;
      if (byte === lineFeed) return '\n';
      this.#sawReturn = byte === carriageReturn;
    }
    return undefined;
  }

  /** No more bytes come. */
  end(): LineEnd {
    return this.#sawReturn ? '\r' : '\n';
  }
}

/** Complete lines of UTF-8 from pieces of bytes. */
class LineText {
  readonly #finder: LineEndFinder;
  #lineEnd: LineEnd | undefined;
  #rest: Buffer[] = [];
  #restBytes = 0;

  constructor(options: CopyOptions) {
    this.#finder = new LineEndFinder(options);
  }

  /** How lines end; known as soon as text has been handed out. */
  get lineEnd(): LineEnd {
    return this.#lineEnd ?? this.#finder.end();
  }

  /** The text up to the last line end, or undefined when there is none yet. */
  push(bytes: Buffer): string | undefined {
    this.#lineEnd ??= this.#finder.find(bytes);
    const end =
      this.#lineEnd === undefined
        ? -1
        : bytes.lastIndexOf(this.#lineEnd === '\r' ? carriageReturn : lineFeed);
    if (end < 0) {
      this.#keep(bytes);
      return undefined;
    }
    const whole = this.#join(bytes.subarray(0, end + 1));
    this.#keep(bytes.subarray(end + 1));
    return decode(whole);
  }

  end(): string {
    return decode(this.#join(Buffer.alloc(0)));
  }

  #join(last: Buffer): Buffer {
    if (this.#restBytes === 0) return last;
    const whole = Buffer.concat([...this.#rest, last]);
    this.#rest = [];
    this.#restBytes = 0;
    return whole;
  }

  #keep(bytes: Buffer): void {
    if (bytes.length === 0) return;
    // The bytes are lent: what is kept is copied.
    this.#rest.push(Buffer.from(bytes));
    this.#restBytes += bytes.length;
    checkLength(this.#restBytes);
  }
}

function checkLength(length: number): void {
  if (length > maxRecordBytes) {
    throw sqlError('programLimitExceeded', 'a line of COPY data is too long', {
      detail: `The limit is ${maxRecordBytes} bytes.`,
    });
  }
}

function decode(bytes: Buffer): string {
  if (bytes.includes(0)) {
    throw sqlError('characterNotInRepertoire', 'invalid byte sequence for encoding "UTF8": 0x00');
  }
  const text = bytes.toString();
  if (text.includes('\ufffd') && !isUtf8(bytes)) {
    throw sqlError('characterNotInRepertoire', 'invalid byte sequence for encoding "UTF8"');
  }
  return text;
}

export function copyRecords(options: CopyOptions): CopyRecords {
  return options.format === 'csv' ? new CsvRecords(options) : new TextRecords(options);
}

class TextRecords implements CopyRecords {
  readonly #lines: LineText;
  readonly #options: CopyOptions;
  /** A line that ended in a backslash: the newline behind it is data. */
  #continued = '';
  #isEnded = false;
  line = 0;

  constructor(options: CopyOptions) {
    this.#options = options;
    this.#lines = new LineText(options);
  }

  push(bytes: Buffer): CopyRecord[] {
    if (this.#isEnded) return [];
    const text = this.#lines.push(bytes);
    return text === undefined ? [] : this.#split(text);
  }

  end(): CopyRecord[] {
    if (this.#isEnded) return [];
    const records = this.#split(this.#lines.end());
    if (this.#continued !== '' && !this.#isEnded) records.push(this.#record(''));
    return records;
  }

  /** `text` ends with a line end, except at the end of the data. */
  #split(text: string): CopyRecord[] {
    const { lineEnd } = this.#lines;
    const last = lineEnd === '\r' ? '\r' : '\n';
    const other = lineEnd === '\r' ? '\n' : '\r';
    const hasOther = lineEnd === '\r\n' || text.includes(other);
    const records: CopyRecord[] = [];
    let start = 0;
    while (start < text.length) {
      const found = text.indexOf(last, start);
      const end = found < 0 ? text.length : found;
      let line = text.slice(start, end);
      start = end + 1;
      const isComplete = found < 0 || !endsInOddBackslash(line);
      if (lineEnd === '\r\n' && found >= 0 && isComplete) {
        if (!line.endsWith('\r') || endsInOddBackslash(line.slice(0, -1))) throw literal(last);
        line = line.slice(0, -1);
      }
      if (hasOther && hasUnescaped(line, other)) throw literal(other);
      if (!isComplete) {
        this.#continued += `${line}${last}`;
        checkLength(this.#continued.length);
      } else if (line === '\\.') {
        this.#isEnded = true;
        if (this.#continued !== '') records.push(this.#record(''));
        break;
      } else {
        records.push(this.#record(line));
      }
    }
    return records;
  }

  #record(line: string): CopyRecord {
    const whole = this.#continued === '' ? line : this.#continued + line;
    this.#continued = '';
    this.line++;
    return this.#fields(whole);
  }

  #fields(line: string): CopyRecord {
    const { delimiter, nullText } = this.#options;
    const fields: CopyRecord = line.split(delimiter);
    if (!line.includes('\\')) {
      if (nullText === '\\N') return fields;
      for (let i = 0; i < fields.length; i++) if (fields[i] === nullText) fields[i] = null;
      return fields;
    }
    return escapedFields(rejoin(fields, delimiter), nullText);
  }
}

function endsInOddBackslash(line: string): boolean {
  let count = 0;
  for (let i = line.length - 1; i >= 0 && line.charCodeAt(i) === 92; i--) count++;
  return count % 2 === 1;
}

function hasUnescaped(line: string, char: string): boolean {
  for (let at = line.indexOf(char); at >= 0; at = line.indexOf(char, at + 1)) {
    if (!endsInOddBackslash(line.slice(0, at))) return true;
  }
  return false;
}

/** A character that ends lines, but not those of these data. */
function literal(char: string, kind: 'literal' | 'unquoted' = 'literal'): SqlFailure {
  const name = char === '\r' ? 'carriage return' : 'newline';
  return sqlError('badCopyFileFormat', `${kind} ${name} found in data`);
}

/** A delimiter behind a backslash is data: joins what `split` has cut too much. */
function rejoin(parts: CopyRecord, delimiter: string): string[] {
  const fields: string[] = [];
  let open: string | undefined;
  for (const part of parts) {
    const text: string = open === undefined ? (part ?? '') : `${open}${delimiter}${part ?? ''}`;
    if (endsInOddBackslash(text)) {
      open = text;
    } else {
      fields.push(text);
      open = undefined;
    }
  }
  if (open !== undefined) fields.push(open);
  return fields;
}

function escapedFields(raw: readonly string[], nullText: string): CopyRecord {
  return raw.map((field) => {
    if (field === nullText) return null;
    return field.includes('\\') ? unescape(field) : field;
  });
}

const simpleEscapes: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

function unescape(field: string): string {
  if (!/\\[0-7x]/.test(field)) {
    // A backslash with nothing behind it, where the data end, stands for nothing.
    return field.replaceAll(/\\([\s\S]?)/g, (_all, char: string) => simpleEscapes[char] ?? char);
  }
  // Octal and hexadecimal escapes are bytes: they may spell one character together.
  const bytes: Buffer[] = [];
  for (const part of field.matchAll(/\\([0-7]{1,3})|\\x([0-9a-fA-F]{1,2})|\\([\s\S])|([^\\]+)/g)) {
    const [, octal, hex, char, plain] = part;
    if (octal !== undefined) bytes.push(Buffer.from([Number.parseInt(octal, 8) & 0xff]));
    else if (hex !== undefined) bytes.push(Buffer.from([Number.parseInt(hex, 16)]));
    else if (char !== undefined) bytes.push(Buffer.from(simpleEscapes[char] ?? char));
    else bytes.push(Buffer.from(plain ?? ''));
  }
  return decode(Buffer.concat(bytes));
}

class CsvRecords implements CopyRecords {
  readonly #lines: LineText;
  readonly #options: CopyOptions;
  #rest = '';
  #isEnded = false;
  line = 0;

  constructor(options: CopyOptions) {
    this.#options = options;
    this.#lines = new LineText(options);
  }

  push(bytes: Buffer): CopyRecord[] {
    if (this.#isEnded) return [];
    const text = this.#lines.push(bytes);
    return text === undefined ? [] : this.#split(this.#rest + text);
  }

  end(): CopyRecord[] {
    if (this.#isEnded) return [];
    const text = this.#rest + this.#lines.end();
    this.#rest = '';
    if (text === '') return [];
    const { lineEnd } = this.#lines;
    const isWhole = text.endsWith(lineEnd === '\r' ? '\r' : '\n');
    const records = this.#split(isWhole ? text : text + lineEnd);
    if (this.#rest !== '') throw sqlError('badCopyFileFormat', 'unterminated CSV quoted field');
    return records;
  }

  #split(text: string): CopyRecord[] {
    const records: CopyRecord[] = [];
    let start = 0;
    while (start < text.length) {
      const record: CopyRecord = [];
      const next = this.#record(text, start, record);
      if (next === undefined) break;
      const endMark = `\\.${this.#lines.lineEnd}`;
      const isEnd = next - start === endMark.length && text.startsWith(endMark, start);
      start = next;
      if (isEnd) {
        this.#isEnded = true;
        start = text.length;
        break;
      }
      this.line++;
      records.push(record);
    }
    this.#rest = text.slice(start);
    checkLength(this.#rest.length);
    return records;
  }

  /** Reads one record into `record`; returns where the next one starts, undefined when it is not complete. */
  #record(text: string, start: number, record: CopyRecord): number | undefined {
    const { delimiter, nullText, quote } = this.#options;
    const { lineEnd } = this.#lines;
    let at = start;
    while (true) {
      if (text[at] !== quote) {
        const end = this.#plainEnd(text, at);
        if (end === undefined) return undefined;
        const char = text[end];
        if (char === quote) {
          const mixed = this.#mixedField(text, at);
          if (mixed === undefined) return undefined;
          record.push(mixed.value);
          at = mixed.end;
        } else {
          const value = text.slice(at, end);
          record.push(value === nullText ? null : value);
          at = end;
        }
      } else {
        const quoted = this.#mixedField(text, at);
        if (quoted === undefined) return undefined;
        record.push(quoted.value);
        at = quoted.end;
      }
      if (text[at] === delimiter) {
        at++;
        continue;
      }
      if (!text.startsWith(lineEnd, at)) throw literal(text[at] ?? '', 'unquoted');
      return at + lineEnd.length;
    }
  }

  #plainEnd(text: string, at: number): number | undefined {
    const { delimiter, quote } = this.#options;
    for (let i = at; i < text.length; i++) {
      const char = text[i];
      if (char === delimiter || char === '\n' || char === '\r' || char === quote) return i;
    }
    return undefined;
  }

  /** A field with quotes in it: quoted parts lose them, plain parts stay. */
  #mixedField(text: string, at: number): { value: string; end: number } | undefined {
    const { delimiter, quote, escape } = this.#options;
    let value = '';
    let isQuoted = false;
    for (let i = at; i < text.length; i++) {
      const char = text[i] ?? '';
      if (isQuoted) {
        const next = text[i + 1];
        if (char === escape && (next === quote || next === escape)) {
          value += next;
          i++;
        } else if (char === quote) {
          isQuoted = false;
        } else {
          value += char;
        }
      } else if (char === quote) {
        isQuoted = true;
      } else if (char === delimiter || char === '\n' || char === '\r') {
        return { value, end: i };
      } else {
        value += char;
      }
    }
    return undefined;
  }
}
