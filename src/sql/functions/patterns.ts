/** LIKE, ILIKE, SIMILAR TO, ~ operators and regexp functions (chapter 9.7). */
import { sqlError } from '../errors.ts';
import {
  asBuffer,
  asNumber,
  asText,
  type Datum,
  makeArray,
  oids,
  type Row,
} from '../types/index.ts';
import { type Args, scalar, setFunction } from './define.ts';
import { type ScalarFunction, type SetFunction } from './registry-types.ts';
import { compileRegex, like, likeEscape, regexMatches, similarToRegex } from './regex.ts';

function t(args: Args, i = 0): string {
  return asText(args[i]);
}

/** A comparison operator over the three string types. */
function matcher(name: string, test: (text: string, pattern: string) => boolean): ScalarFunction[] {
  return ['text', 'name', 'bpchar'].map((type) =>
    scalar(`${name}(${type},text) bool`, (a) => test(t(a), t(a, 1))),
  );
}

const operators: ScalarFunction[] = [
  ...matcher('~~', (text, pattern) => like(text, pattern)),
  ...matcher('!~~', (text, pattern) => !like(text, pattern)),
  ...matcher('~~*', (text, pattern) => like(text, pattern, true)),
  ...matcher('!~~*', (text, pattern) => !like(text, pattern, true)),
  ...matcher('~', (text, pattern) => regexMatches(text, pattern)),
  ...matcher('!~', (text, pattern) => !regexMatches(text, pattern)),
  ...matcher('~*', (text, pattern) => regexMatches(text, pattern, 'i')),
  ...matcher('!~*', (text, pattern) => !regexMatches(text, pattern, 'i')),
  scalar('~~(bytea,bytea) bool', (a) =>
    like(asBuffer(a[0]).toString('latin1'), asBuffer(a[1]).toString('latin1')),
  ),
  scalar(
    '!~~(bytea,bytea) bool',
    (a) => !like(asBuffer(a[0]).toString('latin1'), asBuffer(a[1]).toString('latin1')),
  ),
  scalar('like(text,text) bool', (a) => like(t(a), t(a, 1))),
  scalar('notlike(text,text) bool', (a) => !like(t(a), t(a, 1))),
  scalar('like_escape(text,text) text', (a) => likeEscape(t(a), t(a, 1))),
  scalar('similar_to_escape(text) text', (a) => similarToRegex(t(a))),
  scalar('similar_to_escape(text,text) text', (a) => similarToRegex(t(a), checkEscape(t(a, 1)))),
  scalar('similar_escape(text,text) text', similarEscape, { strict: false }),
];

/** Pattern null gives null; escape null means the default. */
function similarEscape(args: Args): Datum {
  const [pattern = null, escape = null] = args;
  if (pattern === null) return null;
  return escape === null
    ? similarToRegex(asText(pattern))
    : similarToRegex(asText(pattern), checkEscape(asText(escape)));
}

function checkEscape(escape: string): string {
  if (Array.from(escape).length > 1) {
    throw sqlError('invalidEscapeSequence', 'invalid escape string', {
      hint: 'Escape string must be empty or one character.',
    });
  }
  return escape;
}

const maxMatches = 1_000_000;

/** All matches (one without `g`) from code unit `start`. */
function matchesOf(
  text: string,
  pattern: string,
  flags: string,
  start = 0,
  global = flags.includes('g'),
): RegExpExecArray[] {
  const regex = compileRegex(pattern, flags);
  regex.lastIndex = start;
  const out: RegExpExecArray[] = [];
  for (;;) {
    const match = regex.exec(text);
    if (match === null) return out;
    out.push(match);
    if (!global) return out;
    if (match[0] === '') regex.lastIndex += characterWidth(text, regex.lastIndex);
    if (out.length > maxMatches) {
      throw sqlError('programLimitExceeded', 'too many regular expression matches');
    }
  }
}

function characterWidth(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code >= 0xd800 && code <= 0xdbff ? 2 : 1;
}

/** 1-based character position to code unit offset. */
function offsetOf(text: string, position: number): number {
  if (position <= 0) throw badParameter('start', position);
  let offset = 0;
  for (let i = 1; i < position; i++) {
    if (offset >= text.length) return text.length + 1;
    offset += characterWidth(text, offset);
  }
  return offset;
}

