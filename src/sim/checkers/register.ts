/** Registers that are read, written and compared-and-set: each of them must be linearizable. */
import { unreachable } from '../../util/index.ts';
import { grouped } from './grouped.ts';
import { type Finding, type Recorded } from './history.ts';
import { checkLinearizable, type Model } from './linearizable.ts';
import { bool, int, operations, orNull, tuple, type Codec } from './shape.ts';

/** Values are undefined before the first write. */
export type RegisterOp =
  | { readonly kind: 'read'; readonly value: number | undefined }
  | { readonly kind: 'write'; readonly value: number }
  | { readonly kind: 'cas'; readonly from: number; readonly to: number; readonly done: boolean };

export type KeyedRegisterOp = RegisterOp & { readonly key: number };

const keyed = operations({
  read: tuple(int, orNull(int)),
  write: tuple(int, int),
  /** Key, from, to, whether it was done. */
  cas: tuple(int, int, int, bool),
});

export const registerCodec: Codec<KeyedRegisterOp> = {
  encode(op) {
    if (op.kind === 'read') return { f: op.kind, value: [op.key, op.value ?? null] };
    if (op.kind === 'write') return { f: op.kind, value: [op.key, op.value] };
    return { f: op.kind, value: [op.key, op.from, op.to, op.done] };
  },
  decode(written) {
    const { kind, value } = keyed.decode(written);
    if (kind === 'read') return { kind, key: value[0], value: value[1] ?? undefined };
    if (kind === 'write') return { kind, key: value[0], value: value[1] };
    const [key, from, to, done] = value;
    return { kind, key, from, to, done };
  },
};

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

export function checkRegisters(history: readonly Recorded<KeyedRegisterOp>[]): Finding[] {
  return checkLinearizable(
    grouped(history.map(withoutAnswer), ({ what }) => what.key),
    register,
    { noun: 'registers', describe: (ofKey, key) => `k${key}: ${describe(ofKey)}` },
  );
}

/** Nobody was told what an ambiguous compare-and-set did: it was done, or changed nothing. */
function withoutAnswer(operation: Recorded<KeyedRegisterOp>): Recorded<KeyedRegisterOp> {
  const { what, outcome } = operation;
  if (outcome !== 'info' || what.kind !== 'cas') return operation;
  return { ...operation, what: { ...what, done: true } };
}

function describe(history: readonly Recorded<RegisterOp>[]): string {
  return history
    .map(({ process, invoked, completed, outcome, what }) => {
      const values = what.kind === 'cas' ? `${what.from} ${what.to} ${what.done}` : `${what.value}`;
      return `p${process} ${invoked}-${completed} ${outcome} ${what.kind} ${values}`;
    })
    .join(', ');
}
