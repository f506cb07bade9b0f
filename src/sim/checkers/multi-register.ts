/** Groups of registers that are read and written several at a time: each group must be linearizable as one object. */
import { describeOperation } from './describe.ts';
import { grouped } from './grouped.ts';
import { type Finding, type Recorded } from './history.ts';
import { checkLinearizable, type Model } from './linearizable.ts';
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

export function checkMultiRegisters(
  history: readonly Recorded<MultiRegisterOperation>[],
): Finding[] {
  return checkLinearizable(
    grouped(history, ({ what }) => what.value[0]),
    group,
    {
      noun: 'groups',
      describe: (ofGroup) =>
        ofGroup.map((each) => describeOperation(each, multiRegisterCodec)).join('; '),
    },
  );
}
