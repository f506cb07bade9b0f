/**
 * Whole clusters in virtual time, as `npm run sim` runs them: on two processes. SIM_SEED and SIM_RUNS choose other
 * seeds; a failing one is printed with the command that repeats it. 200 seeds take 7 minutes on two cores and 17 on slow ones: the
 * limits are for a program that hangs.
 *
 * The first seeds run in this process, too: the same seed gives the same run, to the last event.
 */
import { resolve } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { run, type Finished } from '../drivers/programs.ts';
import { simulate } from './harness.ts';

const firstSeed = Number(process.env['SIM_SEED'] ?? 1000);
const runs = Number(process.env['SIM_RUNS'] ?? 200);
const seconds = 60;
const timeoutMs = 3_000_000;
const program = resolve(import.meta.dirname, '../../bin/skein.cjs');
const repeated = Array.from({ length: Math.min(20, runs) }, (_, i) => firstSeed + i);

let all: Promise<Finished>;
/** Of the runs in this process, by seed: trace hash and events. */
const traces = new Map<number, string>();

beforeAll(() => {
  const args = { seed: firstSeed, runs, seconds, jobs: 2 };
  const flags = Object.entries(args).flatMap(([name, value]) => [`--${name}`, String(value)]);
  all = run(process.execPath, [program, 'sim', ...flags, '--trace'], { timeoutMs });
});

it.each(repeated)(
  'seed %i in this process',
  async (seed) => {
    const result = await simulate(seed, seconds);
    expect(result.problems).toEqual([]);
    traces.set(seed, `trace hash ${result.traceHash}, events ${result.events}`);
  },
  300_000,
);

it(
  `seeds ${firstSeed} to ${firstSeed + runs - 1}, 60 simulated seconds each: no violation`,
  async () => {
    const { status, stdout: output } = await all;
    expect(status, output).toBe(0);
    const operations = /range operations (\d+)/.exec(output)?.[1];
    expect(Number(operations), output).toBeGreaterThanOrEqual(10 * runs);
    const [, ok, failed, vacuous] = /(\d+) ok, (\d+) failed, (\d+) vacuous/.exec(output) ?? [];
    expect(Number(ok)).toBe(runs);
    expect(Number(failed)).toBe(0);
    // A run in which little happened proves little: there are few of them.
    expect(Number(vacuous), output).toBeLessThanOrEqual(Math.ceil(runs / 20));
  },
  timeoutMs,
);

it('the same seed gave the same run, and each seed another one', async () => {
  const { stdout: output } = await all;
  const traceOf = (seed: number): string | undefined =>
    new RegExp(`^seed ${seed}: (trace hash .*)$`, 'mu').exec(output)?.[1];
  expect(repeated.map((seed) => [seed, traceOf(seed)])).toEqual([...traces]);
  expect(new Set(traces.values()).size).toBe(repeated.length);
});
