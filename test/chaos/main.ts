/** `npm run chaos`: see README.md beside this file. */
import { parseArgs } from 'node:util';
import { UsageError } from '../../src/cli/options.ts';
import {
  isCheckedWorkloadName,
  isolationLevels,
  checkedWorkloadNames,
} from '../../src/sim/workloads/sql/index.ts';
import { type ChaosCluster } from './cluster.ts';
import { faultNames, planFaults } from './faults/index.ts';
import { SeededRandom } from '../../src/sim/random.ts';
import { smokeRuns, matrixRuns } from './matrix.ts';
import { complaints, passed, runChaos, type RunOptions, type RunResult } from './run.ts';
import { Folder } from './report/folder.ts';
import { rowOf, tableHead, textTable } from './report/table.ts';

const { values } = parseArgs({
  options: {
    workload: { type: 'string', default: 'list-append' },
    nemesis: { type: 'string', default: 'parts+start-kill-2' },
    isolation: { type: 'string', default: 'serializable' },
    seconds: { type: 'string', default: '60' },
    nodes: { type: 'string', default: '5' },
    seed: { type: 'string' },
    out: { type: 'string', default: '.skein/chaos' },
    matrix: { type: 'boolean', default: false },
    part: { type: 'string', default: '1/1' },
    smoke: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

let current: ChaosCluster | undefined;
process.on('exit', () => current?.abandon());
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));

try {
  process.exit(await main());
} catch (error) {
  if (!(error instanceof UsageError) && !(error instanceof RangeError)) throw error;
  console.error(error.message);
  process.exit(1);
}

async function main(): Promise<number> {
  if (values.help) {
    console.log(`--workload ${checkedWorkloadNames.join(' | ')}`);
    console.log(`--isolation ${isolationLevels.join(' | ').replaceAll(' ', '-')}`);
    console.log(
      `--nemesis none, or some of these with + between them:\n  ${faultNames.join('\n  ')}`,
    );
    return 0;
  }
  const runs = chosenRuns();
  const folder = new Folder(values.out);
  const results: RunResult[] = [];
  for (const [i, options] of runs.entries()) {
    const { workload, nemesis, seed } = options;
    console.log(`run ${i + 1} of ${runs.length}: ${workload}, ${nemesis}, seed ${seed}`);
    try {
      const result = await runChaos(options, {
        started: (cluster) => {
          current = cluster;
        },
        ended: (cluster, ended) => folder.keep(cluster, ended),
      });
      results.push(result);
      for (const line of complaints(result)) console.log(`  ${line}`);
    } catch (error) {
      // A cluster that did not come up; the other runs have theirs.
      console.log(`  the run did not come to its end: ${String(error)}`);
    }
    current = undefined;
    folder.report(results);
  }
  const ok = results.filter(passed).length;
  console.log(textTable(tableHead, results.map(rowOf)));
  console.log(`${folder.path}/report.html`);
  console.log(`${ok} passed, ${runs.length - ok} failed`);
  return ok === runs.length ? 0 : 1;
}

function chosenRuns(): RunOptions[] {
  const seed =
    values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : whole('seed', values.seed);
  const nodes = whole('nodes', values.nodes);
  if (nodes !== 3 && nodes !== 5) throw new UsageError('--nodes is 3 or 5.');
  const seconds = whole('seconds', values.seconds);
  if (values.smoke) return smokeRuns(seed);
  if (values.matrix) {
    const [part = 0, of = 0] = values.part.split('/').map((each) => whole('part', each));
    if (part < 1 || part > of) throw new UsageError('--part is 1/3, 2/3 and so on.');
    return matrixRuns(seed, seconds).filter((_, i) => i % of === part - 1);
  }
  const { workload, nemesis } = values;
  const isolation = isolationLevels.find((level) => level.replace(' ', '-') === values.isolation);
  if (!isCheckedWorkloadName(workload)) {
    throw new UsageError(`--workload is one of ${checkedWorkloadNames.join(', ')}.`);
  }
  if (isolation === undefined) {
    throw new UsageError(
      `--isolation is one of ${isolationLevels.join(', ').replaceAll(' ', '-')}.`,
    );
  }
  // A name that there is not is told before a cluster is started.
  planFaults(nemesis, new SeededRandom(seed), { nodes, durationMs: 0 });
  return [{ workload, nemesis, isolation, seconds, nodes, seed }];
}

function whole(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new UsageError(`--${name} is a whole number.`);
  return value;
}
