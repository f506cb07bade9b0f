/** Copies and keys of whole object graphs: the core as a value, for the explorer (`search.ts`). */

/** murmur3's finalizer. */
export function mix(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}

/** A structural copy with classes and shared references; functions, buffers and entries are not changed by anyone and stay. */
export function cloneOf<T>(root: T): T {
  const copies = new Map<object, object>();
  const copy = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    if (Buffer.isBuffer(value) || Buffer.isBuffer(Reflect.get(value, 'data'))) return value;
    const known = copies.get(value);
    if (known !== undefined) return known;
    if (Array.isArray(value)) {
      const list: unknown[] = [];
      copies.set(value, list);
      for (const item of value) list.push(copy(item));
      return list;
    }
    if (value instanceof Map) {
      const map = new Map<unknown, unknown>();
      copies.set(value, map);
      for (const [key, item] of value) map.set(key, copy(item));
      return map;
    }
    const made: Record<string, unknown> = Object.create(Object.getPrototypeOf(value));
    copies.set(value, made);
    for (const [name, item] of Object.entries(value)) made[name] = copy(item);
    return made;
  };
  return copy(root) as T;
}

/** Not part of a state: settings, and counters of what the models do not have (elections by tick). */
const settings = ['settings', 'host', 'electionElapsed', 'electionTimeout', 'silentTicks'];
/** Counters that matter only where entries are held back. */
const holding = ['loggedBytes', 'sentBytes'];
const ignored = new Set([...settings, ...holding]);
const ignoredWithHolding = new Set(settings);

/** Equal for values of equal content; the order in a Map and what a ByteWindow has released do not count. */
export function keyOf(value: unknown, holds: boolean): string {
  if (typeof value !== 'object' || value === null) return String(value);
  if (Buffer.isBuffer(value)) return `"${value.toString('latin1')}"`;
  if (Array.isArray(value)) return `[${value.map((item) => keyOf(item, holds)).join()}]`;
  if (value instanceof Map) {
    return `{${[...value]
      .map(([key, item]) => `${String(key)}=${keyOf(item, holds)}`)
      .sort()
      .join()}}`;
  }
  const head: unknown = Reflect.get(value, 'head');
  let text = '{';
  for (const [name, item] of Object.entries(value)) {
    if ((holds ? ignoredWithHolding : ignored).has(name) || name === 'head') continue;
    const window: unknown = item;
    const shown = Array.isArray(window) && typeof head === 'number' ? window.slice(head) : window;
    text += `${name}:${keyOf(shown, holds)};`;
  }
  return `${text}}`;
}
