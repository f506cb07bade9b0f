/** Groups of registers that are read and written several at a time: each group must be linearizable as one object. */
import { describeOperation } from './describe.ts';
import { grouped } from './grouped.ts';
import { type Finding, type Recorded } from './history.ts';
import { isLinearizable, type Model } from './linearizable.ts';
import { int, listOf, operations, orNull, tuple, type OperationOf } from './shape.ts';

const shapes = {
  /** A group, and registers with their values. */
  write: tuple(int, listOf(tuple(int, int))),
  read: tuple(int, listOf(tuple(int, orNull(int)))),
};

export type MultiRegisterOperation = OperationOf<typeof shapes>;
export const multiRegisterCodec = operations(shapes);

/** States are values in the order of the registers, with blanks between them, and nothing where there is none. */
const group: Model<MultiRegisterOperation> = {
  initial: '',
  step(state, { kind, value: [, registers] }) {
    const values = state.split(' ');
    for (const [register, value] of registers) {
      if (kind === 'write') values[register] = String(value);
      else if ((values[register] ?? '') !== String(value ?? '')) return undefined;
    }
    return kind === 'write' ? Array.from(values, (value) => value ?? '').join(' ') : state;
  },
};

/** Of one group; more are not tried. */
const stepsMax = 1_000_000;

/** 'not-linearizable', and 'undecided' when more than one group and more than one in a hundred could not be decided. */
export function checkMultiRegisters(
  history: readonly Recorded<MultiRegisterOperation>[],
): Finding[] {
  const findings: Finding[] = [];
  const groups = grouped(history, ({ what }) => what.value[0]);
  let unknown = 0;
  for (const operationsOfGroup of groups.values()) {
    const verdict = isLinearizable(operationsOfGroup, group, stepsMax);
    if (verdict === 'unknown') unknown++;
    if (verdict !== 'no') continue;
    const shown = operationsOfGroup.map((each) => describeOperation(each, multiRegisterCodec));
    findings.push({ anomaly: 'not-linearizable', text: shown.join('; ') });
  }
  if (unknown > 1 && unknown * 100 > groups.size) {
    findings.push({ anomaly: 'undecided', text: `${unknown} of ${groups.size} groups` });
  }
  return findings;
}
