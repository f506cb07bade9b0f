/**
 * What the operations of a workload look like, said once: from a shape follow the type of an operation and the
 * decoder that reads it back from a file.
 */

export type Json = null | boolean | number | string | readonly Json[];

/** Gives the value back as what it is; throws a TypeError when it is something else. */
export type Shape<T extends Json = Json> = (value: Json) => T;

export const int: Shape<number> = (value) => {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw wrong('an integer', value);
  return value;
};

export const bool: Shape<boolean> = (value) => {
  if (typeof value !== 'boolean') throw wrong('true or false', value);
  return value;
};

export const text: Shape<string> = (value) => {
  if (typeof value !== 'string') throw wrong('a text', value);
  return value;
};

export function orNull<T extends Json>(shape: Shape<T>): Shape<T | null> {
  return (value) => (value === null ? null : shape(value));
}

export function listOf<T extends Json>(item: Shape<T>): Shape<readonly T[]> {
  return (value) => {
    if (!isList(value)) throw wrong('a list', value);
    return value.map(item);
  };
}

export function tuple<T extends readonly Json[]>(
  ...items: { [I in keyof T]: Shape<T[I]> }
): Shape<Readonly<T>> {
  return (value) => {
    if (!isList(value) || value.length !== items.length) {
      throw wrong(`${items.length} values`, value);
    }
    return items.map((item, i) => item(value[i] ?? null)) as readonly Json[] as T;
  };
}

/** An operation as histories in files have it: the name of a function, and a value. */
export interface Written {
  readonly f: string;
  readonly value: Json;
}

export interface Codec<What> {
  encode(what: What): Written;
  /** Throws a TypeError. */
  decode(written: Written): What;
}

type Shapes = Readonly<Record<string, Shape>>;

/** One of the operations with these shapes. */
export type OperationOf<S extends Shapes> = {
  [K in keyof S & string]: { readonly kind: K; readonly value: ReturnType<S[K]> };
}[keyof S & string];

export function operations<S extends Shapes>(shapes: S): Codec<OperationOf<S>> {
  return {
    encode: ({ kind, value }) => ({ f: kind, value }),
    decode({ f, value }) {
      const shape = Object.hasOwn(shapes, f) ? shapes[f] : undefined;
      if (shape === undefined) throw new TypeError(`no operation is called ${f}`);
      return { kind: f, value: shape(value) } as OperationOf<S>;
    },
  };
}

export function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}

function wrong(wanted: string, value: Json): TypeError {
  return new TypeError(`${JSON.stringify(value)} is not ${wanted}`);
}
