/** Window functions proper (chapter 9.22). */
import { sqlError } from '../errors.ts';
import { asNumber, type Datum } from '../types/index.ts';
import { windowFunction } from './define.ts';
import { type WindowFrameView, type WindowFunction } from './registry-types.ts';

function offsetRow(frame: WindowFrameView, direction: 1 | -1): Datum {
  const args = frame.args(frame.index);
  const offset = args.length > 1 ? (args[1] ?? null) : 1;
  if (offset === null) return null;
  const row = frame.index + direction * asNumber(offset);
  if (row < 0 || row >= frame.size) return args.length > 2 ? (args[2] ?? null) : null;
  return frame.args(row)[0] ?? null;
}

/** Value of the first argument in the nth row of the frame (from 0; negative from the end). */
function frameRow(frame: WindowFrameView, nth: number): Datum {
  const step = nth >= 0 ? 1 : -1;
  let left = nth >= 0 ? nth : -nth - 1;
  let row = nth >= 0 ? frame.frameStart : frame.frameEnd - 1;
  for (; row >= frame.frameStart && row < frame.frameEnd; row += step) {
    if (!frame.inFrame(row)) continue;
    if (left-- === 0) return frame.args(row)[0] ?? null;
  }
  return null;
}

function ntile(frame: WindowFrameView): Datum {
  const buckets = frame.args(frame.index)[0] ?? null;
  if (buckets === null) return null;
  const count = asNumber(buckets);
  if (count <= 0)
    throw sqlError('invalidParameterValue', 'argument of ntile must be greater than zero');
  const size = Math.floor(frame.size / count);
  const larger = frame.size % count;
  const boundary = larger * (size + 1);
  return frame.index < boundary
    ? Math.floor(frame.index / (size + 1)) + 1
    : larger + Math.floor((frame.index - boundary) / Math.max(size, 1)) + 1;
}

function nthValue(frame: WindowFrameView): Datum {
  const n = frame.args(frame.index)[1] ?? null;
  if (n === null) return null;
  if (asNumber(n) <= 0) {
    throw sqlError('invalidParameterValue', 'argument of nth_value must be greater than zero');
  }
  return frameRow(frame, asNumber(n) - 1);
}

const lagArguments = ['anyelement', 'anyelement,int4', 'anycompatible,int4,anycompatible'];

export const windowFunctions: readonly WindowFunction[] = [
  windowFunction('row_number() int8', (frame) => BigInt(frame.index + 1)),
  windowFunction('rank() int8', (frame) => BigInt(frame.peerStart + 1)),
  windowFunction('dense_rank() int8', (frame) => BigInt(frame.denseRank)),
  windowFunction('percent_rank() float8', (frame) =>
    frame.size <= 1 ? 0 : frame.peerStart / (frame.size - 1),
  ),
  windowFunction('cume_dist() float8', (frame) => frame.peerEnd / frame.size),
  windowFunction('ntile(int4) int4', ntile),
  ...lagArguments.flatMap((args) => {
    const result = args.split(',')[0] ?? '';
    return [
      windowFunction(`lag(${args}) ${result}`, (frame) => offsetRow(frame, -1)),
      windowFunction(`lead(${args}) ${result}`, (frame) => offsetRow(frame, 1)),
    ];
  }),
  windowFunction('first_value(anyelement) anyelement', (frame) => frameRow(frame, 0)),
  windowFunction('last_value(anyelement) anyelement', (frame) => frameRow(frame, -1)),
  windowFunction('nth_value(anyelement,int4) anyelement', nthValue),
];