function badParameter(name: string, value: number): Error {
  return sqlError('invalidParameterValue', `invalid value for parameter "${name}": ${value}`);
}

function noGlobal(flags: string, name: string): string {
  if (flags.includes('g')) {
    throw sqlError(
      'invalidParameterValue',
      `${name}() does not support the "global" option`,
      name === 'regexp_match' ? { hint: 'Use the regexp_matches function instead.' } : {},
    );
  }
  return flags;
}

function groupsOf(match: RegExpExecArray): Datum {
  const groups = match.length === 1 ? [match[0]] : match.slice(1);
  return makeArray(
    oids.text,
    groups.map((group: string | undefined) => group ?? null),
  );
}

/** Replacement with \1..\9, \& and \\. */
function expand(match: RegExpExecArray, replacement: string): string {
  if (!replacement.includes('\\')) return replacement;
  return replacement.replace(/\\([1-9&\\])/g, (_all, c: string) => {
    if (c === '\\') return '\\';
    return (c === '&' ? match[0] : match[Number(c)]) ?? '';
  });
}

function replaceMatches(
  text: string,
  matches: readonly RegExpExecArray[],
  replacement: string,
): string {
  let out = '';
  let at = 0;
  for (const match of matches) {
    out += text.slice(at, match.index) + expand(match, replacement);
    at = match.index + match[0].length;
  }
  return out + text.slice(at);
}

function regexpReplace(a: Args): string {
  const text = t(a);
  const flags = a.length > 3 ? t(a, 3) : '';
  if (/^\d/.test(flags)) {
    throw sqlError(
      'invalidParameterValue',
      `invalid regular expression option: "${flags[0] ?? ''}"`,
      {
        hint: 'If you meant to use regexp_replace() with a start parameter, cast the fourth argument to integer explicitly.',
      },
    );
  }
  return replaceMatches(text, matchesOf(text, t(a, 1), flags), t(a, 2));
}

/** regexp_replace(string, pattern, replacement, start [, N [, flags]]); N = 0 replaces all. */
function regexpReplaceFrom(a: Args): string {
  const text = t(a);
  const start = offsetOf(text, asNumber(a[3]));
  const flags = a.length > 5 ? t(a, 5) : '';
  const count = a.length > 4 ? asNumber(a[4]) : flags.includes('g') ? 0 : 1;
  if (count < 0) throw badParameter('n', count);
  const all = start > text.length ? [] : matchesOf(text, t(a, 1), flags, start, true);
  return replaceMatches(text, count === 0 ? all : all.slice(count - 1, count), t(a, 2));
}

function regexpSplit(text: string, pattern: string, flags: string): string[] {
  const out: string[] = [];
  let at = 0;
  for (const match of matchesOf(text, pattern, flags, 0, true)) {
    // Empty matches at the ends and right behind another match split nothing.
    if (match[0] === '' && (match.index === at || match.index >= text.length)) {
      if (match.index === 0 || match.index >= text.length) continue;
      if (match.index === at && out.length > 0) continue;
    }
    out.push(text.slice(at, match.index));
    at = match.index + match[0].length;
  }
  out.push(text.slice(at));
  return out;
}

function splitCheck(flags: string, name: string): string {
  return noGlobal(flags, name);
}

function regexpCount(a: Args): number {
  const text = t(a);
  const start = a.length > 2 ? offsetOf(text, asNumber(a[2])) : 0;
  const flags = a.length > 3 ? noGlobal(t(a, 3), 'regexp_count') : '';
  return start > text.length ? 0 : matchesOf(text, t(a, 1), flags, start, true).length;
}

function nthMatch(
  a: Args,
  name: string,
  flagsAt: number,
): { text: string; match: RegExpExecArray | undefined } {
  const text = t(a);
  const start = a.length > 2 ? offsetOf(text, asNumber(a[2])) : 0;
  const count = a.length > 3 ? asNumber(a[3]) : 1;
  if (count <= 0) throw badParameter('n', count);
  const flags = a.length > flagsAt ? noGlobal(t(a, flagsAt), name) : '';
  const all = start > text.length ? [] : matchesOf(text, t(a, 1), flags, start, true);
  return { text, match: all[count - 1] };
}

