/**
 * Memory for small byte strings that live long, such as the bounds of ranges. A piece of a message that is kept
 * holds on to the whole message, or to 8 KiB of Node's pool; memory of its own costs 200 bytes of bookkeeping. So
 * what lives equally long shares blocks, and with nothing else.
 */
import { copyBytes } from '../util/index.ts';

const blockBytes = 8 << 10;
/** Longer ones get memory of their own. */
const sharedBytesMax = 512;

export class KeptBytes {
  #block: Buffer | undefined;
  #used = 0;

  /** A copy to keep; not to be changed. */
  keep(source: Uint8Array): Buffer {
    const { length } = source;
    if (length > sharedBytesMax) return copyBytes(source);
    if (this.#block === undefined || this.#used + length > blockBytes) {
      this.#block = Buffer.allocUnsafeSlow(blockBytes);
      this.#used = 0;
    }
    const kept = this.#block.subarray(this.#used, this.#used + length);
    kept.set(source);
    this.#used += length;
    return kept;
  }
}
