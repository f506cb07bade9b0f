/** Every mutant still fits the sources; whether the simulation finds them is what `npm run mutants` is for. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

interface Patch {
  readonly file: string;
  readonly text: string;
  readonly replacement: string;
}

const root = join(import.meta.dirname, '..', '..');
const { mutants, patched } = createRequire(import.meta.url)('./mutants.cjs') as {
  readonly mutants: readonly {
    readonly name: string;
    readonly patches: readonly Patch[];
  }[];
  readonly patched: (source: string, patch: Patch) => string;
};

describe('mutants', () => {
  it.each(mutants)('$name fits the sources', ({ patches }) => {
    expect(patches.length).toBeGreaterThan(0);
    for (const patch of patches) {
      const source = readFileSync(join(root, patch.file), 'utf8');
      expect(patched(source, patch)).not.toBe(source);
    }
  });

  it('refuses a text that is not there', () => {
    expect(() => patched('a b', { file: 'x', text: 'c', replacement: 'd' })).toThrow('0 times');
    expect(() => patched('a a', { file: 'x', text: 'a', replacement: 'd' })).toThrow('2 times');
  });
});
