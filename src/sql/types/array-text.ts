/** Text form of arrays (`[1:2]={{a,"b c"},{NULL,d}}`) and records (`(1,"a b",)`). */
import { sqlError } from '../errors.ts';
import { ArrayDatum, type Datum } from './datum.ts';

const maxDimensions = 6;

export type Dimension = ArrayDatum['dimensions'][number];

/** One-dimensional with lower bound 1, or empty. */
export function makeArray(elementOid: number, elements: readonly Datum[]): ArrayDatum {
  return new ArrayDatum(
    elementOid,
    elements,
    elements.length === 0 ? [] : [{ length: elements.length, lowerBound: 1 }],
  );
}

function malformed(text: string, detail: string): Error {
  return sqlError('invalidTextRepresentation', `malformed array literal: "${text}"`, { detail });
}

export function parseArrayText(
  text: string,
  elementOid: number,
  parseElement: (text: string) => Datum,
): ArrayDatum {
  const trimmed = text.trim();
  const bounds: { lower: number; upper: number }[] = [];
  let at = 0;
  while (trimmed[at] === '[') {
    const match = /^\[\s*([+-]?\d+)\s*(?::\s*([+-]?\d+)\s*)?\]/.exec(trimmed.slice(at));
    if (match === null) throw malformed(text, 'Missing array dimension value.');
    const first = Number(match[1]);
    const upper = match[2] === undefined ? first : Number(match[2]);
    const lower = match[2] === undefined ? 1 : first;
    if (upper < lower) {
      throw sqlError('arraySubscriptError', 'upper bound cannot be less than lower bound');
    }
    bounds.push({ lower, upper });
    at += match[0].length;
  }
  if (bounds.length > 0) {
    const equals = /^\s*=\s*/.exec(trimmed.slice(at));
    if (equals === null) throw malformed(text, 'Missing "=" after array dimensions.');
    at += equals[0].length;
  } else if (trimmed[0] !== '{') {
    throw malformed(text, 'Array value must start with "{" or dimension information.');
  }
  if (trimmed[at] !== '{') throw malformed(text, 'Array contents must start with "{".');
  const elements: Datum[] = [];
  const lengths: number[] = [];
  const end = parseLevel(text, trimmed, at, 0, elements, lengths, parseElement);
  if (trimmed.slice(end).trim() !== '') {
    throw malformed(text, 'Junk after closing right brace.');
  }
  if (elements.length === 0 && bounds.length === 0) return makeArray(elementOid, []);
  if (bounds.length > 0) {
    const fits =
      bounds.length === lengths.length &&
      bounds.every(({ lower, upper }, i) => upper - lower + 1 === lengths[i]);
    if (!fits) throw malformed(text, 'Specified array dimensions do not match array contents.');
  }
  return new ArrayDatum(
    elementOid,
    elements,
    lengths.map((length, i) => ({ length, lowerBound: bounds[i]?.lower ?? 1 })),
  );
}

/** Parses `{...}` at `at`; returns the position behind it. `lengths[depth]` is fixed by the first such level. */
function parseLevel(
  text: string,
  source: string,
  at: number,
  depth: number,
  elements: Datum[],
  lengths: number[],
  parseElement: (text: string) => Datum,
): number {
  if (depth >= maxDimensions) {
    throw sqlError(
      'programLimitExceeded',
      `number of array dimensions exceeds the maximum allowed (${maxDimensions})`,
    );
  }
  let position = skipSpace(source, at + 1);
  let count = 0;
  if (source[position] === '}') {
    if (depth > 0) throw malformed(text, 'Unexpected "}" character.');
    return position + 1;
  }
  for (;;) {
    position = skipSpace(source, position);
    const c = source[position];
    if (c === undefined) throw malformed(text, 'Unexpected end of input.');
    if (c === '{') {
      if (lengths[depth] === undefined && count === 0 && lengths.length <= depth)
        lengths[depth] = 0;
      if (count > 0 && lengths.length <= depth + 1 && elements.length > 0) throw ragged(text);
      position = parseLevel(text, source, position, depth + 1, elements, lengths, parseElement);
    } else if (c === '}' || c === ',') {
      throw malformed(text, `Unexpected "${c}" character.`);
    } else {
      if (lengths.length > depth + 1) throw ragged(text);
      position = parseItem(text, source, position, elements, parseElement);
    }
    count++;
    position = skipSpace(source, position);
    const next = source[position];
    if (next === ',') {
      position++;
      continue;
    }
    if (next === '}') break;
    if (next === undefined) throw malformed(text, 'Unexpected end of input.');
    throw malformed(text, 'Unexpected array element.');
  }
  const known = lengths[depth];
  if (known === undefined || known === 0) lengths[depth] = count;
  else if (known !== count) throw ragged(text);
  return position + 1;
}

