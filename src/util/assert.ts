/**
 * The assertion kit. A failed assertion is a programmer error: it is never caught, the process logs
 * it and exits. Expected failures are values (see `kv/errors.ts`, `sql/errors.ts`), not assertions.
 */

export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** Throws when `condition` is false. One condition per call, so the message says which one failed. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Returns `value`, which the caller knows to be there. */
export function must<T>(value: T | undefined | null, message = 'a value was expected'): T {
  if (value === undefined || value === null) throw new AssertionError(message);
  return value;
}

/** Ends an exhaustive `switch`: a new variant becomes a compile error here. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`);
}
