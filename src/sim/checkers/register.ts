/** Registers that are read, written and compared-and-set: each of them must be linearizable. */
import { unreachable } from '../../util/index.ts';
import { type Finding, type Recorded } from './history.ts';
import { isLinearizable, type Model } from './linearizable.ts';

/** Values are undefined before the first write. */
export type RegisterOp =
  | { readonly kind: 'read'; readonly value: number | undefined }
  | { readonly kind: 'write'; readonly value: number }
  | { readonly kind: 'cas'; readonly from: number; readonly to: number; readonly done: boolean };

export const register: Model<RegisterOp> = {
  initial: 'undefined',
  step(state, op) {
    switch (op.kind) {
      case 'read':
        return state === String(op.value) ? state : undefined;
      case 'write':
        return String(op.value);
      case 'cas': {
        const matches = state === String(op.from);
        if (op.done !== matches) return undefined;
        return matches ? String(op.to) : state;
      }
      default:
        return unreachable(op);
    }
  },
};

/** Of one register; more are not tried. */
const stepsMax = 1_000_000;

/** By key. Registers that could not be decided are a finding when they are more than one and more than one in a hundred. */
export function checkRegisters(
  histories: ReadonlyMap<number, readonly Recorded<RegisterOp>[]>,
): Finding[] {
  const findings: Finding[] = [];
  let unknown = 0;
  for (const [key, history] of histories) {
    const verdict = isLinearizable(history, register, stepsMax);
    if (verdict === 'unknown') unknown++;
    if (verdict === 'no') {
      findings.push({ anomaly: 'not-linearizable', text: `k${key}: ${describe(history)}` });
    }
  }
  if (unknown > 1 && unknown * 100 > histories.size) {
    findings.push({ anomaly: 'undecided', text: `${unknown} of ${histories.size} registers` });
  }
  return findings;
}

function describe(history: readonly Recorded<RegisterOp>[]): string {
  return history
    .map(({ process, invoked, completed, outcome, what }) => {
      const values = what.kind === 'cas' ? `${what.from} ${what.to} ${what.done}` : `${what.value}`;
      return `p${process} ${invoked}-${completed} ${outcome} ${what.kind} ${values}`;
    })
    .join(', ');
}
