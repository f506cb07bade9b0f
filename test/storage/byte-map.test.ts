import { describe, expect, it } from 'vitest';
import { ByteMap, type ByteMapView } from '../../src/storage/byte-map.ts';
import { SeededRandom } from '../random.ts';

function rows(view: ByteMapView<number>, span = {}): string[] {
  const out: string[] = [];
  for (const cursor = view.cursor(span); cursor.key !== undefined; cursor.next()) {
    out.push(`${cursor.key.toString('latin1')}=${cursor.value}`);
  }
  return out;
}

describe('ByteMap', () => {
  it('agrees with a plain sorted map through random writes, and views never change', () => {
    for (let seed = 1; seed <= 12; seed++) {
      const random = new SeededRandom(seed);
      const map = new ByteMap<number>();
      const model = new Map<string, number>();
      const views: [ByteMapView<number>, string[]][] = [];
      const keys = 20 + random.below(3000);
      const deletions = random.below(70);
      const sorted = (): string[] =>
        [...model].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([k, v]) => `${k}=${v}`);
      for (let i = 0; i < 6000; i++) {
        const text =
          seed % 3 === 0 ? String(i).padStart(6, '0') : String(random.below(keys)).padStart(5, '0');
        const key = Buffer.from(text);
        if (random.below(100) < deletions) {
          expect(map.delete(key)).toBe(model.get(text));
          model.delete(text);
        } else {
          expect(map.set(key, i)).toBe(model.get(text));
          model.set(text, i);
        }
        expect(map.size).toBe(model.size);
        if (random.below(400) === 0) views.push([map.freeze(), sorted()]);
      }
      expect(rows(map.freeze()), `seed ${seed}`).toEqual(sorted());
      const pairs = [...model].sort((a, b) => (a[0] < b[0] ? -1 : 1));
      for (let i = 0; i < 300; i++) {
        const text = String(random.below(keys)).padStart(5, '0');
        const key = Buffer.from(text);
        const floor = pairs.findLast(([k]) => k <= text)?.[1];
        expect(map.floor(key), `seed ${seed}`).toBe(floor);
        const lower = pairs.findLast(([k]) => k < text)?.[1];
        expect(map.lower(key), `seed ${seed}`).toBe(lower);
      }
      for (const [view, expected] of views) {
        expect(rows(view), `seed ${seed}`).toEqual(expected);
        expect(view.size).toBe(expected.length);
        const start = String(random.below(keys)).padStart(5, '0');
        const end = String(random.below(keys)).padStart(5, '0');
        const inside = expected.filter((row) => {
          const key = row.slice(0, row.indexOf('='));
          return key >= start && key < end;
        });
        const span = { start: Buffer.from(start), end: Buffer.from(end) };
        expect(rows(view, span), `seed ${seed}`).toEqual(inside);
        expect(rows(view, { ...span, reverse: true }), `seed ${seed}`).toEqual(inside.reverse());
      }
    }
  });

  it('can be emptied and filled again', () => {
    const map = new ByteMap<number>();
    for (let i = 0; i < 5000; i++) map.set(Buffer.from(String(i)), i);
    for (let i = 0; i < 5000; i++) expect(map.delete(Buffer.from(String(i)))).toBe(i);
    expect(map.size).toBe(0);
    expect(rows(map.freeze())).toEqual([]);
    map.set(Buffer.from('a'), 1);
    expect(rows(map.freeze())).toEqual(['a=1']);
  });

  it('lets maps start from one view without touching each other', () => {
    const first = new ByteMap<number>();
    for (let i = 0; i < 500; i++) first.set(Buffer.from(String(i)), i);
    const view = first.freeze();
    const second = new ByteMap(view);
    first.set(Buffer.from('1'), -1);
    second.delete(Buffer.from('2'));
    expect(view.get(Buffer.from('1'))).toBe(1);
    expect(view.get(Buffer.from('2'))).toBe(2);
    expect(first.get(Buffer.from('2'))).toBe(2);
    expect(second.get(Buffer.from('1'))).toBe(1);
  });
});
