/** `skein sim`: one simulated run, many of them on all cores, or the smallest failing part of one. */
import { availableParallelism } from 'node:os';
import {
  checkedWorkloadNames,
  formatSelection,
  isFaultName,
  isWorkloadName,
  workloadNames,
  parseSelection,
  shrink,
  type FaultName,
  type Selection,
  type SimOptions,
  type SimResult,
} from '../sim/index.ts';
import { isCheckedWorkload } from './checked-workload.ts';
import { microtaskDrain } from './microtask-drain.ts';
import { Settings, UsageError } from './options.ts';
import { runPool } from './sim-pool.ts';
import { describeHash, describeRun, SimSum } from './sim-report.ts';
import { runJob, type SimJob } from './sim-job.ts';
import { isWorkloadFile } from './workload-file.ts';

/** Runs that a shrinking may take. */
const shrinkTriesMax = 400;

export async function runSim(flags: Record<string, unknown>): Promise<void> {
  const settings = new Settings(flags);
  const seedRange = { min: 0, max: 0xffffffff };
  const given = settings.integer('seed', seedRange);
  const runs = settings.integer('runs', { min: 1, max: 1_000_000 });
  const hours = numberOf(settings.text('hours'), 'hours');
  const seed = given ?? Math.floor(Math.random() * 0xffff0000);
  const job = { seed, ...jobOf(settings) };
  if (settings.flag('shrink')) return shrinkRun(job);
  if (runs === undefined && hours === undefined) return oneRun(job, settings);
  const processes = settings.integer('jobs', { min: 1, max: 256 }) ?? availableParallelism();
  const untilMs = hours === undefined ? Number.POSITIVE_INFINITY : Date.now() + hours * 3_600_000;
  const limits = { runs: runs ?? Number.POSITIVE_INFINITY, untilMs, processes };
  return manyRuns(job, limits, settings.flag('trace'));
}

function jobOf(settings: Settings): Omit<SimJob, 'seed'> {
  const workload = settings.text('workload');
  if (
    workload !== undefined &&
    !isWorkloadName(workload) &&
    !isCheckedWorkload(workload) &&
    !isWorkloadFile(workload)
  ) {
    throw new UsageError(
      `--workload takes a file, MODULE.mjs or SCRIPT.sql, or one of ${workloadNames.join(', ')}, or ` +
        `sql:NAME[:ISOLATION] with one of ${checkedWorkloadNames.join(', ')}.`,
    );
  }
  const only = settings.text('only-faults');
  const onlyFaults = only === undefined ? undefined : parseSelection(only);
  if (only !== undefined && onlyFaults === undefined) {
    throw new UsageError('--only-faults takes numbers of faults: 3,7/4,12.');
  }
  const faults = settings.text('faults')?.split(',').map(faultName);
  return {
    nodes: settings.integer('nodes', { min: 1, max: 9 }) ?? 5,
    faultSeconds: settings.integer('seconds', { min: 1, max: 100_000 }) ?? 60,
    ...(workload === undefined ? {} : { workload }),
    ...(faults === undefined ? {} : { faults }),
    ...(onlyFaults === undefined ? {} : { onlyFaults }),
  };
}

function faultName(name: string): FaultName {
  if (!isFaultName(name)) throw new UsageError(`there is no class of faults "${name}".`);
  return name;
}

function numberOf(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!(value > 0)) throw new UsageError(`--${name} takes a number above 0.`);
  return value;
}

/** The command that repeats a run. */
function replayOf(job: SimJob, seed: number, selection?: Selection): string {
  const only = selection ?? job.onlyFaults;
  return [
    `npm run sim -- --seed ${seed} --nodes ${job.nodes} --seconds ${job.faultSeconds}`,
    job.workload === undefined ? '' : ` --workload ${job.workload}`,
    job.faults === undefined ? '' : ` --faults ${job.faults.join(',')}`,
    only === undefined ? '' : ` --only-faults ${formatSelection(only)}`,
    ' --trace',
  ].join('');
}

async function oneRun(job: SimJob, settings: Settings): Promise<void> {
  const drainMicrotasks = microtaskDrain();
  const verbose = settings.flag('verbose');
  const print = (line: string): void => console.log(line);
  const log: SimOptions['log'] = (node, line) => console.log(`            m${node + 1} ${line}`);
  console.log(`seed ${job.seed}`);
  const startMs = performance.now();
  const result = await runJob(job, {
    drainMicrotasks,
    trace: verbose || settings.flag('trace') ? print : undefined,
    ...(verbose ? { log } : {}),
  });
  const factor = result.simulatedSeconds / ((performance.now() - startMs) / 1000);
  console.log(describeRun(result, factor, replayOf(job, job.seed)));
  if (result.problems.length > 0) throw new UsageError('the simulation found problems.');
}

async function manyRuns(
  job: SimJob,
  limits: { readonly runs: number; readonly untilMs: number; readonly processes: number },
  printHashes: boolean,
): Promise<void> {
  const sum = new SimSum();
  const startMs = performance.now();
  let started = 0;
  await runPool({
    processes: Math.min(limits.processes, limits.runs),
    next() {
      if (started >= limits.runs || Date.now() >= limits.untilMs) return undefined;
      return { ...job, seed: (job.seed + started++) % 0x1_0000_0000 };
    },
    ended(end) {
      sum.add(end);
      const seed = end.kind === 'threw' ? end.seed : end.result.seed;
      const problems = end.kind === 'threw' ? [end.error] : end.result.problems;
      for (const problem of problems) console.log(`seed ${seed}: ${problem}`);
      if (problems.length > 0) console.log(`  ${replayOf(job, seed)}`);
      if (printHashes && end.kind === 'result') console.log(describeHash(end.result));
    },
  });
  console.log(sum.describe((performance.now() - startMs) / 1000, limits.processes));
  if (sum.failed > 0) throw new UsageError('the simulation found problems.');
}

async function shrinkRun(job: SimJob): Promise<void> {
  const drainMicrotasks = microtaskDrain();
  const run = (onlyFaults: Selection): Promise<SimResult> =>
    runJob({ ...job, onlyFaults }, { drainMicrotasks, trace: undefined });
  const whole = await runJob(job, { drainMicrotasks, trace: undefined });
  const [problem] = whole.problems;
  if (problem === undefined) throw new UsageError(`seed ${job.seed} does not fail.`);
  console.log(`seed ${job.seed}, ${whole.schedule.length} faults: ${problem}`);
  const ids = whole.schedule.map(({ id }) => id);
  const smallest = await shrink(ids, shrinkTriesMax, async (selection) => {
    const { problems } = await run(selection);
    if (problems.length === 0) return false;
    console.log(`  fails with ${formatSelection(selection) || 'no fault'}`);
    return true;
  });
  const { schedule, problems } = await run(smallest);
  console.log('the smallest that fails:');
  for (const { text } of schedule) console.log(`  ${text}`);
  for (const each of problems) console.log(`  PROBLEM ${each}`);
  console.log(`  ${replayOf(job, job.seed, smallest)}`);
}
