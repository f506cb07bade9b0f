/** Faults as data: the schedule of a run is known before it, parts of it can be left out, and shrinking finds the smallest. */
import { expect, it } from 'vitest';
import { faultClassOf, faultNames } from '../../src/sim/faults/classes.ts';
import { describeFault, drawSchedule, select } from '../../src/sim/faults/schedule.ts';
import {
  formatSelection,
  parseSelection,
  SeededRandom,
  shrink,
  type Selection,
} from '../../src/sim/index.ts';
import { simulate } from './harness.ts';

const scene = { machines: 5, lateMachines: 1 };

it('the same seed draws the same faults, of every class', () => {
  const options = { scene, durationMs: 600_000, everyMs: 500, classes: faultNames };
  const lines = drawSchedule(new SeededRandom(1), options).map(describeFault);
  expect(drawSchedule(new SeededRandom(1), options).map(describeFault)).toEqual(lines);
  for (const name of faultNames)
    expect(lines.some((line) => line.includes(` ${name} `))).toBe(true);
});

it('times of a fault are made shorter', () => {
  const drawn = faultClassOf('pause').draw(new SeededRandom(1), scene);
  const duration = (shrunk: number): number =>
    Number(/"durationMs":([\d.]+)/.exec(drawn?.describe(shrunk) ?? '')?.[1]);
  expect(duration(0.25)).toBeCloseTo(duration(1) / 4, 2);
});

it('a selection is written as it is read', () => {
  const selection = parseSelection('3,7/4,12');
  expect([...(selection ?? [])]).toEqual([
    [3, 1],
    [7, 0.25],
    [12, 1],
  ]);
  expect(formatSelection(selection ?? new Map())).toBe('3,7/4,12');
  expect(parseSelection('3,x')).toBeUndefined();
  expect(parseSelection('3/0')).toBeUndefined();
});

it('shrinking finds the faults that are needed, and how long they have to be', async () => {
  const ids = Array.from({ length: 40 }, (_, i) => i + 1);
  const fails = async (selection: Selection): Promise<boolean> =>
    selection.has(7) && (selection.get(23) ?? 0) >= 0.1;
  expect(formatSelection(await shrink(ids, 400, fails))).toBe('7/64,23/4');
});

it('without its faults a run goes on undisturbed', async () => {
  const whole = await simulate(5, 10);
  const none = await simulate(5, 10, { onlyFaults: new Map() });
  const [first] = whole.schedule;
  const one = await simulate(5, 10, { onlyFaults: new Map([[first?.id ?? 0, 1]]) });
  expect(none.schedule).toEqual([]);
  expect(none.faults).toEqual({});
  expect(one.schedule).toEqual([first]);
  expect([...none.problems, ...one.problems]).toEqual([]);
  expect(select([], undefined)).toEqual([]);
}, 60_000);
