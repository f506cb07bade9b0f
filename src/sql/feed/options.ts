/** The options of a changefeed: what they are called, what they mean, which of them exclude each other. */
import { type Timestamp } from '../../kv/index.ts';
import { sqlError } from '../errors.ts';
import { type EvalContext } from '../functions/registry-types.ts';
import { type ChangefeedStatement } from '../parse/index.ts';
import { intervalMicros, pastTimestamp } from '../session/as-of.ts';

export interface ChangefeedOptions {
  /** Begin behind it; undefined: now. */
  readonly cursor: Timestamp | undefined;
  /** The rows as they are where the feed begins come first. */
  readonly initialScan: boolean;
  /** Least time between two resolved timestamps in milliseconds; undefined: none are told. */
  readonly resolvedEveryMs: number | undefined;
  /** Messages say when the change was committed. */
  readonly updated: boolean;
  /** They say what was there before. */
  readonly diff: boolean;
  /** They repeat the key. */
  readonly keyInValue: boolean;
  readonly envelope: 'wrapped' | 'key_only';
}

const known = new Set([
  'cursor',
  'diff',
  'envelope',
  'format',
  'initial_scan',
  'key_in_value',
  'no_initial_scan',
  'resolved',
  'updated',
]);

/** Throws 22023 for what is unknown, has no sense, or excludes something else. */
export function changefeedOptions(
  { options }: ChangefeedStatement,
  context: { readonly now: Timestamp; readonly eval: EvalContext },
): ChangefeedOptions {
  const given = new Map<string, string | undefined>();
  for (const { name, value } of options) {
    if (!known.has(name)) throw invalid(`invalid option "${name}"`);
    if (given.has(name)) throw invalid(`option "${name}" is given more than once`);
    given.set(name, value);
  }
  const flag = (name: string): boolean => {
    if (given.get(name) !== undefined) throw invalid(`option "${name}" does not take a value`);
    return given.has(name);
  };
  const value = (name: string): string | undefined => {
    const text = given.get(name);
    if (text === undefined && given.has(name)) throw invalid(`option "${name}" requires a value`);
    return text;
  };
  const format = value('format') ?? 'json';
  if (format !== 'json') throw invalid(`unknown format: ${format}`);
  const envelope = value('envelope') ?? 'wrapped';
  if (envelope !== 'wrapped' && envelope !== 'key_only') {
    throw invalid(`unknown envelope: ${envelope}`);
  }
  const scans = flag('initial_scan');
  const scansNot = flag('no_initial_scan');
  if (scans && scansNot) throw invalid('cannot specify both initial_scan and no_initial_scan');
  const [diff, keyInValue] = [flag('diff'), flag('key_in_value')];
  for (const [name, isGiven] of Object.entries({ diff, key_in_value: keyInValue })) {
    if (isGiven && envelope !== 'wrapped') {
      throw invalid(`${name} is only usable with envelope=wrapped`);
    }
  }
  const cursor = value('cursor');
  return {
    cursor: cursor === undefined ? undefined : pastTimestamp(cursor, context.now, context.eval),
    initialScan: scans || (!scansNot && cursor === undefined),
    resolvedEveryMs: given.has('resolved')
      ? resolvedEveryMs(given.get('resolved'), context.eval)
      : undefined,
    updated: flag('updated'),
    diff,
    keyInValue,
    envelope,
  };
}

function resolvedEveryMs(text: string | undefined, context: EvalContext): number {
  if (text === undefined) return 0;
  const micros = intervalMicros(text, context);
  if (micros < 0) throw invalid(`negative durations are not accepted: resolved='${text}'`);
  return micros / 1000;
}

function invalid(message: string): Error {
  return sqlError('invalidParameterValue', message);
}
