/** What clients noticed of the faults: shares of outcomes, and how long no write was acknowledged. */
import { type Attempt } from './clients.ts';
import { isOutage } from './faults/index.ts';
import { type JournalEntry } from './nemesis.ts';

export interface Window {
  readonly name: string;
  /** When somebody set out to do it, and when it had struck. */
  readonly beganMs: number;
  readonly fromMs: number;
  readonly toMs: number;
  /** Longest time without an acknowledged write that lies within it. */
  readonly silenceMs: number;
  /** From its end, and that of all outages that hold then, to the next acknowledged write or outage. */
  readonly silenceAfterMs: number;
}

export interface Availability {
  readonly operations: number;
  /** Shares from 0 to 1; undefined where there were none. Of the operations that did not conflict with another one. */
  readonly okInside: number | undefined;
  readonly okOutside: number | undefined;
  /** Of all. */
  readonly ambiguous: number | undefined;
  readonly conflicts: number | undefined;
  readonly windows: readonly Window[];
  readonly longestSilenceMs: number;
  readonly longestSilenceAfterMs: number;
}

/** `endMs`: when the clients ended. A fault that never healed lasted until then. */
export function availabilityOf(
  attempts: readonly Attempt[],
  journal: readonly JournalEntry[],
  endMs: number,
): Availability {
  const acknowledged = attempts
    .filter(({ outcome, isWrite }) => outcome === 'ok' && isWrite)
    .map(({ endedMs }) => endedMs)
    .sort((a, b) => a - b);
  const spans = journal
    .filter(({ struck }) => struck.length > 0)
    .map(({ name, beganMs, struck, healedMs }) => ({
      name,
      beganMs,
      fromMs: struck[0]?.atMs ?? 0,
      toMs: Math.min(healedMs ?? endMs, endMs),
    }));
  const outages = spans.filter(({ name }) => isOutage(name));
  const windows = spans.map((span): Window => {
    const { fromMs, toMs } = span;
    const silenceMs = longestSilence(acknowledged, fromMs, toMs);
    const wholeMs = wholeFrom(toMs, outages);
    const strikes = outages.map(({ beganMs }) => beganMs).filter((atMs) => atMs >= wholeMs);
    const next = acknowledged.find((atMs) => atMs >= wholeMs) ?? endMs;
    return { ...span, silenceMs, silenceAfterMs: Math.min(next, ...strikes) - wholeMs };
  });
  const isInside = (attempt: Attempt): boolean =>
    windows.some(({ beganMs, toMs }) => attempt.beganMs < toMs && attempt.endedMs > beganMs);
  const served = attempts.filter(({ isConflict }) => !isConflict);
  const isOk = ({ outcome }: Attempt): boolean => outcome === 'ok';
  return {
    operations: attempts.length,
    okInside: share(served.filter(isInside), isOk),
    okOutside: share(
      served.filter((attempt) => !isInside(attempt)),
      isOk,
    ),
    ambiguous: share(attempts, ({ outcome }) => outcome === 'info'),
    conflicts: share(attempts, ({ isConflict }) => isConflict),
    windows,
    longestSilenceMs: Math.max(0, ...windows.map(({ silenceMs }) => silenceMs)),
    longestSilenceAfterMs: Math.max(0, ...windows.map(({ silenceAfterMs }) => silenceAfterMs)),
  };
}

/** The first time from `atMs` on at which no outage holds. */
function wholeFrom(
  atMs: number,
  outages: readonly { readonly beganMs: number; readonly toMs: number }[],
): number {
  const ends = outages
    .filter(({ beganMs, toMs }) => beganMs < atMs && toMs > atMs)
    .map(({ toMs }) => toMs);
  return ends.length === 0 ? atMs : wholeFrom(Math.max(...ends), outages);
}

/** `times` ascending. */
function longestSilence(times: readonly number[], fromMs: number, toMs: number): number {
  let lastMs = fromMs;
  let longestMs = 0;
  for (const atMs of times) {
    if (atMs <= fromMs) continue;
    longestMs = Math.max(longestMs, Math.min(atMs, toMs) - lastMs);
    if (atMs >= toMs) return longestMs;
    lastMs = atMs;
  }
  return Math.max(longestMs, toMs - lastMs);
}

function share(
  attempts: readonly Attempt[],
  is: (attempt: Attempt) => boolean,
): number | undefined {
  return attempts.length === 0 ? undefined : attempts.filter(is).length / attempts.length;
}
