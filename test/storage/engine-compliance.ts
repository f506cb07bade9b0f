/** What every Engine must do. Each implementation runs this suite. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Engine, type EngineReader, type EngineWrite } from '../../src/storage/index.ts';

export interface EngineFixture {
  readonly engine: Engine;
  openReaders(): number;
  /** Closes the engine and opens it again, losing nothing. */
  reopen(): Promise<void>;
  stop(): Promise<void>;
}

export function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

export function write(key: string, value: string | undefined): EngineWrite {
  return { key: bytes(key), value: value === undefined ? undefined : bytes(value) };
}

/** `a=1 b=2`, read in pages of `page`. */
export async function rows(
  reader: EngineReader,
  options: { start?: string; end?: string; reverse?: boolean; page?: number } = {},
): Promise<string> {
  const iterator = reader.iterate({
    start: bytes(options.start ?? ''),
    end: bytes(options.end ?? '\xff'),
    ...(options.reverse === undefined ? {} : { reverse: options.reverse }),
  });
  const out: string[] = [];
  for (;;) {
    const page = await iterator.next(options.page ?? 3);
    if (page.length === 0) break;
    expect(page.length).toBeLessThanOrEqual(options.page ?? 3);
    for (const [key, value] of page) {
      out.push(`${key.toString('latin1')}=${value.toString('latin1')}`);
    }
  }
  await iterator.close();
  return out.join(' ');
}

export function engineCompliance(name: string, start: () => Promise<EngineFixture>): void {
  describe(`${name} is an Engine`, () => {
    let fixture: EngineFixture;
    beforeEach(async () => {
      fixture = await start();
    });
    afterEach(async () => {
      expect(fixture.openReaders()).toBe(0);
      await fixture.stop();
    });

    it('shows a batch at once', () => {
      const { engine } = fixture;
      engine.apply([write('a', '1'), write('b', ''), write('c', '3'), write('c', undefined)]);
      expect(engine.get(bytes('a'))).toEqual(bytes('1'));
      expect(engine.get(bytes('b'))).toEqual(bytes(''));
      expect(engine.get(bytes('c'))).toBeUndefined();
      expect(engine.get(bytes('d'))).toBeUndefined();
    });

    it('iterates in order, both ways, within bounds, in pages', async () => {
      const { engine } = fixture;
      engine.apply([write('b', '2'), write('d', '4'), write('f', '6')]);
      await engine.barrier();
      engine.apply([write('a', '1'), write('c', '3'), write('d', undefined), write('f', '7')]);
      for (const page of [1, 2, 100]) {
        expect(await rows(engine, { page })).toBe('a=1 b=2 c=3 f=7');
        expect(await rows(engine, { page, reverse: true })).toBe('f=7 c=3 b=2 a=1');
        expect(await rows(engine, { page, start: 'b', end: 'f' })).toBe('b=2 c=3');
        expect(await rows(engine, { page, start: 'b', end: 'f', reverse: true })).toBe('c=3 b=2');
        expect(await rows(engine, { page, start: 'd', end: 'e' })).toBe('');
        expect(await rows(engine, { page, start: 'x', end: 'b' })).toBe('');
      }
    });

    it('iterators see what was applied before, and nothing later', async () => {
      const { engine } = fixture;
      engine.apply([write('a', '1'), write('b', '1')]);
      await engine.barrier();
      engine.apply([write('c', '1')]);
      const iterator = engine.iterate({ start: bytes('a'), end: bytes('z') });
      engine.apply([write('a', '2'), write('bb', '2'), write('c', undefined)]);
      await engine.barrier();
      const page = await iterator.next(10);
      expect(page.map(([key, value]) => `${key.toString()}=${value.toString()}`)).toEqual([
        'a=1',
        'b=1',
        'c=1',
      ]);
      await iterator.close();
      expect(await rows(engine)).toBe('a=2 b=1 bb=2');
    });

    it('snapshots stay as they were', async () => {
      const { engine } = fixture;
      engine.apply([write('a', '1')]);
      await engine.barrier();
      engine.apply([write('b', '1')]);
      const snapshot = engine.snapshot();
      engine.apply([write('a', '2'), write('b', undefined), write('c', '2')]);
      await engine.clear(bytes('a'), bytes('b'));
      await engine.barrier();
      expect(snapshot.get(bytes('a'))).toEqual(bytes('1'));
      expect(snapshot.get(bytes('b'))).toEqual(bytes('1'));
      expect(snapshot.get(bytes('c'))).toBeUndefined();
      expect(await rows(snapshot)).toBe('a=1 b=1');
      expect(await rows(engine)).toBe('c=2');
      snapshot.close();
      snapshot.close();
    });

    it('clears a span and leaves its borders', async () => {
      const { engine } = fixture;
      engine.apply([write('a', '1'), write('b', '1'), write('c', '1')]);
      await engine.barrier();
      engine.apply([write('bb', '1'), write('bc', '1'), write('d', '1')]);
      await engine.clear(bytes('b'), bytes('c'));
      expect(await rows(engine)).toBe('a=1 c=1 d=1');
      await engine.clear(bytes('d'), bytes('a'));
      engine.apply([write('bb', '2')]);
      expect(await rows(engine)).toBe('a=1 bb=2 c=1 d=1');
      await engine.clear(bytes(''), bytes('\xff'));
      expect(await rows(engine)).toBe('');
    });

    it('keeps everything over a clean restart', async () => {
      fixture.engine.apply([write('a', '1'), write('b', '2')]);
      await fixture.engine.barrier();
      fixture.engine.apply([write('b', undefined), write('c', '3')]);
      await fixture.reopen();
      expect(await rows(fixture.engine)).toBe('a=1 c=3');
      expect(await fixture.engine.sizeBytes()).toBeGreaterThanOrEqual(0);
    });

    it('survives closing an iterator early and twice', async () => {
      const { engine } = fixture;
      for (let i = 0; i < 500; i++) engine.apply([write(`k${i}`, 'v')]);
      await engine.barrier();
      const iterator = engine.iterate({ start: bytes('k'), end: bytes('l') });
      expect((await iterator.next(1)).length).toBe(1);
      await iterator.close();
      await iterator.close();
    });

    it('refuses everything after close', async () => {
      const { engine } = fixture;
      await fixture.engine.close();
      expect(() => engine.get(bytes('a'))).toThrow();
      expect(() => engine.apply([write('a', '1')])).toThrow();
      expect(() => engine.iterate({ start: bytes('a'), end: bytes('b') })).toThrow();
      expect(() => engine.snapshot()).toThrow();
      await expect(engine.barrier()).rejects.toThrow();
      await expect(engine.clear(bytes('a'), bytes('b'))).rejects.toThrow();
    });
  });
}
