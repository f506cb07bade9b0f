/**
 * Regular expressions that cannot block the node. JavaScript's engine backtracks: `(a+)+$` takes time exponential in
 * the length of the text, `a*b` quadratic. Where an estimate says that a match might take long, it runs under a time
 * limit of the engine; everything else runs as it is.
 */
import { createContext, Script } from 'node:vm';
import { sqlError } from '../errors.ts';

/** How long one match may hold the thread. */
const limitMs = 500;
/** Steps (characters to the power of the repetitions) that need no limit: some ten milliseconds. */
const freeSteps = 1e7;
/** A text so short needs none either: two to this power is little. */
const freeLength = 20;
/** A repetition up to this count is no repetition. */
const smallCount = 8;

/** One match at a time: what the limited script runs. */
let current: (() => RegExpExecArray | null) | undefined;
const context = createContext({ run: () => current?.() ?? null });
const script = new Script('run()');

export class BoundedRegExp extends RegExp {
  /** The power of the text's length that a match may cost; infinite: exponential. */
  readonly #degree: number;

  constructor(source: string | RegExp, flags?: string) {
    super(source, flags);
    this.#degree = degreeOf(this.source);
  }

  override exec(text: string): RegExpExecArray | null {
    if (text.length <= freeLength || text.length ** this.#degree <= freeSteps) {
      return super.exec(text);
    }
    const outer = current;
    current = () => super.exec(text);
    try {
      // `run` returns what exec() returned: it is called in another global scope, not made there.
      return script.runInContext(context, { timeout: limitMs }) as RegExpExecArray | null;
    } catch (error) {
      if (!isTimeout(error)) throw error;
      throw sqlError('statementTooComplex', 'regular expression is too complex for this text', {
        detail: `The match took longer than ${limitMs} ms.`,
      });
    } finally {
      current = outer;
    }
  }
}

/** The error comes from another global scope: not an instance of our Error. */
function isTimeout(error: unknown): boolean {
  return (
    typeof error === 'object' &&
    error !== null &&
    'code' in error &&
    error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
  );
}

/**
 * 1 for the places where a match may begin, and 1 for every open-ended repetition; infinite when a repeated group holds
 * a repetition or alternatives. `source` is JavaScript's.
 */
function degreeOf(source: string): number {
  const groups = [{ varies: false }];
  let closed: { varies: boolean } | undefined;
  let degree = 1;
  for (let i = 0; i < source.length; i++) {
    const top = groups.at(-1) ?? { varies: false };
    const group = closed;
    closed = undefined;
    switch (source[i] ?? '') {
      case '\\':
        i++;
        break;
      case '[':
        while (++i < source.length && source[i] !== ']') if (source[i] === '\\') i++;
        break;
      case '(':
        groups.push({ varies: false });
        if (source[i + 1] === '?') i++;
        break;
      case ')':
        closed = groups.length > 1 ? groups.pop() : undefined;
        if (closed?.varies === true) (groups.at(-1) ?? top).varies = true;
        break;
      case '|':
        top.varies = true;
        break;
      case '?':
        // After a quantifier it only makes that one reluctant.
        if (!/[*+}]/.test(source[i - 1] ?? '')) top.varies = true;
        break;
      case '*':
      case '+':
      case '{': {
        const count = /^\{(\d+)(?:,(\d*))?\}/.exec(source.slice(i, i + 24));
        const most =
          source[i] !== '{' || count?.[2] === '' ? Infinity : Number(count?.[2] ?? count?.[1]);
        if (most <= smallCount) {
          if (group?.varies === true) degree += most;
          break;
        }
        if (group?.varies === true) return Infinity;
        if (count === null || count[2] !== undefined) {
          degree++;
          top.varies = true;
        }
        break;
      }
    }
  }
  return degree;
}
