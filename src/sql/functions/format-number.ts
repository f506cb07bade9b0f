/** to_char and to_number of numbers (table 9.28 of the PostgreSQL documentation). */
import { sqlError } from '../errors.ts';
import { formatNumeric, Numeric, numericToNumber, parseNumeric } from '../types/index.ts';
import { absNumeric, multiplyNumeric, numericSign, pow10, roundNumeric } from '../types/numeric.ts';
import { ordinalSuffix } from './format-picture.ts';

type Item =
  | { readonly kind: 'digit'; readonly zero: boolean }
  | { readonly kind: 'point' }
  | { readonly kind: 'group' }
  | { readonly kind: 'sign'; readonly style: 'S' | 'MI' | 'PL' | 'SG' | 'PR' }
  | { readonly kind: 'currency' }
  | { readonly kind: 'ordinal'; readonly style: 'TH' | 'th' }
  | { readonly kind: 'text'; readonly text: string };

interface Picture {
  readonly items: readonly Item[];
  readonly before: number;
  readonly after: number;
  readonly fillMode: boolean;
  readonly roman: '' | 'RN' | 'rn';
  readonly exponent: boolean;
  /** Digits behind V. */
  readonly shift: number;
}

function parse(picture: string): Picture {
  const items: Item[] = [];
  let before = 0;
  let after = 0;
  let shift = 0;
  let fillMode = false;
  let roman: Picture['roman'] = '';
  let exponent = false;
  let behindPoint = false;
  let behindV = false;
  let at = 0;
  while (at < picture.length) {
    const rest = picture.slice(at);
    const quoted = /^"((?:[^"\\]|\\.)*)"?/s.exec(rest);
    if (quoted !== null) {
      items.push({ kind: 'text', text: (quoted[1] ?? '').replace(/\\(.)/gs, '$1') });
      at += quoted[0].length;
      continue;
    }
    const word = /^(?:FM|RN|EEEE|MI|PL|SG|PR|TH|[09.,DGSVL])/i.exec(rest)?.[0];
    if (word === undefined) {
      items.push({ kind: 'text', text: picture[at] ?? '' });
      at++;
      continue;
    }
    at += word.length;
    switch (word.toUpperCase()) {
      case '0':
      case '9':
        if (behindV) shift++;
        if (behindPoint) after++;
        else before++;
        items.push({ kind: 'digit', zero: word === '0' });
        break;
      case '.':
      case 'D':
        if (behindPoint) throw sqlError('syntaxError', 'multiple decimal points');
        behindPoint = true;
        items.push({ kind: 'point' });
        break;
      case ',':
      case 'G':
        items.push({ kind: 'group' });
        break;
      case 'V':
        behindV = true;
        break;
      case 'L':
        items.push({ kind: 'currency' });
        break;
      case 'FM':
        fillMode = true;
        break;
      case 'RN':
        roman = word === 'rn' ? 'rn' : 'RN';
        break;
      case 'EEEE':
        exponent = true;
        break;
      case 'TH':
        items.push({ kind: 'ordinal', style: word === 'th' ? 'th' : 'TH' });
        break;
      case 'S':
        items.push({ kind: 'sign', style: 'S' });
        break;
      case 'MI':
        items.push({ kind: 'sign', style: 'MI' });
        break;
      case 'PL':
        items.push({ kind: 'sign', style: 'PL' });
        break;
      case 'SG':
        items.push({ kind: 'sign', style: 'SG' });
        break;
      default:
        items.push({ kind: 'sign', style: 'PR' });
    }
  }
  return { items, before, after, fillMode, roman, exponent, shift };
}

const romanDigits: readonly (readonly [number, string])[] = [
  [1000, 'M'],
  [900, 'CM'],
  [500, 'D'],
  [400, 'CD'],
  [100, 'C'],
  [90, 'XC'],
  [50, 'L'],
  [40, 'XL'],
  [10, 'X'],
  [9, 'IX'],
  [5, 'V'],
  [4, 'IV'],
  [1, 'I'],
];

