import { describe, expect, it } from 'vitest';
import { ByteMap } from '../../src/storage/byte-map.ts';
import { type CachePage, type Row } from '../../src/storage/cache-page.ts';
import { type LayerValue } from '../../src/storage/merge-iterator.ts';
import { PageCache } from '../../src/storage/page-cache.ts';
import { bytes, rows, write } from './engine-compliance.ts';
import { openLevel, temporaryDirectory } from './level.ts';

function list(text: string): Row[] {
  return text.split(' ').flatMap((row) => {
    const [key, value] = row.split('=');
    return key === undefined || value === undefined ? [] : [[bytes(key), bytes(value)] as Row];
  });
}

/** Fills [start, end) with rows `a=1 b=2`, as read by a reader that was made now. */
function fill(cache: PageCache, start: string, end: string, text: string): void {
  cache.fill(cache.ticket() ?? -1, bytes(start), bytes(end), list(text));
}

/** A flush of `a=1 b` (which deletes b), all slices of it. */
function flush(cache: PageCache, text: string): void {
  const map = new ByteMap<LayerValue>();
  for (const change of text.split(' ')) {
    const [key, value] = change.split('=');
    map.set(bytes(key ?? ''), value === undefined ? null : bytes(value));
  }
  cache.beginChange();
  for (const cursor = map.freeze().cursor(); cache.update(cursor););
  cache.endChange();
}

function showPage(page: CachePage): string {
  const text = page.rows().map(([key, value]) => `${key.toString()}=${value.toString()}`);
  return `[${page.start.toString()}:${text.join(' ')}:${page.end.toString()})`;
}

/** All pages, `[start:rows:end)` each. */
function show(cache: PageCache): string {
  const out: string[] = [];
  for (let code = 'a'.charCodeAt(0); code <= 'z'.charCodeAt(0); code++) {
    const page = cache.holding(Buffer.from([code]));
    const shown = page === undefined ? undefined : showPage(page);
    if (shown !== undefined && out.at(-1) !== shown) out.push(shown);
  }
  return out.join(' ');
}

function get(cache: PageCache, key: string): string | null | undefined {
  const found = cache.get(bytes(key));
  return found === null || found === undefined ? found : found.toString();
}

