/** Row orders and group keys. */
import { type Datum, type Row, typeOps, type TypeOps } from '../../types/index.ts';
import { type SortKey } from '../../plan/logical.ts';
import { type Compiled } from '../expr/compile.ts';
import { groupText } from '../pushdown/compiler.ts';
import { type Runtime } from '../runtime.ts';

export interface CompiledKey {
  readonly value: Compiled;
  readonly ops: TypeOps;
  readonly descending: boolean;
  readonly nullsFirst: boolean;
}

export function compileKeys(
  keys: readonly SortKey[],
  compile: (key: SortKey) => Compiled,
): CompiledKey[] {
  return keys.map((key) => ({
    value: compile(key),
    ops: typeOps(key.expr.type),
    descending: key.descending,
    nullsFirst: key.nullsFirst,
  }));
}

export function compareKey(key: Omit<CompiledKey, 'value'>, a: Datum, b: Datum): number {
  if (a === null || b === null) {
    if (a === b) return 0;
    return (a === null) === key.nullsFirst ? -1 : 1;
  }
  const order = key.ops.compare(a, b);
  return key.descending ? -order : order;
}

export function compareKeys(keys: readonly Omit<CompiledKey, 'value'>[], a: Row, b: Row): number {
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i];
    if (key === undefined) break;
    const order = compareKey(key, a[i] ?? null, b[i] ?? null);
    if (order !== 0) return order;
  }
  return 0;
}

/** Text under which equal rows (NULLs equal too) meet. */
export function rowText(values: Row, ops: readonly TypeOps[]): string {
  const [first] = ops;
  if (ops.length === 1 && first !== undefined) return groupText(values[0] ?? null, first);
  let text = '';
  for (const [i, op] of ops.entries()) text += groupText(values[i] ?? null, op);
  return text;
}

export async function keyValues(
  keys: readonly { readonly value: Compiled }[],
  row: Row,
  rt: Runtime,
): Promise<Datum[]> {
  const values: Datum[] = [];
  for (const key of keys)
    values.push(key.value.sync ? key.value.run(row, rt) : await key.value.run(row, rt));
  return values;
}
