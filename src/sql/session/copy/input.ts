/**
 * COPY data to records of texts. Bytes come in pieces cut anywhere; only the piece of a record that is
 * not complete yet is kept. Fields are raw texts (or null), in the order of the line.
 */
import { isUtf8 } from 'node:buffer';
import { sqlError } from '../../errors.ts';
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
const newline = 10;

/** Complete lines of UTF-8 from pieces of bytes. */
class LineText {
  #rest: Buffer[] = [];
  #restBytes = 0;

  /** The text up to the last newline, or undefined when there is none yet. */
  push(bytes: Buffer): string | undefined {
    const end = bytes.lastIndexOf(newline);
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
  readonly #lines = new LineText();
  readonly #options: CopyOptions;
  /** A line that ended in a backslash: the newline behind it is data. */
  #continued = '';
  #isEnded = false;
  line = 0;

  constructor(options: CopyOptions) {
    this.#options = options;
  }

  push(bytes: Buffer): CopyRecord[] {
    if (this.#isEnded) return [];
    const text = this.#lines.push(bytes);
    return text === undefined ? [] : this.#split(text);
  }

  end(): CopyRecord[] {
    if (this.#isEnded) return [];
    const line = this.#continued + this.#lines.end().replace(/\r$/, '');
    this.#continued = '';
    if (line === '' || line === '\\.') return [];
    this.line++;
    return [this.#fields(line)];
  }

  #split(text: string): CopyRecord[] {
    const records: CopyRecord[] = [];
    let start = 0;
    while (start < text.length) {
      let end = text.indexOf('\n', start);
      if (end < 0) end = text.length;
      let line = text.slice(start, end);
      start = end + 1;
      if (line.endsWith('\r')) line = line.slice(0, -1);
      if (this.#continued !== '') {
        line = `${this.#continued}${line}`;
        this.#continued = '';
      }
      if (line === '\\.') {
        this.#isEnded = true;
        break;
      }
      if (endsInOddBackslash(line)) {
        this.#continued = `${line}\n`;
        checkLength(line.length);
        continue;
      }
      this.line++;
      records.push(this.#fields(line));
    }
    return records;
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
  readonly #lines = new LineText();
  readonly #options: CopyOptions;
  #rest = '';
  #isEnded = false;
  line = 0;

  constructor(options: CopyOptions) {
    this.#options = options;
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
    const records = this.#split(text.endsWith('\n') ? text : `${text}\n`);
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
      const isEnd = text.slice(start, start + 4).trimEnd() === '\\.' && record.length === 1;
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
          const value =
            char === '\n' && text[end - 1] === '\r' ? text.slice(at, end - 1) : text.slice(at, end);
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
      if (text[at] === '\r') at++;
      return at + 1;
    }
  }

  #plainEnd(text: string, at: number): number | undefined {
    const { delimiter, quote } = this.#options;
    for (let i = at; i < text.length; i++) {
      const char = text[i];
      if (char === delimiter || char === '\n' || char === quote) return i;
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
      } else if (char === delimiter || char === '\n' || (char === '\r' && text[i + 1] === '\n')) {
        return { value, end: i };
      } else {
        value += char;
      }
    }
    return undefined;
  }
}
