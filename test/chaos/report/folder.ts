/** Where runs leave what they saw: histories, journals, and of failed ones the logs of the nodes. */
import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { toEdn, toJsonLines } from '../../../src/sim/checkers/history-files.ts';
import { type ChaosCluster } from '../cluster.ts';
import { passed, type RunResult } from '../run.ts';
import { htmlReport } from './html.ts';
import { rowOf, tableHead, textTable } from './table.ts';

export class Folder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
    mkdirSync(path, { recursive: true });
  }

  /** Before the cluster's own files are removed. */
  keep(cluster: ChaosCluster, result: RunResult): void {
    const { workload, nemesis, seed } = result.options;
    const folder = join(this.path, `${workload}-${nemesis}-${seed}`);
    mkdirSync(folder, { recursive: true });
    const events = result.workload.events();
    writeFileSync(join(folder, 'history.jsonl'), toJsonLines(events));
    writeFileSync(join(folder, 'history.edn'), toEdn(events));
    const journal = result.journal.map((entry) => `${JSON.stringify(entry)}\n`).join('');
    writeFileSync(join(folder, 'nemesis.jsonl'), journal);
    const { options, verdict, findings, vacuous, availability } = result;
    const summary = { options, verdict, findings, vacuous, availability };
    writeFileSync(join(folder, 'result.json'), `${JSON.stringify(summary, null, 2)}\n`);
    if (passed(result)) return;
    for (const name of readdirSync(cluster.folder).filter((file) => file.endsWith('.log'))) {
      cpSync(join(cluster.folder, name), join(folder, name));
    }
  }

  report(results: readonly RunResult[]): void {
    writeFileSync(join(this.path, 'report.html'), htmlReport(results));
    writeFileSync(join(this.path, 'report.txt'), `${textTable(tableHead, results.map(rowOf))}\n`);
  }
}
