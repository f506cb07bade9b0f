'use strict';
// One build, seeds one after the other: `worker.cjs <dist> <first seed> <seeds> <seconds> <classes of faults> <workload>`,
// the last two perhaps empty. Prints one line of JSON per seed; ends at the first one with a finding. A run that ends in
// an exception is a finding.
const { join } = require('path');

async function main() {
  const [dist, first, seeds, seconds, faults, workload] = process.argv.slice(2);
  const { microtaskDrain } = await import(join(dist, 'cli', 'microtask-drain.js'));
  const { runSimulation } = await import(join(dist, 'sim', 'index.js'));
  const drainMicrotasks = microtaskDrain();
  const options = { nodes: 5, faultSeconds: Number(seconds), drainMicrotasks, trace: undefined };
  if (faults !== '') options.faults = faults.split(',');
  if (workload !== '') options.workload = workload;
  let seed = Number(first);
  const end = seed + Number(seeds);
  // Not within a promise job: see microtaskDrain.
  const next = () => {
    let result;
    try {
      const { problems, simulatedSeconds } = runSimulation({ ...options, seed });
      result = { seed, simulatedSeconds, finding: problems[0] };
    } catch (error) {
      result = { seed, simulatedSeconds: 0, finding: String(error) };
    }
    process.stdout.write(`${JSON.stringify(result)}\n`);
    if (result.finding !== undefined || ++seed >= end) process.exit(0);
    setImmediate(next);
  };
  setImmediate(next);
}

// What a bug throws behind a run's back: the parent takes the end of this process for a finding.
process.on('unhandledRejection', (error) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(2);
});
void main();
