/** Checks a new value of a session variable and brings it into the form SHOW prints. */
import { unreachable } from '../../util/index.ts';
import { sqlError, type SqlFailure } from '../errors.ts';
import { isolationLevels, isolationNamed } from './isolation.ts';
import { type SettingDefinition, settingDefinitions } from './setting-definitions.ts';
import { findZone } from '../types/index.ts';

const trueWords = ['on', 'true', 'yes', '1', 't', 'y', 'tr', 'tru', 'ye'];
const falseWords = ['off', 'false', 'no', '0', 'f', 'n', 'of', 'fa', 'fal', 'fals'];

const unitFactors: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  ms: { us: 0.001, ms: 1, s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 },
  s: { ms: 0.001, s: 1, min: 60, h: 3600, d: 86_400 },
  kB: { B: 1 / 1024, kB: 1, MB: 1024, GB: 1024 * 1024, TB: 1024 * 1024 * 1024 },
  '8kB': { kB: 1 / 8, MB: 128, GB: 131_072, TB: 134_217_728 },
};

/** The canonical form. Throws 42704, 55P02 and 22023 for what a session cannot be set to. */
export function checkedSetting(name: string, value: string): string {
  const definition = settingDefinitions.get(name.toLowerCase());
  if (definition === undefined) {
    if (/^[a-z_][\w$]*\.[\w$.]+$/i.test(name)) return value;
    throw unrecognizedSetting(name);
  }
  if (definition.readOnly) {
    throw sqlError('cantChangeRuntimeParam', `parameter "${definition.name}" cannot be changed`);
  }
  return canonicalSetting(definition, value, definition.initial, (zone) => findZone(zone)?.name);
}

/** What SHOW prints: the canonical form. Throws 22023. */
export function canonicalSetting(
  definition: SettingDefinition,
  value: string,
  current: string,
  isTimeZone: (name: string) => string | undefined,
): string {
  const { name, type } = definition;
  const lower = value.trim().toLowerCase();
  switch (type.kind) {
    case 'string':
    case 'name-list':
      return value;
    case 'bool':
      if (trueWords.includes(lower)) return 'on';
      if (falseWords.includes(lower)) return 'off';
      throw sqlError('invalidParameterValue', `parameter "${name}" requires a Boolean value`);
    case 'int':
      return String(parseInteger(name, type, value));
    case 'real': {
      const number = Number(value);
      if (value.trim() === '' || Number.isNaN(number)) throw invalid(name, value);
      if (number < type.min || number > type.max) throw outside(name, value, type);
      return String(number);
    }
    case 'enum':
      if (type.values.includes(lower)) return lower;
      if (type.values.includes('on') && trueWords.includes(lower)) return 'on';
      if (type.values.includes('off') && falseWords.includes(lower)) return 'off';
      throw sqlError('invalidParameterValue', `invalid value for parameter "${name}": "${value}"`, {
        hint: `Available values: ${type.values.join(', ')}.`,
      });
    case 'isolation':
      if (isolationNamed(lower) !== undefined) return lower;
      throw sqlError('invalidParameterValue', `invalid value for parameter "${name}": "${value}"`, {
        hint: `Available values: ${isolationLevels.join(', ')}.`,
      });
    case 'encoding': {
      const encoding = lower.replaceAll(/[^a-z0-9]/g, '');
      if (['utf8', 'unicode'].includes(encoding)) return 'UTF8';
      if (encoding === 'sqlascii') return 'SQL_ASCII';
      throw sqlError('invalidParameterValue', `invalid value for parameter "${name}": "${value}"`, {
        detail: 'Only the encoding UTF8 is available.',
      });
    }
    case 'date-style':
      return dateStyle(name, value, current);
    case 'time-zone': {
      const zone = isTimeZone(value.trim());
      if (zone === undefined) throw invalid(name, value);
      return zone;
    }
    default:
      return unreachable(type);
  }
}

function parseInteger(
  name: string,
  type: { readonly min: number; readonly max: number; readonly unit?: string },
  value: string,
): number {
  const match =
    /^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|0[xX][0-9a-fA-F]+)\s*([a-zA-Z]*)\s*$/.exec(
      value,
    );
  const number = Number(match?.[1]);
  if (match === null || Number.isNaN(number)) throw invalid(name, value);
  const unit = match[2] ?? '';
  let factor: number | undefined = 1;
  if (unit !== '') {
    factor = type.unit === undefined ? undefined : unitFactors[type.unit]?.[unit];
    if (factor === undefined) {
      throw sqlError('invalidParameterValue', `invalid value for parameter "${name}": "${value}"`, {
        hint: `Valid units for this parameter are ${Object.keys(unitFactors[type.unit ?? ''] ?? {})
          .map((known) => `"${known}"`)
          .join(', ')}.`,
      });
    }
  }
  const scaled = Math.round(number * factor);
  if (scaled < type.min || scaled > type.max) throw outside(name, String(scaled), type);
  return scaled;
}

/** SHOW prints times and sizes with the largest unit that divides them. */
export function displaySetting(definition: SettingDefinition, value: string): string {
  const { type } = definition;
  if (type.kind !== 'int' || type.unit === undefined) return value;
  const number = Number(value);
  if (number <= 0) return value;
  const units = Object.entries(unitFactors[type.unit] ?? {}).toReversed();
  for (const [unit, factor] of units) {
    if (factor >= 1 && number % factor === 0) return `${number / factor}${unit}`;
  }
  return type.unit === '8kB' ? `${number * 8}kB` : `${number}${type.unit}`;
}

function dateStyle(name: string, value: string, current: string): string {
  let [style = 'ISO', order = 'MDY'] = current.split(', ');
  for (const word of value.toLowerCase().split(/[\s,]+/)) {
    if (word === '') continue;
    if (word === 'iso') style = 'ISO';
    else if (word === 'sql') style = 'SQL';
    else if (word.startsWith('postgres')) style = 'Postgres';
    else if (word === 'german') style = 'German';
    else if (word === 'ymd') order = 'YMD';
    else if (word === 'dmy' || word.startsWith('euro')) order = 'DMY';
    else if (word === 'mdy' || word === 'us' || word.startsWith('noneuro')) order = 'MDY';
    else if (word === 'default') [style, order] = ['ISO', 'MDY'];
    else throw invalid(name, value);
  }
  return `${style}, ${order}`;
}

function invalid(name: string, value: string): Error {
  return sqlError('invalidParameterValue', `invalid value for parameter "${name}": "${value}"`);
}

function outside(
  name: string,
  value: string,
  range: { readonly min: number; readonly max: number },
): Error {
  return sqlError(
    'invalidParameterValue',
    `${value} is outside the valid range for parameter "${name}" (${range.min} .. ${range.max})`,
  );
}

export function unrecognizedSetting(name: string): SqlFailure {
  return sqlError('undefinedObject', `unrecognized configuration parameter "${name}"`);
}