function ragged(text: string): Error {
  return malformed(text, 'Multidimensional arrays must have sub-arrays with matching dimensions.');
}

function skipSpace(text: string, at: number): number {
  let i = at;
  while (i < text.length && /\s/.test(text[i] ?? '')) i++;
  return i;
}

function parseItem(
  text: string,
  source: string,
  at: number,
  elements: Datum[],
  parseElement: (text: string) => Datum,
): number {
  if (source[at] === '"') {
    let value = '';
    for (let i = at + 1; ; i++) {
      const c = source[i];
      if (c === undefined) throw malformed(text, 'Unexpected end of input.');
      if (c === '"') {
        elements.push(parseElement(value));
        return i + 1;
      }
      value += c === '\\' ? (source[++i] ?? '') : c;
    }
  }
  let value = '';
  let escaped = false;
  let i = at;
  let end = 0;
  for (; ; i++) {
    const c = source[i];
    if (c === undefined) throw malformed(text, 'Unexpected end of input.');
    if (c === ',' || c === '}') break;
    if (c === '{' || c === '"') throw malformed(text, 'Unexpected array element.');
    if (c === '\\') {
      value += source[++i] ?? '';
      escaped = true;
      end = value.length;
    } else {
      value += c;
      if (!/\s/.test(c)) end = value.length;
    }
  }
  value = value.slice(0, end);
  elements.push(!escaped && value.toLowerCase() === 'null' ? null : parseElement(value));
  return i;
}

function quoteElement(text: string): string {
  const needsQuotes = text === '' || text.toLowerCase() === 'null' || /[{}",\\\s]/.test(text);
  return needsQuotes ? `"${text.replace(/["\\]/g, '\\$&')}"` : text;
}

export function formatArrayText(
  array: ArrayDatum,
  formatElement: (value: Datum) => string,
): string {
  const { dimensions, elements } = array;
  if (dimensions.length === 0) return '{}';
  let at = 0;
  const level = (depth: number): string => {
    const parts: string[] = [];
    const length = dimensions[depth]?.length ?? 0;
    for (let i = 0; i < length; i++) {
      if (depth + 1 < dimensions.length) parts.push(level(depth + 1));
      else {
        const value = elements[at++] ?? null;
        parts.push(value === null ? 'NULL' : quoteElement(formatElement(value)));
      }
    }
    return `{${parts.join(',')}}`;
  };
  const body = level(0);
  if (dimensions.every(({ lowerBound }) => lowerBound === 1)) return body;
  const bounds = dimensions.map(
    ({ length, lowerBound }) => `[${lowerBound}:${lowerBound + length - 1}]`,
  );
  return `${bounds.join('')}=${body}`;
}

/** Fields as record_out writes them; null is empty. */
export function formatRecordText(fields: readonly (string | null)[]): string {
  const parts = fields.map((field) => {
    if (field === null) return '';
    const needsQuotes = field === '' || /[(),"\\\s]/.test(field);
    return needsQuotes ? `"${field.replace(/["\\]/g, '$&$&')}"` : field;
  });
  return `(${parts.join(',')})`;
}
