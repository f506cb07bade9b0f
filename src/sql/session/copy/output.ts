/** Rows to COPY data: one message per row. */
import { type FormatSettings, type Row, type TypeOps, typeOps } from '../../types/index.ts';
import { type ResultColumn } from '../types.ts';
import { type CopyOptions } from './options.ts';

export interface CopyWriter {
  readonly begin: Buffer | undefined;
  readonly end: Buffer | undefined;
  row(row: Row): Buffer;
}

export function copyWriter(
  options: CopyOptions,
  columns: readonly ResultColumn[],
  settings: FormatSettings,
): CopyWriter {
  const ops = columns.map((column) => typeOps(column.typeOid));
  switch (options.format) {
    case 'binary':
      return binaryWriter(ops);
    case 'csv':
      return csvWriter(options, columns, ops, settings);
    default:
      return textWriter(options, columns, ops, settings);
  }
}

function textWriter(
  options: CopyOptions,
  columns: readonly ResultColumn[],
  ops: readonly TypeOps[],
  settings: FormatSettings,
): CopyWriter {
  const { delimiter, nullText } = options;
  const special = new RegExp(
    `[\\\\\\b\\f\\n\\r\\t\\v${delimiter === '\t' ? '' : `\\${delimiter}`}]`,
    'g',
  );
  const names: Readonly<Record<string, string>> = {
    '\b': 'b',
    '\f': 'f',
    '\n': 'n',
    '\r': 'r',
    '\t': 't',
    '\v': 'v',
  };
  const escaped = (char: string): string => `\\${names[char] ?? char}`;
  const header = columns.map(({ name }) => name.replace(special, escaped)).join(delimiter);
  return {
    begin: options.header ? Buffer.from(`${header}\n`) : undefined,
    end: undefined,
    row(row) {
      let line = '';
      for (let i = 0; i < ops.length; i++) {
        if (i > 0) line += delimiter;
        const value = row[i] ?? null;
        line +=
          value === null
            ? nullText
            : (ops[i]?.format(value, settings) ?? '').replace(special, escaped);
      }
      return Buffer.from(`${line}\n`);
    },
  };
}

function csvWriter(
  options: CopyOptions,
  columns: readonly ResultColumn[],
  ops: readonly TypeOps[],
  settings: FormatSettings,
): CopyWriter {
  const { delimiter, nullText, quote, escape, forceQuote } = options;
  const forced = columns.map(({ name }) => forceQuote === 'all' || forceQuote.includes(name));
  const quoted = (text: string): string => {
    const inner = text.replaceAll(escape, escape + escape);
    return quote + (escape === quote ? inner : inner.replaceAll(quote, escape + quote)) + quote;
  };
  const needsQuotes = (text: string): boolean =>
    text === nullText ||
    text.includes(delimiter) ||
    text.includes(quote) ||
    text.includes('\n') ||
    text.includes('\r') ||
    (columns.length === 1 && text === '\\.');
  const header = columns
    .map(({ name }) => (needsQuotes(name) ? quoted(name) : name))
    .join(delimiter);
  return {
    begin: options.header ? Buffer.from(`${header}\n`) : undefined,
    end: undefined,
    row(row) {
      let line = '';
      for (let i = 0; i < ops.length; i++) {
        if (i > 0) line += delimiter;
        const value = row[i] ?? null;
        if (value === null) {
          line += nullText;
          continue;
        }
        const text = ops[i]?.format(value, settings) ?? '';
        line += forced[i] === true || needsQuotes(text) ? quoted(text) : text;
      }
      return Buffer.from(`${line}\n`);
    },
  };
}

export const binarySignature: Buffer = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');

function binaryWriter(ops: readonly TypeOps[]): CopyWriter {
  return {
    begin: Buffer.concat([binarySignature, Buffer.alloc(8)]),
    end: Buffer.from([0xff, 0xff]),
    row(row) {
      const head = Buffer.alloc(2);
      head.writeInt16BE(ops.length);
      const parts: Buffer[] = [head];
      for (let i = 0; i < ops.length; i++) {
        const value = row[i] ?? null;
        const length = Buffer.alloc(4);
        if (value === null) {
          length.writeInt32BE(-1);
          parts.push(length);
          continue;
        }
        const bytes = ops[i]?.encodeBinary(value) ?? Buffer.alloc(0);
        length.writeInt32BE(bytes.length);
        parts.push(length, bytes);
      }
      return Buffer.concat(parts);
    },
  };
}
