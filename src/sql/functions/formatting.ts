/** to_char, to_date, to_timestamp, to_number (chapter 9.8). */
import {
  asBigint,
  asInterval,
  asNumber,
  asNumeric,
  asText,
  numericFromInt,
  numericFromNumber,
} from '../types/index.ts';
import { zoneOf } from '../types/timezone.ts';
import { dateToTimestamp, isInfinite } from './date-arithmetic.ts';
import { stable } from './define.ts';
import { intervalToChar, timestampToChar, timestamptzToChar } from './format-datetime.ts';
import { toDate, toTimestamp } from './scan-datetime.ts';
import { numericToChar, toNumber } from './format-number.ts';
import { type ScalarFunction } from './registry-types.ts';

export const formattingFunctions: readonly ScalarFunction[] = [
  stable('to_char(timestamp,text) text', (a) =>
    isInfinite(asBigint(a[0])) ? null : timestampToChar(asBigint(a[0]), asText(a[1])),
  ),
  stable('to_char(timestamptz,text) text', (a, c) =>
    isInfinite(asBigint(a[0]))
      ? null
      : timestamptzToChar(asBigint(a[0]), asText(a[1]), zoneOf(c.timeZone)),
  ),
  stable('to_char(date,text) text', (a) =>
    Number.isFinite(asNumber(a[0]))
      ? timestampToChar(dateToTimestamp(asNumber(a[0])), asText(a[1]))
      : null,
  ),
  stable('to_char(interval,text) text', (a) => intervalToChar(asInterval(a[0]), asText(a[1]))),
  stable('to_char(int4,text) text', (a) =>
    numericToChar(numericFromInt(asNumber(a[0])), asText(a[1])),
  ),
  stable('to_char(int8,text) text', (a) =>
    numericToChar(numericFromInt(asBigint(a[0])), asText(a[1])),
  ),
  stable('to_char(numeric,text) text', (a) => numericToChar(asNumeric(a[0]), asText(a[1]))),
  stable('to_char(float4,text) text', (a) =>
    numericToChar(numericFromNumber(asNumber(a[0]), 6), asText(a[1])),
  ),
  stable('to_char(float8,text) text', (a) =>
    numericToChar(numericFromNumber(asNumber(a[0])), asText(a[1])),
  ),
  stable('to_number(text,text) numeric', (a) => toNumber(asText(a[0]), asText(a[1]))),
  stable('to_date(text,text) date', (a) => toDate(asText(a[0]), asText(a[1]))),
  stable('to_timestamp(text,text) timestamptz', (a, c) =>
    toTimestamp(asText(a[0]), asText(a[1]), zoneOf(c.timeZone)),
  ),
];
