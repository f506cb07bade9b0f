'use strict';
// One build, seeds one after the other: `worker.cjs <dist> <first seed> <seeds> <seconds> <classes of faults> <workload>`,
// the last two perhaps empty; the workload as `skein sim --workload` takes it. Prints one line of JSON per seed; ends at the
// first one with a finding. A run that ends in an exception is a finding.
const { join } = require('path');

async function main() {
  const [dist, first, seeds, seconds, faults, workload] = process.argv.slice(2);
  const { microtaskDrain } = await import(join(dist, 'cli', 'microtask-drain.js'));
  const { runJob } = await import(join(dist, 'cli', 'sim-job.js'));
  const how = { drainMicrotasks: microtaskDrain(), trace: undefined };
  const job = { nodes: 5, faultSeconds: Number(seconds) };
  if (faults !== '') job.faults = faults.split(',');
  if (workload !== '') job.workload = workload;
  const end = Number(first) + Number(seeds);
  for (let seed = Number(first); seed < end; seed++) {
    const result = await runJob({ ...job, seed }, how).then(
      ({ problems, simulatedSeconds }) => ({ seed, simulatedSeconds, finding: problems[0] }),
      (error) => ({ seed, simulatedSeconds: 0, finding: String(error) }),
    );
    process.stdout.write(`${JSON.stringify(result)}\n`);
    if (result.finding !== undefined) break;
  }
  process.exit(0);
}

// What a bug throws behind a run's back: the parent takes the end of this process for a finding.
process.on('unhandledRejection', (error) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(2);
});
void main();
