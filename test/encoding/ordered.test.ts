import { describe, expect, it } from 'vitest';
import { KeyReader, KeyWriter } from '../../src/encoding/index.ts';
import { SeededRandom } from '../random.ts';

interface Kind<T> {
  readonly name: string;
  draw(random: SeededRandom): T;
  compare(a: T, b: T): number;
  write(writer: KeyWriter, value: T): KeyWriter;
  read(reader: KeyReader): T;
  readDescending(reader: KeyReader): T;
}

const spice = [0, 1, 0x7f, 0x80, 0xfe, 0xff];

const bytesKind: Kind<Buffer> = {
  name: 'bytes',
  draw: (random) => {
    const out = random.bytes(random.below(random.below(5) === 0 ? 600 : 6));
    for (let i = 0; i < out.length; i++) {
      if (random.below(2) === 0) out[i] = spice[random.below(spice.length)] ?? 0;
    }
    return out;
  },
  compare: (a, b) => a.compare(b),
  write: (writer, value) => writer.bytes(value),
  read: (reader) => reader.bytes(),
  readDescending: (reader) => reader.bytesDescending(),
};

const intKind: Kind<number> = {
  name: 'int',
  draw: (random) => {
    const edge = 2 ** random.below(53) + random.below(3) - 1;
    return random.below(2) === 0 ? edge : -edge;
  },
  compare: (a, b) => a - b,
  write: (writer, value) => writer.int(value),
  read: (reader) => reader.int(),
  readDescending: (reader) => reader.intDescending(),
};

const bigintKind: Kind<bigint> = {
  name: 'bigint',
  draw: (random) => {
    const wide = BigInt.asIntN(64, (BigInt(random.u32()) << 32n) | BigInt(random.u32()));
    return BigInt.asIntN(64, (wide >> BigInt(random.below(64))) + BigInt(random.below(3) - 1));
  },
  compare: (a, b) => (a < b ? -1 : a > b ? 1 : 0),
  write: (writer, value) => writer.bigint(value),
  read: (reader) => reader.bigint(),
  readDescending: (reader) => reader.bigintDescending(),
};

const floats = [0, -0, 1, -1, 0.1, Infinity, -Infinity, NaN, Number.MIN_VALUE, Number.MAX_VALUE];

const floatKind: Kind<number> = {
  name: 'float',
  draw: (random) => {
    if (random.below(3) === 0) return floats[random.below(floats.length)] ?? 0;
    return random.bytes(8).readDoubleBE(0);
  },
  compare: (a, b) => {
    if (Number.isNaN(a) || Number.isNaN(b))
      return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
    return a === b ? 0 : a < b ? -1 : 1;
  },
  write: (writer, value) => writer.float(value),
  read: (reader) => reader.float(),
  readDescending: (reader) => reader.floatDescending(),
};

function property<T>(kind: Kind<T>): void {
  it(`${kind.name}: order and value survive, ascending and descending, in the middle of a key`, () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = new SeededRandom(seed);
      for (let i = 0; i < 400; i++) {
        const [a, b] = [kind.draw(random), kind.draw(random)];
        const label = `seed ${seed}: ${String(a)} and ${String(b)}`;
        const order = Math.sign(kind.compare(a, b));
        const [up, down] = [a, b].map((value) =>
          kind.write(new KeyWriter(), value).byte(9).finish(),
        );
        expect(Math.sign((up as Buffer).compare(down as Buffer)), label).toBe(order);
        const inverted = [a, b].map((value) => {
          const writer = new KeyWriter().byte(7);
          return kind.write(writer, value).invertFrom(1).byte(9).finish();
        });
        const [x, y] = inverted as [Buffer, Buffer];
        expect(Math.sign(x.compare(y)), label).toBe(0 - order);
        const reader = new KeyReader(x, 1);
        expect(kind.compare(kind.readDescending(reader), a), label).toBe(0);
        expect([reader.byte(), reader.done], label).toEqual([9, true]);
        const forward = new KeyReader(up as Buffer);
        expect(kind.compare(kind.read(forward), a), label).toBe(0);
        expect([forward.byte(), forward.done], label).toEqual([9, true]);
      }
    }
  });
}

describe('order-preserving encodings', () => {
  property(bytesKind);
  property(intKind);
  property(bigintKind);
  property(floatKind);

  it('int and bigint share one encoding', () => {
    for (const value of [0, 1, -1, 255, 256, -256, -257, 2 ** 53 - 1, -(2 ** 53) + 1]) {
      const one = new KeyWriter().int(value).finish();
      const two = new KeyWriter().bigint(BigInt(value)).finish();
      expect(one.equals(two), String(value)).toBe(true);
      expect(new KeyReader(one).bigint()).toBe(BigInt(value));
    }
    const large = new KeyWriter().bigint(2n ** 63n - 1n).finish();
    expect(() => new KeyReader(large).int()).toThrow(RangeError);
    expect(new KeyReader(large).bigint()).toBe(2n ** 63n - 1n);
    const least = new KeyWriter().bigint(-(2n ** 63n)).finish();
    expect(new KeyReader(least).bigint()).toBe(-(2n ** 63n));
  });

  it('-0 is 0', () => {
    const zero = new KeyWriter().float(0).finish();
    expect(new KeyWriter().float(-0).finish().equals(zero)).toBe(true);
    expect(Object.is(new KeyReader(zero).float(), 0)).toBe(true);
  });

  it('no encoding is the beginning of another: parts of a key cannot run together', () => {
    const random = new SeededRandom(5);
    for (let i = 0; i < 3000; i++) {
      const a = new KeyWriter().bytes(bytesKind.draw(random)).finish();
      const b = new KeyWriter().bytes(bytesKind.draw(random)).finish();
      if (!a.equals(b)) expect(b.subarray(0, a.length).equals(a)).toBe(false);
    }
  });

  it('throws nothing but RangeError on bytes that nobody wrote', () => {
    const random = new SeededRandom(6);
    const reads: ((reader: KeyReader) => unknown)[] = [
      (reader) => reader.bytes(),
      (reader) => reader.bytesDescending(),
      (reader) => reader.int(),
      (reader) => reader.bigintDescending(),
      (reader) => reader.float(),
      (reader) => reader.raw(4),
    ];
    for (let i = 0; i < 5000; i++) {
      const reader = new KeyReader(bytesKind.draw(random));
      try {
        reads[random.below(reads.length)]?.(reader);
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
      }
    }
  });
});
