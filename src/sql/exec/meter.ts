/** EXPLAIN ANALYZE: counts what each node of a plan delivers. */
import { type Clock } from '../../util/index.ts';
import { type Phys } from '../plan/physical/types.ts';
import { type Plan } from './operator.ts';

export interface Meter {
  rows: number;
  loops: number;
  timeMs: number;
}

export interface Meters {
  readonly clock: Clock;
  readonly byNode: Map<Phys, Meter>;
}

export function meter(plan: Plan, node: Phys, meters: Meters): Plan {
  const own: Meter = { rows: 0, loops: 0, timeMs: 0 };
  meters.byNode.set(node, own);
  return {
    layout: plan.layout,
    open(rt) {
      own.loops++;
      const source = plan.open(rt);
      return {
        async next() {
          const before = meters.clock.monotonicMs();
          const batch = await source.next();
          own.timeMs += meters.clock.monotonicMs() - before;
          own.rows += batch?.length ?? 0;
          return batch;
        },
        close: () => source.close(),
      };
    },
  };
}
