/** Results as rows of text. */
import { passed, type RunResult } from '../run.ts';
import { percent } from '../vacuity.ts';

export const tableHead = [
  'workload',
  'nemesis',
  'seed',
  'operations',
  'ok outside',
  'ok under faults',
  'conflicts',
  'ambiguous',
  'faults',
  'longest silence',
  'after healing',
  'verdict',
] as const;

/** What is asked of shares and times; a cell that misses it carries a mark. They are not part of the verdict: a busy machine misses them. */
const wanted = { ambiguous: 0.01, silenceAfterMs: 5_000 };

export function rowOf(result: RunResult): string[] {
  const { options, availability } = result;
  const { okOutside, okInside, conflicts, ambiguous, windows } = availability;
  const marked = (text: string, isMissed: boolean): string => (isMissed ? `${text} (!)` : text);
  return [
    options.isolation === 'serializable'
      ? options.workload
      : `${options.workload} (${options.isolation})`,
    options.nemesis,
    String(options.seed),
    String(availability.operations),
    percent(okOutside),
    percent(okInside),
    percent(conflicts),
    marked(percent(ambiguous), (ambiguous ?? 0) > wanted.ambiguous),
    String(windows.length),
    seconds(availability.longestSilenceMs),
    marked(
      seconds(availability.longestSilenceAfterMs),
      availability.longestSilenceAfterMs > wanted.silenceAfterMs,
    ),
    verdictOf(result),
  ];
}

export function verdictOf(result: RunResult): string {
  if (passed(result)) return 'passed';
  const { verdict, findings } = result;
  if (verdict.anomalies.length > 0) {
    return [...new Set(verdict.anomalies.map(({ anomaly }) => anomaly))].join(', ');
  }
  return findings.length > 0 ? 'failed' : 'vacuous';
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** Aligned, with a line under the head. */
export function textTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  return [line(head), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join(
    '\n',
  );
}
