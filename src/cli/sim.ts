/** `skein sim`: one simulated run, or many with `--runs`. */
import { setFlagsFromString } from 'node:v8';
import { runInThisContext } from 'node:vm';
import { runSimulation, workloadNames } from '../sim/index.ts';
import { Settings, UsageError } from './options.ts';
import { isWorkloadFile, openWorkloadFile } from './workload-file.ts';

/**
 * Runs all promise jobs at once (V8's own checkpoint), so that one call drives a whole simulated run.
 * Works only outside of promise jobs.
 */
export function microtaskDrain(): () => void {
  setFlagsFromString('--allow-natives-syntax');
  const drain = runInThisContext('(() => { %PerformMicrotaskCheckpoint(); })') as () => void;
  // A function is compiled when it is first called: that has to be while the syntax is allowed.
  drain();
  setFlagsFromString('--no-allow-natives-syntax');
  return drain;
}

export async function runSim(flags: Record<string, unknown>): Promise<void> {
  const settings = new Settings(flags);
  const seedRange = { min: 0, max: 0xffffffff };
  const given = settings.integer('seed', seedRange);
  const runs = settings.integer('runs', { min: 1, max: 1_000_000 }) ?? 1;
  const nodes = settings.integer('nodes', { min: 1, max: 9 }) ?? 5;
  const workload = settings.text('workload');
  const shipped = workloadNames.find((name) => name === workload);
  const isFile = workload !== undefined && shipped === undefined;
  if (isFile && !isWorkloadFile(workload)) {
    throw new UsageError(
      `--workload takes a file, MODULE.mjs or SCRIPT.sql, or one of ${workloadNames.join(', ')}.`,
    );
  }
  const faultSeconds = settings.integer('seconds', { min: 1, max: 100_000 }) ?? 60;
  const trace = settings.flag('trace') || settings.flag('verbose');
  const drainMicrotasks = microtaskDrain();
  let failed = 0;
  for (let i = 0; i < runs; i++) {
    const seed = given === undefined ? Math.floor(Math.random() * 0xffffffff) : given + i;
    console.log(`seed ${seed}`);
    const file = isFile ? await openWorkloadFile(workload) : undefined;
    const chosen = file?.workload ?? shipped;
    const startMs = performance.now();
    // Not within a promise job: there the microtask checkpoint does nothing.
    const result = await new Promise<ReturnType<typeof runSimulation>>((resolve, reject) => {
      setImmediate(() => {
        try {
          resolve(
            runSimulation({
              seed,
              nodes,
              faultSeconds,
              ...(chosen === undefined ? {} : { workload: chosen }),
              drainMicrotasks,
              trace: trace ? (line) => console.log(line) : undefined,
              ...(settings.flag('verbose')
                ? {
                    log: (node: number, line: string) =>
                      console.log(`            m${node + 1} ${line}`),
                  }
                : {}),
            }),
          );
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        } finally {
          file?.close();
        }
      });
    });
    const { counts } = result;
    const factor = result.simulatedSeconds / ((performance.now() - startMs) / 1000);
    console.log(
      [
        `  ${result.configuration}`,
        `  writes ${counts.writes}, reads ${counts.reads}, failed ${counts.failed}, ambiguous ${counts.ambiguous}; ` +
          `faults ${result.faults}, crashes ${result.crashes} (${result.diskStops} by disk errors), ranges ${result.ranges}, events ${result.events}`,
        `  ${result.simulatedSeconds.toFixed(0)} simulated seconds at ${factor.toFixed(1)} times real time`,
        ...result.problems.map((problem) => `  PROBLEM ${problem}`),
        `  trace hash ${result.traceHash} ${result.problems.length === 0 ? 'ok' : `FAILED; replay: npm run sim -- --seed ${seed} --nodes ${nodes}${workload === undefined ? '' : ` --workload ${workload}`} --seconds ${faultSeconds} --trace`}`,
      ].join('\n'),
    );
    if (result.problems.length > 0) failed++;
  }
  if (runs > 1) console.log(`${runs - failed} runs ok, ${failed} failed`);
  if (failed > 0) throw new UsageError('the simulation found problems.');
}
