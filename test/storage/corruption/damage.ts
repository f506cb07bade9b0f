/** What goes wrong with bytes at rest: one seeded damage to one file. */
import { type SeededRandom } from '../../random.ts';

export interface Damage {
  readonly kind: 'flip' | 'truncate' | 'swap';
  readonly what: string;
  readonly bytes: Buffer;
}

const blockBytes = 4096;

/** Trials for each kind of file: `CORRUPTION_TRIALS=` asks for a longer run, `CORRUPTION_SEED=` for another one. */
export function trialsOf(usual: number): number {
  return Number(process.env['CORRUPTION_TRIALS'] ?? usual);
}

export const firstSeed = Number(process.env['CORRUPTION_SEED'] ?? 1);

/** Flips 1 to 3 bits, cuts the end off, or exchanges two different blocks of 4 KiB. Never returns equal bytes. */
export function damageBytes(bytes: Buffer, random: SeededRandom): Damage {
  const choice = random.below(10);
  if (choice < 3 && bytes.length > blockBytes) {
    const swapped = swapBlocks(bytes, random);
    if (swapped !== undefined) return swapped;
  }
  if (choice < 5) {
    const size = random.below(bytes.length);
    return { kind: 'truncate', what: `cut to ${size} bytes`, bytes: bytes.subarray(0, size) };
  }
  const out = Buffer.from(bytes);
  const bits = new Set<number>();
  for (let i = random.below(3); i >= 0; i--) bits.add(random.below(bytes.length * 8));
  for (const bit of bits) out[bit >> 3] = (out[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return { kind: 'flip', what: `flipped bits ${[...bits].join(', ')}`, bytes: out };
}

/** Undefined when the two that were drawn are equal. A short block at the end stays where it is. */
function swapBlocks(bytes: Buffer, random: SeededRandom): Damage | undefined {
  const count = Math.floor(bytes.length / blockBytes);
  const a = random.below(count) * blockBytes;
  const b = random.below(count) * blockBytes;
  const first = bytes.subarray(a, a + blockBytes);
  const second = bytes.subarray(b, b + blockBytes);
  if (first.equals(second)) return undefined;
  const out = Buffer.from(bytes);
  second.copy(out, a);
  first.copy(out, b);
  return { kind: 'swap', what: `exchanged the blocks at ${a} and ${b}`, bytes: out };
}
