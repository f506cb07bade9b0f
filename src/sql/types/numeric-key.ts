/**
 * Order-preserving key form of numeric: a class byte, then for finite values the decimal exponent and
 * the digits in base 100 without trailing zeros (pair + 1, ended by 0). Negative values have the bytes behind
 * the class inverted. The display scale is not kept.
 */
import { type KeyReader, type KeyWriter } from '../../encoding/index.ts';
import { Numeric } from './datum.ts';
import {
  absBig,
  numericInfinity,
  numericMinusInfinity,
  numericNaN,
  numericZero,
  pow10,
} from './numeric.ts';

const classes = {
  minusInfinity: 1,
  negative: 2,
  zero: 3,
  positive: 4,
  infinity: 5,
  nan: 6,
} as const;

export function encodeNumericKey(writer: KeyWriter, value: Numeric): void {
  if (value.kind !== 'finite') {
    writer.byte(
      value.kind === 'nan'
        ? classes.nan
        : value.kind === 'infinity'
          ? classes.infinity
          : classes.minusInfinity,
    );
    return;
  }
  if (value.digits === 0n) {
    writer.byte(classes.zero);
    return;
  }
  const negative = value.digits < 0n;
  writer.byte(negative ? classes.negative : classes.positive);
  const from = writer.length;
  let digits = absBig(value.digits).toString();
  // Value = 0.d1d2d3... * 10^exponent.
  writer.int(digits.length - value.scale);
  digits = digits.replace(/0+$/, '');
  for (let i = 0; i < digits.length; i += 2) {
    writer.byte(Number(digits.slice(i, i + 2).padEnd(2, '0')) + 1);
  }
  writer.byte(0);
  if (negative) writer.invertFrom(from);
}

export function decodeNumericKey(reader: KeyReader, descending: boolean): Numeric {
  const kind = reader.byte() ^ (descending ? 0xff : 0);
  switch (kind) {
    case classes.minusInfinity:
      return numericMinusInfinity;
    case classes.zero:
      return numericZero;
    case classes.infinity:
      return numericInfinity;
    case classes.nan:
      return numericNaN;
    case classes.negative:
    case classes.positive:
      return decodeDigits(
        reader,
        descending !== (kind === classes.negative),
        kind === classes.negative,
      );
    default:
      throw new RangeError('bad numeric in key');
  }
}

function decodeDigits(reader: KeyReader, inverted: boolean, negative: boolean): Numeric {
  const exponent = inverted ? reader.intDescending() : reader.int();
  const mask = inverted ? 0xff : 0;
  let text = '';
  for (;;) {
    const byte = reader.byte() ^ mask;
    if (byte === 0) break;
    if (byte > 100) throw new RangeError('bad numeric in key');
    text += String(byte - 1).padStart(2, '0');
  }
  text = text.replace(/0$/, '');
  const scale = text.length - exponent;
  let digits = BigInt(text);
  if (negative) digits = -digits;
  return scale >= 0
    ? new Numeric('finite', digits, scale)
    : new Numeric('finite', digits * pow10(-scale), 0);
}
