/** How operations are shown in findings. */
import { type Finding, type Recorded } from './history.ts';
import { isList, type Codec, type Json } from './shape.ts';

/** Where a checker notes what it found, each with the operations that show it. */
export function findingsAmong<What>(codec: Codec<What>): {
  readonly findings: Finding[];
  readonly found: (anomaly: string, ...shown: readonly (Recorded<What> | undefined)[]) => void;
} {
  const findings: Finding[] = [];
  return {
    findings,
    found(anomaly, ...shown) {
      const text = shown.map((each) => describeOperation(each, codec)).join('; ');
      findings.push({ anomaly, text });
    },
  };
}

/** `transfer [0 1 5] (process 1, ok, from 1204 ms)` */
export function describeOperation<What>(
  operation: Recorded<What> | undefined,
  codec: Codec<What>,
): string {
  if (operation === undefined) return 'nobody';
  const { process, outcome, invokedMs, what } = operation;
  const { f, value } = codec.encode(what);
  const when = `process ${process}, ${outcome}, from ${Math.round(invokedMs)} ms`;
  return `${f} ${describeValue(value)} (${when})`;
}

const shownItems = 24;

function describeValue(value: Json): string {
  if (value === null) return 'nothing';
  if (!isList(value)) return String(value);
  const shown = value.slice(0, shownItems).map(describeValue);
  if (value.length > shownItems) shown.push(`and ${value.length - shownItems} more`);
  return `[${shown.join(' ')}]`;
}
