/**
 * Memory for small byte strings that live long, such as the bounds of ranges. A piece of a message that is kept
 * holds on to the whole message, or to 8 KiB of Node's pool; memory of its own costs 200 bytes of bookkeeping. So
 * what lives long shares blocks with nothing else.
 */
import { copyBytes } from '../util/index.ts';

const blockBytes = 8 << 10;
/** Longer ones get memory of their own. */
const sharedBytesMax = 512;

let block = Buffer.alloc(0);
let used = 0;

/** A copy to keep; not to be changed. */
export function keepBytes(source: Uint8Array): Buffer {
  const { length } = source;
  if (length > sharedBytesMax) return copyBytes(source);
  if (used + length > block.length) {
    block = Buffer.allocUnsafeSlow(blockBytes);
    used = 0;
  }
  const kept = block.subarray(used, used + length);
  kept.set(source);
  used += length;
  return kept;
}