describe('PageCache', () => {
  it('knows what is there, what is not, and what it does not know', () => {
    const cache = new PageCache({ bytesMax: 1e6 });
    fill(cache, 'b', 'f', 'b=1 d=2');
    expect(['a', 'b', 'c', 'd', 'dd', 'e', 'f'].map((key) => get(cache, key))).toEqual([
      undefined,
      '1',
      null,
      '2',
      null,
      null,
      undefined,
    ]);
  });

  it('finds keys with common prefixes, and keys that are prefixes', () => {
    const cache = new PageCache({ bytesMax: 1e6 });
    fill(cache, 'a', 'z', 'key=1 key1=2 key10=3 key2=4');
    const keys = ['k', 'ke', 'kez', 'key', 'key0', 'key1', 'key10', 'key100', 'key2', 'l', 'b'];
    const found = [null, null, null, '1', null, '2', '3', null, '4', null, null];
    expect(keys.map((key) => get(cache, key))).toEqual(found);
  });

  it('fills only the gaps between pages, and joins small neighbours', () => {
    const cache = new PageCache({ bytesMax: 1e6, pageBytes: 6 });
    fill(cache, 'd', 'f', 'd=4 e=5');
    fill(cache, 'h', 'k', 'h=8 i=9');
    expect(show(cache)).toBe('[d:d=4 e=5:f) [h:h=8 i=9:k)');
    fill(cache, 'a', 'n', 'b=2 d=4 e=5 g=7 h=8 i=9 m=0');
    expect(show(cache)).toBe('[a:b=2:d) [d:d=4 e=5 g=7:h) [h:h=8 i=9 m=0:n)');
    fill(cache, 'a', 'n', 'b=2 d=4 e=5 g=7 h=8 i=9 m=0');
    expect(cache.pages).toBe(3);
  });

  it('finds the page that ends at a key or holds what is before it', () => {
    const cache = new PageCache({ bytesMax: 1e6, pageBytes: 4 });
    fill(cache, 'b', 'f', 'b=1 c=2 d=3 e=4');
    const before = (key: string): string | undefined => {
      const page = cache.endingAt(bytes(key));
      return page === undefined ? undefined : showPage(page);
    };
    expect(['b', 'bb', 'd', 'dd', 'f', 'ff'].map(before)).toEqual([
      undefined,
      '[b:b=1 c=2:d)',
      '[b:b=1 c=2:d)',
      '[d:d=3 e=4:f)',
      '[d:d=3 e=4:f)',
      undefined,
    ]);
  });

  it('takes nothing that was read before a change, or during one', () => {
    const cache = new PageCache({ bytesMax: 1e6 });
    const ticket = cache.ticket() ?? -1;
    cache.beginChange();
    expect(cache.ticket()).toBeUndefined();
    cache.fill(ticket, bytes('a'), bytes('z'), list('a=1'));
    cache.endChange();
    cache.fill(ticket, bytes('a'), bytes('z'), list('a=1'));
    expect(cache.pages).toBe(0);
    expect(cache.ticket()).not.toBe(ticket);
  });

  it('writes a flush into its pages and leaves what is outside', () => {
    const cache = new PageCache({ bytesMax: 1e6, pageBytes: 100 });
    fill(cache, 'b', 'f', 'c=3 d=4');
    fill(cache, 'm', 'p', 'n=1');
    flush(cache, 'a=0 b=2 c=three d e=5 f=6 n o=1 z=1');
    expect(show(cache)).toBe('[b:b=2 c=three e=5:f) [m:o=1:p)');
    flush(cache, 'b c e');
    expect(show(cache)).toBe('[b::f) [m:o=1:p)');
    expect(get(cache, 'c')).toBeNull();
  });

  it('splits a page that has grown to more than twice the size', () => {
    const cache = new PageCache({ bytesMax: 1e6, pageBytes: 4 });
    fill(cache, 'a', 'z', 'b=1 c=1');
    flush(cache, 'd=1 e=1');
    expect(show(cache)).toBe('[a:b=1 c=1 d=1 e=1:z)');
    flush(cache, 'f=1');
    expect(show(cache)).toBe('[a:b=1 c=1:d) [d:d=1 e=1:f) [f:f=1:z)');
  });

  it('drops the pages that touch a span', () => {
    const cache = new PageCache({ bytesMax: 1e6, pageBytes: 1 });
    fill(cache, 'a', 'g', 'a=1 b=2 c=3 d=4 e=5 f=6');
    cache.drop(bytes('bb'), bytes('d'));
    expect(show(cache)).toBe('[a:a=1:b) [d:d=4:e) [e:e=5:f) [f:f=6:g)');
    cache.drop(bytes('a'), bytes('z'));
    expect([cache.pages, cache.bytes]).toEqual([0, 0]);
  });

  it('keeps to its size, and keeps what is read', () => {
    const bytesMax = 20_000;
    const cache = new PageCache({ bytesMax, pageBytes: 1 });
    const key = (i: number): Buffer => bytes(`k${String(i).padStart(5, '0')}`);
    const add = (i: number, value: string): void => {
      cache.fill(cache.ticket() ?? -1, key(i), key(i + 1), [[key(i), bytes(value)]]);
      expect(cache.bytes).toBeLessThanOrEqual(bytesMax);
    };
    let lost = 0;
    add(0, 'hot');
    for (let i = 1; i < 1000; i++) {
      add(i, 'cold');
      if (cache.get(key(0)) !== undefined) continue;
      lost++;
      add(0, 'hot');
    }
    // When the hand comes round first, it finds everything read, and the oldest goes.
    expect(lost).toBeLessThanOrEqual(1);
    expect(cache.pages).toBeGreaterThan(20);
    expect(cache.get(key(1))).toBeUndefined();
  });

  it('drops pages that are written again and again and never read', () => {
    const cache = new PageCache({ bytesMax: 1e6 });
    fill(cache, 'a', 'z', 'b=1');
    for (let i = 0; i < 200; i++) flush(cache, `b=${i}`);
    expect(cache.pages).toBe(0);
    fill(cache, 'a', 'z', 'b=1');
    for (let i = 0; i < 200; i++) {
      flush(cache, `b=${i}`);
      expect(get(cache, 'b')).toBe(String(i));
    }
    expect(cache.pages).toBe(1);
  });

  it('of size 0 stays empty', () => {
    const cache = new PageCache({ bytesMax: 0 });
    fill(cache, 'a', 'z', 'b=1');
    expect([cache.pages, cache.bytes]).toEqual([0, 0]);
  });
});

