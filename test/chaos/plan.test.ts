/** What a nemesis is going to do is known before: drawn from the seed, by names that exist. */
import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../src/sim/random.ts';
import { faultNames, planFaults, type Plan } from './faults/index.ts';
import { combinedNemeses, matrixRuns, smokeRuns, specialNemeses } from './matrix.ts';

function planned(nemesis: string, seed: number): Plan {
  return planFaults(nemesis, new SeededRandom(seed), { nodes: 5, durationMs: 60_000 });
}

const shown = ({ lanes }: Plan): unknown =>
  lanes.map((lane) => lane.map(({ name, afterMs, fault }) => [name, afterMs, fault.drawn]));

describe('planFaults', () => {
  it('draws the same from the same seed, and something else from another one', () => {
    const nemesis = 'everything+parts+start-kill-2';
    expect(shown(planned(nemesis, 7))).toEqual(shown(planned(nemesis, 7)));
    expect(shown(planned(nemesis, 7))).not.toEqual(shown(planned(nemesis, 8)));
  });

  it('gives each name a lane of its own that does not run out', () => {
    const { lanes } = planned('majority-ring+split', 1);
    expect(lanes.map((lane) => [...new Set(lane.map(({ name }) => name))])).toEqual([
      ['majority-ring'],
      ['split'],
    ]);
    for (const lane of lanes) {
      expect(lane.reduce((sum, { afterMs }) => sum + afterMs, 0)).toBeGreaterThan(60_000);
    }
  });

  it('plans nothing for none, and refuses a name that there is not', () => {
    expect(planned('none', 1).lanes).toEqual([]);
    expect(() => planned('parts+flood', 1)).toThrow('there is no fault "flood"');
  });

  it('can draw every fault in a cluster of three and of five', () => {
    for (const name of faultNames) {
      for (const nodes of [3, 5]) {
        const scene = { nodes, durationMs: 10_000 };
        for (const { fault } of planFaults(name, new SeededRandom(3), scene).lanes.flat()) {
          const { nodes: struck = [] } = fault.drawn as { nodes?: readonly number[] };
          expect(struck.every((node) => node >= 0 && node < nodes)).toBe(true);
          expect(new Set(struck).size).toBe(struck.length);
        }
      }
    }
  });

  it('kills two of five, and one of three: a majority of the nodes stays', () => {
    for (const nodes of [3, 5]) {
      const scene = { nodes, durationMs: 10_000 };
      const [lane = []] = planFaults('start-kill-2', new SeededRandom(1), scene).lanes;
      for (const { fault } of lane) {
        expect(fault.drawn).toMatchObject({ nodes: { length: nodes === 5 ? 2 : 1 } });
      }
    }
  });
});

describe('the matrix', () => {
  it('names faults that there are', () => {
    for (const nemesis of [...combinedNemeses, ...specialNemeses]) {
      expect(() => planned(nemesis, 1)).not.toThrow();
    }
  });

  it('has a seed of its own for every run', () => {
    for (const runs of [matrixRuns(100, 60), smokeRuns(100)]) {
      expect(runs.map(({ seed }) => seed)).toEqual(runs.map((_, i) => 100 + i));
    }
  });
});