function toRoman(value: number): string {
  if (!(value >= 1 && value <= 3999)) return '#'.repeat(15);
  let rest = value;
  let out = '';
  for (const [size, digits] of romanDigits) {
    while (rest >= size) {
      out += digits;
      rest -= size;
    }
  }
  return out;
}

export function numericToChar(value: Numeric, pictureText: string): string {
  const picture = parse(pictureText);
  if (picture.roman !== '') {
    const roman = toRoman(Math.round(numericToNumber(value)));
    const text = picture.fillMode ? roman : roman.padStart(15);
    return picture.roman === 'rn' ? text.toLowerCase() : text;
  }
  if (picture.exponent) return exponentForm(value, picture);
  if (value.kind !== 'finite') return layOut(picture, '', '', numericSign(value) < 0, value);
  const shifted =
    picture.shift === 0
      ? value
      : multiplyNumeric(value, new Numeric('finite', pow10(picture.shift), 0));
  const rounded = roundNumeric(shifted, picture.after);
  const [whole = '0', fraction = ''] = formatNumeric(absNumeric(rounded)).split('.');
  const negative =
    numericSign(rounded) < 0 || (numericSign(value) < 0 && numericSign(rounded) !== 0);
  return layOut(picture, whole === '0' ? '' : whole, fraction, negative, value);
}

