/** The multi-key workload (YugabyteDB's suite): the rows of a group are read and written several at a time, each in one statement or several. */
import { type IsolationLevel } from '../../checkers/isolation.ts';
import {
  checkMultiRegisters,
  multiRegisterCodec,
  type MultiRegisterOperation,
} from '../../checkers/multi-register.ts';
import { type SqlRandom } from '../../sql-program.ts';
import { KeySlots } from '../key-slots.ts';
import { transact } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

const registers = [0, 1, 2] as const;
const valueMax = 4;
const activeGroups = 2;
const operationsPerGroup = 60;

export function multiKeyAcid(isolation: IsolationLevel): CheckedWorkload<MultiRegisterOperation> {
  const slots = new KeySlots(activeGroups, operationsPerGroup);
  return {
    tables: ['multi'],
    setup: ['CREATE TABLE multi (register int, grp int, value int, PRIMARY KEY (register, grp))'],
    codec: multiRegisterCodec,
    next(random) {
      const group = slots.draw(random);
      const chosen = choose(random, isolation);
      return random.chance(0.5)
        ? read(group, chosen)
        : write(
            group,
            chosen.map((each) => [each, random.between(0, valueMax)] as const),
          );
    },
    finalReads: () => slots.keys.map((group) => read(group, registers)),
    permitted: [],
    check: checkMultiRegisters,
  };
}

/** Two that share no row need not agree with real time, unless all is strict: then they all share the first one. */
function choose(random: SqlRandom, isolation: IsolationLevel): number[] {
  const chosen = registers.filter(
    (each) => (isolation !== 'strict' && each === 0) || random.chance(0.5),
  );
  return chosen.length === 0 ? [random.pick(registers)] : chosen;
}

function read(group: number, chosen: readonly number[]): Step<MultiRegisterOperation> {
  const select = `SELECT register, value FROM multi
    WHERE grp = ${group} AND register IN (${chosen.join(', ')})`;
  return {
    what: { kind: 'read', value: [group, []] },
    run: (sql) =>
      transact(sql, async (txn) => {
        const { rows } = await txn.query<{ register: number; value: number }>(select);
        const values = new Map(rows.map(({ register, value }) => [register, value]));
        return {
          kind: 'read',
          value: [group, chosen.map((each) => [each, values.get(each) ?? null] as const)],
        };
      }),
  };
}

function write(
  group: number,
  values: readonly (readonly [number, number])[],
): Step<MultiRegisterOperation> {
  const what = { kind: 'write', value: [group, values] } as const;
  return {
    what,
    async run(sql) {
      await transact(sql, async (txn) => {
        for (const [register, value] of values) {
          await txn.query(
            `INSERT INTO multi VALUES ($1, $2, $3)
             ON CONFLICT (register, grp) DO UPDATE SET value = excluded.value`,
            [register, group, value],
          );
        }
      });
      return what;
    },
  };
}
