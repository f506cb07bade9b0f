/** The options of COPY (PostgreSQL's COPY reference page), checked. */
import { type CopyStmt, type Node } from '@pgsql/types';
import { sqlError } from '../../errors.ts';

export interface CopyOptions {
  readonly format: 'text' | 'csv' | 'binary';
  readonly delimiter: string;
  /** The text that stands for NULL. */
  readonly nullText: string;
  readonly header: boolean;
  /** HEADER MATCH: the first line must name the columns. */
  readonly headerMatch: boolean;
  readonly quote: string;
  readonly escape: string;
  /** Column names, or all. */
  readonly forceQuote: readonly string[] | 'all';
  readonly forceNotNull: readonly string[] | 'all';
  readonly forceNull: readonly string[] | 'all';
  readonly defaultText: string | undefined;
}

export function copyOptions(statement: CopyStmt): CopyOptions {
  const given = new Map<string, Node | undefined>();
  for (const option of statement.options ?? []) {
    if (!('DefElem' in option)) continue;
    const { defname = '', arg } = option.DefElem;
    if (given.has(defname)) throw sqlError('syntaxError', 'conflicting or redundant options');
    given.set(defname, arg);
  }
  const text = (name: string): string | undefined => stringOf(given.get(name));
  const formatName = text('format') ?? 'text';
  const format = formatName === 'csv' || formatName === 'binary' ? formatName : 'text';
  if (format !== formatName) {
    throw sqlError('invalidParameterValue', `COPY format "${formatName}" not recognized`);
  }
  checkEncoding(text('encoding'));
  const header = headerOf(given);
  const isCsv = format === 'csv';
  const options: CopyOptions = {
    format,
    delimiter: text('delimiter') ?? (isCsv ? ',' : '\t'),
    nullText: text('null') ?? (isCsv ? '' : '\\N'),
    header: header !== 'off',
    headerMatch: header === 'match',
    quote: text('quote') ?? '"',
    escape: text('escape') ?? text('quote') ?? '"',
    forceQuote: namesOf(given.get('force_quote')),
    forceNotNull: namesOf(given.get('force_not_null')),
    forceNull: namesOf(given.get('force_null')),
    defaultText: text('default'),
  };
  checkKnown(given);
  check(options, given, statement.is_from === true);
  return options;
}

const known = new Set(
  'format freeze delimiter null default header quote escape force_quote force_not_null force_null encoding on_error log_verbosity reject_limit'.split(
    ' ',
  ),
);

function checkKnown(given: ReadonlyMap<string, unknown>): void {
  for (const name of given.keys()) {
    if (!known.has(name)) throw sqlError('syntaxError', `option "${name}" not recognized`);
  }
}

function check(
  options: CopyOptions,
  given: ReadonlyMap<string, Node | undefined>,
  isFrom: boolean,
): void {
  const { format, delimiter, nullText, quote, escape } = options;
  const csvOnly = ['quote', 'escape', 'force_quote', 'force_not_null', 'force_null'];
  if (format !== 'csv') {
    for (const name of csvOnly) {
      if (given.has(name)) {
        throw sqlError('featureNotSupported', `COPY ${name.toUpperCase()} requires CSV mode`);
      }
    }
  }
  if (format === 'binary') {
    for (const name of ['delimiter', 'null', 'header', 'default']) {
      if (given.has(name)) {
        throw sqlError('syntaxError', `cannot specify ${name.toUpperCase()} in BINARY mode`);
      }
    }
  }
  const onError = stringOf(given.get('on_error'));
  if (onError !== undefined && onError !== 'stop') {
    throw sqlError('featureNotSupported', 'COPY ON_ERROR other than "stop" is not supported');
  }
  if (delimiter.length !== 1 || delimiter.charCodeAt(0) > 127) {
    throw sqlError('featureNotSupported', 'COPY delimiter must be a single one-byte character');
  }
  if (
    delimiter === '\n' ||
    delimiter === '\r' ||
    nullText.includes('\n') ||
    nullText.includes('\r')
  ) {
    throw sqlError(
      'invalidParameterValue',
      'COPY delimiter and null representation cannot use newline or carriage return',
    );
  }
  if (format === 'text' && /[\\.a-z0-9]/.test(delimiter)) {
    throw sqlError('invalidParameterValue', `COPY delimiter cannot be "${delimiter}"`);
  }
  if (format === 'csv') {
    if (quote.length !== 1 || quote.charCodeAt(0) > 127) {
      throw sqlError('featureNotSupported', 'COPY quote must be a single one-byte character');
    }
    if (escape.length !== 1 || escape.charCodeAt(0) > 127) {
      throw sqlError('featureNotSupported', 'COPY escape must be a single one-byte character');
    }
    if (delimiter === quote) {
      throw sqlError('invalidParameterValue', 'COPY delimiter and quote must be different');
    }
    if (nullText.includes(quote)) {
      throw sqlError(
        'invalidParameterValue',
        'CSV quote character must not appear in the NULL specification',
      );
    }
  }
  if (nullText.includes(delimiter) && nullText !== '') {
    throw sqlError(
      'invalidParameterValue',
      'COPY delimiter character must not appear in the NULL specification',
    );
  }
  if (options.defaultText !== undefined) {
    throw sqlError('featureNotSupported', 'the option DEFAULT of COPY is not supported');
  }
  if (!isFrom && options.headerMatch) {
    throw sqlError('invalidParameterValue', 'cannot use "match" with HEADER in COPY TO');
  }
}

function checkEncoding(name: string | undefined): void {
  if (name === undefined) return;
  const plain = name.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
  if (!['utf8', 'unicode', 'sqlascii'].includes(plain)) {
    throw sqlError('featureNotSupported', `COPY encoding "${name}" is not supported: only UTF8 is`);
  }
}

function headerOf(given: ReadonlyMap<string, Node | undefined>): 'on' | 'off' | 'match' {
  if (!given.has('header')) return 'off';
  const arg = given.get('header');
  if (arg === undefined) return 'on';
  const text = (stringOf(arg) ?? '').toLowerCase();
  if (text === 'match') return 'match';
  if (['true', 'on', '1'].includes(text)) return 'on';
  if (['false', 'off', '0'].includes(text)) return 'off';
  throw sqlError('syntaxError', 'header requires a Boolean value or "match"');
}

function stringOf(node: Node | undefined): string | undefined {
  if (node === undefined) return undefined;
  if ('String' in node) return node.String.sval ?? '';
  if ('Boolean' in node) return node.Boolean.boolval === true ? 'true' : 'false';
  if ('Integer' in node) return String(node.Integer.ival ?? 0);
  if ('A_Const' in node) return node.A_Const.sval?.sval ?? '';
  return undefined;
}

function namesOf(node: Node | undefined): readonly string[] | 'all' {
  if (node === undefined) return [];
  if ('A_Star' in node) return 'all';
  const items = 'List' in node ? (node.List.items ?? []) : [];
  if (items.some((item) => 'A_Star' in item)) return 'all';
  return items.map((item) => stringOf(item) ?? '');
}