function exponentForm(value: Numeric, picture: Picture): string {
  if (value.kind !== 'finite') return '#'.repeat(picture.before + picture.after + 6);
  const digits = picture.after;
  const magnitude = absNumeric(value);
  const text = magnitude.digits.toString();
  const exponent = magnitude.digits === 0n ? 0 : text.length - 1 - magnitude.scale;
  const scaled = new Numeric('finite', magnitude.digits, text.length - 1);
  let rounded = roundNumeric(magnitude.digits === 0n ? magnitude : scaled, digits);
  let power = exponent;
  if (rounded.digits >= 10n * pow10(rounded.scale)) {
    rounded = roundNumeric(new Numeric('finite', rounded.digits, rounded.scale + 1), digits);
    power++;
  }
  const body = `${formatNumeric(rounded)}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
  return numericSign(value) < 0 ? `-${body}` : picture.fillMode ? body : ` ${body}`;
}

/** Puts digits into the picture. `whole` is '' for zero. */
function layOut(
  picture: Picture,
  whole: string,
  fraction: string,
  negative: boolean,
  value: Numeric,
): string {
  const { items, before, fillMode } = picture;
  const overflow = whole.length > before || value.kind !== 'finite';
  const digits = overflow ? '#'.repeat(before) : whole.padStart(before);
  const fractionDigits = overflow ? '#'.repeat(picture.after) : fraction;
  const hasSign = items.some((item) => item.kind === 'sign' && item.style !== 'PL');
  const firstZero = firstZeroPosition(items);
  /** Behind the point FM drops zeros that a 9 asked for. */
  const keep = fillMode ? keptFraction(items, fractionDigits) : fractionDigits.length;
  let out = '';
  let position = 0;
  let behind = 0;
  let started = false;
  let inFraction = false;
  const begin = (): void => {
    if (started) return;
    started = true;
    if (!hasSign) out += negative ? '-' : fillMode ? '' : ' ';
    else if (leadingSign(items) === 'S') out += negative ? '-' : '+';
    else if (items.some((item) => item.kind === 'sign' && item.style === 'PR')) {
      out += negative ? '<' : fillMode ? '' : ' ';
    }
  };
  let blanks = 0;
  for (const [index, item] of items.entries()) {
    switch (item.kind) {
      case 'digit': {
        if (inFraction) {
          if (behind < keep) out += fractionDigits[behind] ?? '0';
          behind++;
          break;
        }
        const c = digits[position] ?? ' ';
        const mustShow = c !== ' ' || position >= firstZero;
        // A lone zero in front of nothing: the last 9 shows it, unless digits follow the point.
        const last = position === before - 1 && picture.after === 0;
        position++;
        if (mustShow || last) {
          if (!started) {
            out += ' '.repeat(fillMode ? 0 : blanks);
            begin();
          }
          out += c === ' ' ? '0' : c;
        } else blanks++;
        break;
      }
      case 'group':
        if (started) out += ',';
        else blanks++;
        break;
      case 'point':
        inFraction = true;
        if (!started) {
          out += ' '.repeat(fillMode ? 0 : blanks);
          begin();
        }
        out += '.';
        break;
      case 'sign':
        if (item.style === 'S') {
          if (index > 0 && leadingSign(items) !== 'S') out += negative ? '-' : '+';
        } else if (item.style === 'MI') out += negative ? '-' : fillMode ? '' : ' ';
        else if (item.style === 'PL') out += negative ? (fillMode ? '' : ' ') : '+';
        else if (item.style === 'SG') out += negative ? '-' : '+';
        else out += negative ? '>' : fillMode ? '' : ' ';
        break;
      case 'currency':
        out += ' ';
        break;
      case 'ordinal':
        if (!negative) out += ordinalSuffix(Number(whole === '' ? 0 : whole.slice(-3)), item.style);
        break;
      case 'text':
        out += item.text;
    }
  }
  return out;
}

function leadingSign(items: readonly Item[]): string | undefined {
  const firstDigit = items.findIndex((item) => item.kind === 'digit');
  const sign = items.findIndex((item) => item.kind === 'sign' && item.style === 'S');
  return sign >= 0 && sign < firstDigit ? 'S' : undefined;
}

/** Index among the digits before the point from which zeros show. */
function firstZeroPosition(items: readonly Item[]): number {
  let position = 0;
  for (const item of items) {
    if (item.kind === 'point') break;
    if (item.kind !== 'digit') continue;
    if (item.zero) return position;
    position++;
  }
  return Number.MAX_SAFE_INTEGER;
}

function keptFraction(items: readonly Item[], fraction: string): number {
  const point = items.findIndex((item) => item.kind === 'point');
  if (point < 0) return fraction.length;
  let needed = 0;
  let seen = 0;
  for (const item of items.slice(point)) {
    if (item.kind !== 'digit') continue;
    seen++;
    if (item.zero) needed = seen;
  }
  return Math.max(needed, fraction.replace(/0+$/, '').length);
}

/** Takes the number out of `text`: digits where the picture has some, everything else is skipped. */
export function toNumber(text: string, pictureText: string): Numeric {
  const picture = parse(pictureText);
  let digits = '';
  let negative = /^\s*</.test(text);
  let at = 0;
  let seenPoint = false;
  let wholeLeft = picture.before;
  let fractionLeft = picture.after;
  const isSign = (c: string): boolean => c === '-' || c === '+';
  while (at < text.length) {
    const c = text[at++] ?? '';
    if (/\d/.test(c)) {
      if (!seenPoint && wholeLeft-- <= 0) break;
      if (seenPoint && fractionLeft-- <= 0) break;
      digits += c;
    } else if (c === '.' && !seenPoint && picture.items.some((item) => item.kind === 'point')) {
      seenPoint = true;
      digits += '.';
    } else if (isSign(c)) negative ||= c === '-';
    else if (
      c !== ',' &&
      !/[\s<>$]/.test(c) &&
      digits !== '' &&
      !picture.items.some((item) => item.kind === 'text' || item.kind === 'ordinal')
    )
      break;
  }
  if (!/\d/.test(digits)) {
    throw sqlError(
      'invalidTextRepresentation',
      `invalid input syntax for type numeric: "${text === '' ? '' : ' '}"`,
    );
  }
  const value = parseNumeric((negative ? '-' : '') + digits);
  return picture.shift === 0
    ? value
    : new Numeric('finite', value.digits, value.scale + picture.shift);
}
