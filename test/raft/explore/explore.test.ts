/**
 * Explores every model in breadth, walks deep into it at random, and wants every planted bug found. `npm run explore` goes further and prints
 * what it saw (EXPLORE_STATES: states of each model).
 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { models } from './models.ts';
import { plants } from './plants.ts';
import { SeededRandom } from '../../random.ts';
import { type Exploration, Explorer } from './search.ts';

const long = process.env['EXPLORE_STATES'];
const limit = Number(long ?? 10_000);
const walks = long === undefined ? 40 : 5000;
const walkSteps = 100;

function report(name: string, result: Exploration, ms: number): void {
  const { states, transitions, depth, complete, locals, runs, leaders, commits } = result;
  process.stdout.write(
    `${name}: ${states} states${complete ? ' (all)' : ''}, ${transitions} transitions, depth ${depth}; ` +
      `${locals} states of replicas, ${runs} runs of the core, ${leaders} leaders, ${commits} commits, ${ms} ms\n`,
  );
}

describe('every state of the model is safe', () => {
  it.each(Object.entries(models))(
    '%s',
    (name, model) => {
      const begin = performance.now();
      const result = new Explorer(model).run(limit);
      if (long !== undefined) report(name, result, Math.round(performance.now() - begin));
      expect(result.violation).toBeUndefined();
      // It went somewhere: terms were led and entries committed.
      expect(result.complete || result.states >= limit).toBe(true);
      expect(result.leaders).toBeGreaterThan(0);
    },
    600_000,
  );
});

describe('every state on the way is safe', () => {
  it.each(Object.entries(models))(
    '%s',
    (name, model) => {
      const begin = performance.now();
      const explorer = new Explorer(model);
      let found: ReturnType<Explorer['walk']>;
      for (let seed = 1; seed <= walks && found === undefined; seed++) {
        const random = new SeededRandom(seed);
        found = explorer.walk(walkSteps, () => random.float());
      }
      if (long !== undefined) {
        const ms = Math.round(performance.now() - begin);
        process.stdout.write(`${name}: ${walks} walks of ${walkSteps} steps, ${ms} ms\n`);
      }
      expect(found).toBeUndefined();
    },
    600_000,
  );
});

describe('planted bugs are found', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it.each(Object.entries(plants))('%s', (name, { model, bug, spy, finds }) => {
    const begin = performance.now();
    spy?.();
    const result = new Explorer(bug === undefined ? model : { ...model, bug }).run(400_000);
    if (long !== undefined) {
      report(name, result, Math.round(performance.now() - begin));
      const { property, trace } = result.violation ?? { property: 'nothing found', trace: [] };
      process.stdout.write(`  ${property}\n    ${trace.join('\n    ')}\n`);
    }
    expect(result.violation?.property).toMatch(finds);
  });
});
