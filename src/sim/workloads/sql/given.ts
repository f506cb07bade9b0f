/** How a run is asked for a workload that is checked over SQL: `sql:bank`, `sql:bank:read-committed`. */
import { type GivenWorkload } from '../../workload.ts';
import {
  isCheckedWorkloadName,
  isolationLevels,
  startWorkload,
  type CheckedWorkloadName,
  type IsolationLevel,
} from './index.ts';
import { CheckedSql } from './simulated.ts';

export interface CheckedWorkloadChoice {
  readonly name: CheckedWorkloadName;
  readonly isolation: IsolationLevel;
}

/** Undefined when it names none. */
export function parseCheckedWorkload(given: string): CheckedWorkloadChoice | undefined {
  const [kind, name = '', level = 'serializable', ...rest] = given.split(':');
  const isolation = isolationLevels.find((each) => each.replace(' ', '-') === level);
  if (kind !== 'sql' || rest.length > 0 || isolation === undefined) return undefined;
  return isCheckedWorkloadName(name) ? { name, isolation } : undefined;
}

export function checkedWorkload({ name, isolation }: CheckedWorkloadChoice): GivenWorkload {
  return {
    name: `sql:${name}:${isolation.replace(' ', '-')}`,
    clients: undefined,
    sql: true,
    make(context, random, cluster) {
      const run = startWorkload(name, isolation, () => context.world.nowMs);
      return new CheckedSql(context, run, { cluster, random });
    },
  };
}
