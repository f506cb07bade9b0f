/** The report as one page without anything from elsewhere: the table, and per run a picture of it and what was found. */
import { complaints, passed, type RunResult } from '../run.ts';
import { rowOf, seconds, tableHead } from './table.ts';

const style = `
  body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; color: #1a1a1a }
  table { border-collapse: collapse; margin: 1rem 0 }
  th, td { padding: .2rem .7rem; text-align: left; border-bottom: 1px solid #ddd; white-space: nowrap }
  .bad { color: #b00020 } .good { color: #0a7d32 }
  pre { white-space: pre-wrap; background: #f6f6f6; padding: .6rem }
  svg { display: block; background: #fafafa; border: 1px solid #ddd }
  svg text { font-size: 10px }`;

export function htmlReport(results: readonly RunResult[]): string {
  const failed = results.filter((result) => !passed(result)).length;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Chaos report</title><style>${style}</style></head><body>
<h1>Chaos: ${results.length - failed} passed, ${failed} failed</h1>
${table(tableHead, results.map(linkedRow))}
${results.map(section).join('\n')}
</body></html>
`;
}

function linkedRow(result: RunResult, i: number): string[] {
  const [workload = '', ...cells] = rowOf(result).map(escape);
  const verdict = `<span class="${passed(result) ? 'good' : 'bad'}">${cells.pop() ?? ''}</span>`;
  return [`<a href="#run${i}">${workload}</a>`, ...cells, verdict];
}

function section(result: RunResult, i: number): string {
  const { options, verdict, availability } = result;
  const { workload, nemesis, isolation, seed, seconds: length, nodes } = options;
  const level = isolation.replace(' ', '-');
  const command = `npm run chaos -- --workload ${workload} --nemesis ${nemesis} --isolation ${level} --seconds ${length} --nodes ${nodes} --seed ${seed}`;
  const found = complaints(result);
  const counts = Object.entries(verdict.counts).map(([kind, { ok, fail, info }]) =>
    [kind, ok, fail, info].map((cell) => escape(String(cell))),
  );
  const codes = new Map<string, number>();
  for (const { error } of result.workload.events()) {
    if (error !== undefined) codes.set(error, (codes.get(error) ?? 0) + 1);
  }
  const failures = [...codes].sort((a, b) => b[1] - a[1]);
  const faults = availability.windows.map(({ name, fromMs, toMs, silenceMs, silenceAfterMs }) =>
    [name, seconds(fromMs), seconds(toMs), seconds(silenceMs), seconds(silenceAfterMs)].map(escape),
  );
  return `<h2 id="run${i}">${escape(workload)} under ${escape(nemesis)}</h2>
<pre>${escape(command)}</pre>
${picture(result)}
${found.length === 0 ? '' : `<pre class="bad">${escape(found.join('\n'))}</pre>`}
${table(['operation', 'ok', 'fail', 'info'], counts)}
${table(
  ['failed with', 'operations'],
  failures.map(([code, count]) => [escape(code), String(count)]),
)}
${table(['fault', 'from', 'to', 'longest without a write', 'after healing'], faults)}`;
}

const width = 1_000;
const height = 120;
const laneHeight = 14;

/** Acknowledged writes per second as bars; below them the faults, one line per name. */
function picture({ attempts, availability, endMs }: RunResult): string {
  const perSecond: number[] = Array.from({ length: Math.ceil(endMs / 1000) }, () => 0);
  for (const { outcome, isWrite, endedMs } of attempts) {
    const second = Math.floor(endedMs / 1000);
    if (outcome === 'ok' && isWrite) perSecond[second] = (perSecond[second] ?? 0) + 1;
  }
  const most = Math.max(1, ...perSecond);
  const x = (ms: number): number => Math.round((ms / endMs) * width);
  const bars = perSecond.map((count, second) => {
    const tall = Math.round((count / most) * height);
    return `<rect x="${x(second * 1000)}" y="${height - tall}" width="${Math.max(1, x(1000) - 1)}" height="${tall}" fill="#4a7ebb"/>`;
  });
  const names = [...new Set(availability.windows.map(({ name }) => name))];
  const faults = availability.windows.map(({ name, fromMs, toMs }) => {
    const y = height + 4 + names.indexOf(name) * laneHeight;
    return `<rect x="${x(fromMs)}" y="${y}" width="${Math.max(2, x(toMs) - x(fromMs))}" height="${laneHeight - 3}" fill="#d9822b"/>`;
  });
  const labels = names.map(
    (name, i) => `<text x="2" y="${height + 13 + i * laneHeight}">${escape(name)}</text>`,
  );
  const tall = height + 8 + names.length * laneHeight;
  return `<svg viewBox="0 0 ${width} ${tall}" width="${width}" height="${tall}">
<text x="2" y="10">${most} acknowledged writes per second</text>
${[...bars, ...faults, ...labels].join('\n')}
</svg>`;
}

/** Cells are HTML. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const row = (cells: readonly string[], tag: string): string =>
    `<tr>${cells.map((cell) => `<${tag}>${cell}</${tag}>`).join('')}</tr>`;
  return `<table>${row(head, 'th')}${rows.map((cells) => row(cells, 'td')).join('\n')}</table>`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