function regexpSubstr(a: Args): Datum {
  const { match } = nthMatch(a, 'regexp_substr', 4);
  const group = a.length > 5 ? asNumber(a[5]) : 0;
  if (group < 0) throw badParameter('subexpr', group);
  return match?.[group] ?? null;
}

function regexpInstr(a: Args): Datum {
  const { text, match } = nthMatch(a, 'regexp_instr', 5);
  const end = a.length > 4 ? asNumber(a[4]) : 0;
  if (end !== 0 && end !== 1) throw badParameter('endoption', end);
  const group = a.length > 6 ? asNumber(a[6]) : 0;
  if (group < 0) throw badParameter('subexpr', group);
  const span = match?.indices?.[group];
  if (span === undefined) return 0;
  return Array.from(text.slice(0, span[end])).length + 1;
}

/** substring(text from pattern): the first group, or the whole match. */
function substringRegex(text: string, pattern: string): Datum {
  const [match] = matchesOf(text, pattern, '');
  if (match === undefined) return null;
  return (match.length > 1 ? match[1] : match[0]) ?? null;
}

/** Overloads that differ by how many optional arguments they take. */
function overloads(
  name: string,
  required: readonly string[],
  optional: readonly string[],
  result: string,
  call: (args: Args) => Datum,
): ScalarFunction[] {
  return Array.from({ length: optional.length + 1 }, (_, i) =>
    scalar(`${name}(${[...required, ...optional.slice(0, i)].join(',')}) ${result}`, call),
  );
}

const functions: ScalarFunction[] = [
  ...overloads('regexp_replace', ['text', 'text', 'text'], ['text'], 'text', regexpReplace),
  ...overloads(
    'regexp_replace',
    ['text', 'text', 'text', 'int4'],
    ['int4', 'text'],
    'text',
    regexpReplaceFrom,
  ),
  ...overloads('regexp_count', ['text', 'text'], ['int4', 'text'], 'int4', regexpCount),
  ...overloads(
    'regexp_substr',
    ['text', 'text'],
    ['int4', 'int4', 'text', 'int4'],
    'text',
    regexpSubstr,
  ),
  ...overloads(
    'regexp_instr',
    ['text', 'text'],
    ['int4', 'int4', 'int4', 'text', 'int4'],
    'int4',
    regexpInstr,
  ),
  ...overloads('regexp_like', ['text', 'text'], ['text'], 'bool', (a) =>
    regexMatches(t(a), t(a, 1), a.length > 2 ? noGlobal(t(a, 2), 'regexp_like') : ''),
  ),
  ...overloads('regexp_match', ['text', 'text'], ['text'], 'text[]', (a) => {
    const flags = a.length > 2 ? noGlobal(t(a, 2), 'regexp_match') : '';
    const [match] = matchesOf(t(a), t(a, 1), flags);
    return match === undefined ? null : groupsOf(match);
  }),
  ...overloads('regexp_split_to_array', ['text', 'text'], ['text'], 'text[]', (a) =>
    makeArray(
      oids.text,
      regexpSplit(t(a), t(a, 1), a.length > 2 ? splitCheck(t(a, 2), 'regexp_split_to_array') : ''),
    ),
  ),
  scalar('substring(text,text) text', (a) => substringRegex(t(a), t(a, 1))),
  scalar('substring(text,text,text) text', (a) =>
    substringRegex(t(a), similarToRegex(t(a, 1), checkEscape(t(a, 2)))),
  ),
];

export const patternFunctions: readonly ScalarFunction[] = [...operators, ...functions];

function rows(values: Iterable<Datum>): Row[] {
  return Array.from(values, (value) => [value]);
}

export const patternSetFunctions: readonly SetFunction[] = ['', ',text'].flatMap((extra) => [
  setFunction(`regexp_matches(text,text${extra}) text[]`, (a) =>
    rows(matchesOf(t(a), t(a, 1), a.length > 2 ? t(a, 2) : '').map(groupsOf)),
  ),
  setFunction(`regexp_split_to_table(text,text${extra}) text`, (a) =>
    rows(
      regexpSplit(t(a), t(a, 1), a.length > 2 ? splitCheck(t(a, 2), 'regexp_split_to_table') : ''),
    ),
  ),
]);
