/** Random values of every storable type, biased towards edges. */
import { SeededRandom } from '../../random.ts';
import { type Datum, defaultFormat, oids, typeOps } from '../../../src/sql/types/index.ts';

export const settings = defaultFormat;

/** Uniform in [0, 1). */
export function randomOf(seed: number): () => number {
  const random = new SeededRandom(seed);
  return () => random.float();
}

type Random = () => number;

function pick<T>(random: Random, list: readonly T[]): T {
  const item = list[Math.floor(random() * list.length)];
  if (item === undefined) throw new Error('empty list');
  return item;
}

function digits(random: Random, most: number): string {
  let out = '';
  const count = 1 + Math.floor(random() * most);
  for (let i = 0; i < count; i++) out += pick(random, ['0', '0', '9', '1', '5', '7', '3']);
  return out;
}

function word(random: Random): string {
  let out = '';
  const count = Math.floor(random() * 5);
  for (let i = 0; i < count; i++)
    out += pick(random, ['a', 'b', 'A', ' ', 'é', '日', '😀', '\uffff', '\x01', '\x7f']);
  return out;
}

function int(random: Random, limit: bigint): string {
  if (random() < 0.1) return pick(random, [String(limit), String(-limit - 1n), '0', '-1', '1']);
  const value = BigInt(Math.floor(random() * 2 ** 53)) % (limit + 1n);
  const shrunk = value >> BigInt(Math.floor(random() * 60));
  return random() < 0.5 ? String(-shrunk) : String(shrunk);
}

function two(random: Random, from: number, to: number): string {
  return String(from + Math.floor(random() * (to - from + 1))).padStart(2, '0');
}

function date(random: Random): string {
  const year = pick(random, ['0001', '1999', '2000', '2024', '9999', '20000']);
  const bc = random() < 0.1 && year === '2024' ? ' BC' : '';
  return `${year}-${two(random, 1, 12)}-${two(random, 1, 28)}${bc}`;
}

function time(random: Random): string {
  return `${two(random, 0, 23)}:${two(random, 0, 59)}:${two(random, 0, 59)}${random() < 0.5 ? `.${digits(random, 6)}` : ''}`;
}

function moment(random: Random): string {
  if (random() < 0.05) return pick(random, ['infinity', '-infinity']);
  const [day = '', bc] = date(random).split(' ');
  return `${day} ${time(random)}${bc === undefined ? '' : ' BC'}`;
}

function json(random: Random, depth = 0): string {
  const kind = Math.floor(random() * (depth > 2 ? 4 : 6));
  switch (kind) {
    case 0:
      return 'null';
    case 1:
      return pick(random, ['true', 'false']);
    case 2:
      return number(random).replace(/^(-?)0+(?=\d)/, '$1');
    case 3:
      return JSON.stringify(word(random));
    case 4:
      return `[${Array.from({ length: Math.floor(random() * 4) }, () => json(random, depth + 1)).join(',')}]`;
    default:
      return `{${Array.from({ length: Math.floor(random() * 4) }, () => `${JSON.stringify(word(random))}:${json(random, depth + 1)}`).join(',')}}`;
  }
}

function number(random: Random): string {
  const sign = random() < 0.5 ? '-' : '';
  return `${sign}${digits(random, 12)}${random() < 0.6 ? `.${digits(random, 12)}` : ''}`;
}

function float(random: Random): string {
  if (random() < 0.1)
    return pick(random, ['NaN', 'Infinity', '-Infinity', '0', '-0', '1e-300', '1e300']);
  return String((random() - 0.5) * 10 ** Math.floor(random() * 40 - 20));
}

function quoted(random: Random, make: (random: Random) => string): string {
  const items = Array.from({ length: Math.floor(random() * 4) }, () =>
    random() < 0.2 ? 'NULL' : `"${make(random).replace(/["\\]/g, '\\$&')}"`,
  );
  return `{${items.join(',')}}`;
}

const makers: Readonly<Record<number, (random: Random) => string>> = {
  [oids.bool]: (r) => pick(r, ['t', 'f']),
  [oids.int2]: (r) => int(r, 32767n),
  [oids.int4]: (r) => int(r, 2147483647n),
  [oids.int8]: (r) => int(r, 9223372036854775807n),
  [oids.oid]: (r) => String(Math.floor(r() * 2 ** 32)),
  [oids.float4]: (r) => String(Math.fround(r() * 1000 - 500)),
  [oids.float8]: float,
  [oids.numeric]: (r) =>
    r() < 0.05 ? pick(r, ['NaN', 'Infinity', '-Infinity', '0', '0.00']) : number(r),
  [oids.text]: word,
  [oids.varchar]: word,
  [oids.bpchar]: word,
  [oids.name]: word,
  [oids.bytea]: (r) =>
    `\\x${Array.from({ length: Math.floor(r() * 5) }, () => pick(r, ['00', '01', 'ff', '7f', '80'])).join('')}`,
  [oids.date]: (r) => (r() < 0.05 ? pick(r, ['infinity', '-infinity']) : date(r)),
  [oids.time]: time,
  [oids.timetz]: (r) => time(r) + pick(r, ['+00', '+05:30', '-08', '+14']),
  [oids.timestamp]: moment,
  [oids.timestamptz]: moment,
  [oids.interval]: (r) =>
    `${int(r, 40n)} mons ${int(r, 400n)} days ${pick(r, ['', '-'])}${Math.floor(r() * 1000)}:00:01.5`,
  [oids.uuid]: (r) => Array.from({ length: 32 }, () => pick(r, ['0', 'f', '7', '8', 'a'])).join(''),
  [oids.jsonb]: (r) => json(r),
  [oids.int4Array]: (r) => quoted(r, (q) => int(q, 100n)),
  [oids.textArray]: (r) => quoted(r, word),
  [oids.numericArray]: (r) => quoted(r, number),
};

export const testedOids: readonly number[] = Object.keys(makers).map(Number);

export function randomDatum(oid: number, random: Random): Exclude<Datum, null> {
  const make = makers[oid];
  if (make === undefined) throw new Error(`no values of ${oid}`);
  const value = typeOps(oid).parse(make(random), -1, settings);
  if (value === null) throw new Error('null');
  return value;
}

export function sign(value: number): number {
  return value < 0 ? -1 : value > 0 ? 1 : 0;
}
