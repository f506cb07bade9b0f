/**
 * Reads and runs files of the sqllogictest format (SQLite's): `statement ok|error`, `query <types>
 * <sort> [label]` with results in full or as an MD5 of them, `skipif` and `onlyif`, `hash-threshold`.
 */
import { createHash } from 'node:crypto';

export interface LogicRecord {
  readonly line: number;
  readonly kind: 'ok' | 'error' | 'query';
  readonly sql: string;
  /** T text, I integer, R real: one letter per column. */
  readonly types: string;
  readonly sort: 'nosort' | 'rowsort' | 'valuesort';
  readonly expected: readonly string[];
}

/** Rows of texts, or the SQLSTATE of the error. */
export type LogicAnswer =
  | { readonly kind: 'rows'; readonly rows: readonly (readonly (string | null)[])[] }
  | { readonly kind: 'error'; readonly code: string; readonly message: string };

export function parseLogicFile(text: string): LogicRecord[] {
  const lines = text.replaceAll('\r', '').split('\n');
  const records: LogicRecord[] = [];
  let skip = false;
  for (let i = 0; i < lines.length; i++) {
    const [command = '', ...words] = (lines[i] ?? '').trim().split(/\s+/);
    if (command === 'skipif') skip ||= words[0] === 'postgresql';
    else if (command === 'onlyif') skip ||= words[0] !== 'postgresql';
    else if (command === 'halt') {
      if (!skip) break;
      skip = false;
    } else if (command === 'statement' || command === 'query') {
      const line = i + 1;
      const sql: string[] = [];
      for (i++; i < lines.length && lines[i] !== '' && lines[i] !== '----'; i++)
        sql.push(lines[i] ?? '');
      const expected: string[] = [];
      if (lines[i] === '----')
        for (i++; i < lines.length && lines[i] !== ''; i++) expected.push(lines[i] ?? '');
      const sort = words.find((word) => ['nosort', 'rowsort', 'valuesort'].includes(word));
      if (!skip) {
        records.push({
          line,
          kind: command === 'query' ? 'query' : words[0] === 'error' ? 'error' : 'ok',
          sql: sql.join('\n'),
          types: command === 'query' ? (words[0] ?? '') : '',
          sort: sort === 'rowsort' || sort === 'valuesort' ? sort : 'nosort',
          expected,
        });
      }
      skip = false;
    }
  }
  return records;
}

/** What is wrong with the answer; undefined when it is right. */
export function checkAnswer(record: LogicRecord, answer: LogicAnswer): string | undefined {
  if (answer.kind === 'error') {
    if (record.kind === 'error') return undefined;
    return `failed with ${answer.code} ${answer.message}`;
  }
  if (record.kind === 'error') return 'succeeded, but should fail';
  if (record.kind === 'ok') return undefined;
  const got = flatten(record, answer.rows);
  const [first = ''] = record.expected;
  const hashed = /^(\d+) values hashing to ([0-9a-f]{32})$/.exec(first);
  if (hashed !== null) {
    if (got.length !== Number(hashed[1])) return `${got.length} values instead of ${hashed[1]}`;
    const hash = createHash('md5')
      .update(got.map((value) => `${value}\n`).join(''))
      .digest('hex');
    return hash === hashed[2] ? undefined : `other values: ${got.slice(0, 20).join(' ')}`;
  }
  return got.join('\n') === record.expected.join('\n')
    ? undefined
    : `got ${got.slice(0, 20).join(' ')} instead of ${record.expected.slice(0, 20).join(' ')}`;
}

function flatten(record: LogicRecord, rows: readonly (readonly (string | null)[])[]): string[] {
  const shown = rows.map((row) => row.map((value, i) => showValue(value, record.types[i] ?? 'T')));
  switch (record.sort) {
    case 'rowsort':
      return shown.sort(compareRows).flat();
    case 'valuesort':
      return shown.flat().sort(compareTexts);
    default:
      return shown.flat();
  }
}

function showValue(value: string | null, type: string): string {
  if (value === null) return 'NULL';
  switch (type) {
    case 'I':
      if (/^-?\d+$/.test(value)) return value;
      if (value === 't' || value === 'f') return value === 't' ? '1' : '0';
      // As C's atoi: text is 0.
      return String(Math.trunc(Number(value)) || 0);
    case 'R':
      return Number(value).toFixed(3);
    default:
      return value === '' ? '(empty)' : value.replaceAll(/[^ -~]/g, '@');
  }
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareRows(a: readonly string[], b: readonly string[]): number {
  for (const [i, value] of a.entries()) {
    const order = compareTexts(value, b[i] ?? '');
    if (order !== 0) return order;
  }
  return 0;
}