describe('LevelEngine with cached pages', () => {
  it('reads what was read before without entering LevelDB, also after writes', async () => {
    const directory = temporaryDirectory();
    const engine = await openLevel(directory.path);
    for (let i = 0; i < 900; i++) engine.apply([write(`k${i}`, `v${i}`.padEnd(100))]);
    await engine.barrier();
    const first = await rows(engine, { page: 100 });
    const before = engine.cacheStats;
    expect(before.pages).toBeGreaterThan(3);
    for (const reverse of [false, true]) {
      const again = await rows(engine, { page: 7, reverse });
      expect(again.length).toBe(first.length);
      expect(await rows(engine, { start: 'k3', end: 'k33', reverse })).not.toBe('');
    }
    engine.apply([write('k5', undefined), write('k51', 'new'), write('zz', 'last')]);
    await engine.barrier();
    expect(engine.get(bytes('k5'))).toBeUndefined();
    expect(engine.get(bytes('k51'))).toEqual(bytes('new'));
    expect(engine.get(bytes('k511'))).toEqual(bytes('v511'.padEnd(100)));
    expect((await rows(engine, { start: 'k99' })).endsWith('zz=last')).toBe(true);
    expect(engine.cacheStats.levelReads).toBe(before.levelReads);
    const snapshot = engine.snapshot();
    expect(snapshot.get(bytes('k51'))).toEqual(bytes('new'));
    snapshot.close();
    expect(engine.cacheStats.levelReads).toBe(before.levelReads + 1);
    await engine.close();
    directory.remove();
  });

  it('a scan that read some rows and ended has filled as far as it got', async () => {
    const directory = temporaryDirectory();
    const engine = await openLevel(directory.path);
    engine.apply(['a', 'b', 'c', 'd', 'e'].map((key) => write(key, key)));
    await engine.barrier();
    for (const reverse of [false, true]) {
      await engine.clear(bytes('x'), bytes('y'));
      const scan = engine.iterate({ start: bytes('a'), end: bytes('f'), reverse });
      expect((await scan.next(2)).length).toBe(2);
      await scan.close();
    }
    const { levelReads } = engine.cacheStats;
    for (const key of ['a', 'b', 'd', 'e', 'ee']) engine.get(bytes(key));
    expect(engine.cacheStats.levelReads).toBe(levelReads);
    engine.get(bytes('c'));
    // The get itself, and the page that is read for those to come.
    expect(engine.cacheStats.levelReads).toBe(levelReads + 2);
    await engine.close();
    directory.remove();
  });

  it('a get that missed brings its page in, while there is room', async () => {
    for (const [pageCacheBytes, reads] of [
      [1 << 20, 0],
      [0, 2],
    ] as const) {
      const directory = temporaryDirectory();
      const engine = await openLevel(directory.path, { pageCacheBytes });
      engine.apply(['a', 'b', 'c', 'd', 'e'].map((key) => write(key, key)));
      await engine.barrier();
      expect(engine.get(bytes('b'))).toEqual(bytes('b'));
      while (pageCacheBytes > 0 && engine.cacheStats.pages === 0) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      const { levelReads } = engine.cacheStats;
      expect(engine.get(bytes('d'))).toEqual(bytes('d'));
      expect(engine.get(bytes('cc'))).toBeUndefined();
      expect(engine.cacheStats.levelReads).toBe(levelReads + reads);
      await engine.close();
      directory.remove();
    }
  });

  it('one long scan leaves most of the cache alone', async () => {
    const directory = temporaryDirectory();
    const engine = await openLevel(directory.path, { pageCacheBytes: 100_000, pageBytes: 1000 });
    for (let i = 0; i < 3000; i++) engine.apply([write(`k${10_000 + i}`, 'v'.repeat(100))]);
    await engine.barrier();
    await rows(engine, { page: 100 });
    expect(engine.cacheStats.bytes).toBeGreaterThan(15_000);
    expect(engine.cacheStats.bytes).toBeLessThan(60_000);
    await engine.close();
    directory.remove();
  });
});
