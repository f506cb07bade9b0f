/**
 * A sorted map from byte strings, kept as a list of small sorted blocks: a lookup is two binary
 * searches, an insertion moves at most one block. Used for write buffers, lock tables and LocalDb.
 *
 * INVARIANT: no block is empty; keys rise strictly within and across blocks.
 */
import { compareBytes, equalBytes, assert } from '../util/index.ts';

const maxBlock = 256;

interface Block<V> {
  keys: Buffer[];
  values: V[];
}

export class SortedMap<V> {
  #blocks: Block<V>[] = [];
  #size = 0;
  /** Where the last key was looked for: the next one is often its neighbour. */
  #block = 0;
  #at = 0;

  get size(): number {
    return this.#size;
  }

  get(key: Buffer): V | undefined {
    return this.#seek(key) ? this.#blocks[this.#block]?.values[this.#at] : undefined;
  }

  /** Keeps `key` itself: the caller must not change it afterwards. */
  set(key: Buffer, value: V): void {
    const found = this.#seek(key);
    const blockIndex = this.#block;
    const at = this.#at;
    const block = this.#blocks[blockIndex];
    if (block === undefined) {
      this.#blocks.push({ keys: [key], values: [value] });
      this.#size++;
      return;
    }
    if (found) {
      block.values[at] = value;
      return;
    }
    if (at === block.keys.length) {
      block.keys.push(key);
      block.values.push(value);
    } else {
      block.keys.splice(at, 0, key);
      block.values.splice(at, 0, value);
    }
    this.#size++;
    if (block.keys.length <= maxBlock) return;
    // Keys mostly arrive in rising order: leave a full block behind when the last one overflows.
    const cut =
      at === maxBlock && blockIndex === this.#blocks.length - 1 ? maxBlock : maxBlock >> 1;
    const right = { keys: block.keys.splice(cut), values: block.values.splice(cut) };
    this.#blocks.splice(blockIndex + 1, 0, right);
    if (at < cut) return;
    this.#block = blockIndex + 1;
    this.#at = at - cut;
  }

  delete(key: Buffer): boolean {
    if (!this.#seek(key)) return false;
    const block = this.#blocks[this.#block];
    if (block === undefined) return false;
    block.keys.splice(this.#at, 1);
    block.values.splice(this.#at, 1);
    this.#size--;
    if (block.keys.length === 0) this.#blocks.splice(this.#block, 1);
    // The next key in order is the one behind this place again.
    this.#at--;
    return true;
  }

  clear(): void {
    this.#blocks = [];
    this.#size = 0;
    this.#block = 0;
    this.#at = 0;
  }

  /**
   * Visits [start, end) in order until `visit` returns true; returns whether it was stopped. `end`
   * undefined: to the last key. The map must not be changed by `visit`.
   */
  visit(
    start: Buffer,
    end: Buffer | undefined,
    visit: (key: Buffer, value: V) => boolean | void,
  ): boolean {
    let blockIndex = Math.max(0, this.#blockFor(start));
    let at = lowerBound(this.#blocks[blockIndex]?.keys ?? [], start);
    for (; blockIndex < this.#blocks.length; blockIndex++, at = 0) {
      const block = this.#blocks[blockIndex];
      assert(block !== undefined, 'inside the list');
      for (; at < block.keys.length; at++) {
        const key = block.keys[at];
        const value = block.values[at];
        assert(key !== undefined, 'inside the block');
        if (end !== undefined && compareBytes(key, end) >= 0) return false;
        if (visit(key, value as V) === true) return true;
      }
    }
    return false;
  }

  /** As `visit`, from the last key below `end` down to `start`. */
  visitReverse(
    start: Buffer,
    end: Buffer | undefined,
    visit: (key: Buffer, value: V) => boolean | void,
  ): boolean {
    let blockIndex = end === undefined ? this.#blocks.length - 1 : this.#blockFor(end);
    let at =
      end === undefined
        ? (this.#blocks[blockIndex]?.keys.length ?? 0)
        : lowerBound(this.#blocks[blockIndex]?.keys ?? [], end);
    while (blockIndex >= 0) {
      const block = this.#blocks[blockIndex];
      assert(block !== undefined, 'inside the list');
      for (at--; at >= 0; at--) {
        const key = block.keys[at];
        assert(key !== undefined, 'inside the block');
        if (compareBytes(key, start) < 0) return false;
        if (visit(key, block.values[at] as V) === true) return true;
      }
      blockIndex--;
      at = this.#blocks[blockIndex]?.keys.length ?? 0;
    }
    return false;
  }

  /** The entry with the greatest key at or below `key`. */
  floor(key: Buffer): { readonly key: Buffer; readonly value: V } | undefined {
    const block = this.#blocks[this.#blockFor(key)];
    if (block === undefined) return undefined;
    const at = lowerBound(block.keys, key);
    const index = holds(block.keys, at, key) ? at : at - 1;
    const found = block.keys[index];
    return found === undefined ? undefined : { key: found, value: block.values[index] as V };
  }

  /** Points `#block` and `#at` at `key`, or at the place in a block where it belongs; returns whether it is there. */
  #seek(key: Buffer): boolean {
    const near = this.#blocks[this.#block];
    const next = near?.keys[this.#at + 1];
    if (near !== undefined && next !== undefined) {
      if (equalBytes(next, key)) {
        this.#at++;
        return true;
      }
    } else if (near !== undefined && this.#block === this.#blocks.length - 1) {
      // At the very end: most often an append.
      const last = near.keys[near.keys.length - 1];
      if (last !== undefined && compareBytes(last, key) < 0) {
        this.#at = near.keys.length;
        return false;
      }
    }
    this.#block = Math.max(0, this.#blockFor(key));
    const keys = this.#blocks[this.#block]?.keys ?? [];
    this.#at = lowerBound(keys, key);
    return holds(keys, this.#at, key);
  }

  /** Index of the last block whose first key is at or below `key`; -1 when there is none. */
  #blockFor(key: Buffer): number {
    let low = 0;
    let high = this.#blocks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const first = this.#blocks[middle]?.keys[0];
      if (first !== undefined && compareBytes(first, key) <= 0) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

function holds(keys: readonly Buffer[], at: number, key: Buffer): boolean {
  const found = keys[at];
  return found !== undefined && equalBytes(found, key);
}

/** Index of the first key at or above `key`. */
function lowerBound(keys: readonly Buffer[], key: Buffer): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const candidate = keys[middle];
    if (candidate !== undefined && compareBytes(candidate, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
