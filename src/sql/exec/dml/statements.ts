/** The operators of INSERT, UPDATE and DELETE, and the end of a writing statement. */
import {
  type DeleteRel,
  type InsertRel,
  type Returning,
  type UpdateRel,
} from '../../plan/logical.ts';
import { SqlFailure, sqlStates } from '../../errors.ts';
import { type ColumnId } from '../../plan/expr.ts';
import { type Datum, type Row } from '../../types/index.ts';
import { type Compiled } from '../expr/compile.ts';
import { collectRows, LateOperator, type Operator, type Plan } from '../operator.ts';
import { evaluateAll } from '../operators/basic.ts';
import { rowBytes, type Runtime } from '../runtime.ts';
import { assign, type CompiledAssignment } from './assign.ts';
import { type ConflictParts, OwnKeys, resolveConflicts } from './conflict.ts';
import { enforceReferences } from './foreign-keys.ts';
import { mutationsOf } from './mutations.ts';
import { completeRow, type TableRules } from './table-rules.ts';

/** Rows that statements of this runtime have written: for the command tag. */
const affected = new WeakMap<Runtime, number>();

export function affectedRows(rt: Runtime): number {
  return affected.get(rt) ?? 0;
}

/** Over the written row, followed by the input row. */
export interface CompiledReturning {
  readonly layout: readonly ColumnId[];
  readonly items: readonly Compiled[];
}

export function returningLayout(
  returning: Returning | undefined,
  input: readonly ColumnId[],
): ColumnId[] {
  return returning === undefined ? [] : [...returning.row, ...input];
}

async function returned(
  returning: CompiledReturning | undefined,
  row: Row,
  input: Row,
  rt: Runtime,
  out: Row[],
): Promise<void> {
  if (returning === undefined) return;
  out.push(await evaluateAll(returning.items, row.concat(input), rt));
}

export interface DmlParts {
  readonly rules: TableRules;
  readonly returning: CompiledReturning | undefined;
  /** The statement's own count goes into the tag. */
  readonly isTop: boolean;
}

function note(parts: DmlParts, count: number, rt: Runtime): void {
  if (parts.isTop) affected.set(rt, affectedRows(rt) + count);
}

/** `direct`: nothing else reads or writes, so rows may go out batch by batch. */
export function insertPlan(
  input: Plan,
  rel: InsertRel,
  parts: DmlParts & { readonly conflict: ConflictParts | undefined; readonly direct: boolean },
): Plan {
  const { rules, returning, conflict } = parts;
  const from = rel.source.map((id) => (id === undefined ? -1 : input.layout.indexOf(id)));
  const open = (rt: Runtime): Operator =>
    new LateOperator(async () => {
      const mutations = mutationsOf(rt);
      const out: Row[] = [];
      const source = input.open(rt);
      const own = new OwnKeys();
      try {
        for (;;) {
          const batch = await source.next();
          if (batch === undefined) break;
          const rows: Datum[][] = [];
          for (const given of batch) {
            const row: Datum[] = [];
            for (const position of from) row.push(position < 0 ? null : (given[position] ?? null));
            await completeRow(rules, row, rt);
            rows.push(row);
          }
          const written =
            conflict === undefined ? rows : await resolveConflicts(conflict, rules, rows, own, rt);
          if (conflict === undefined)
            for (const after of rows)
              mutations.add({ rules, before: undefined, after, hasFreshKey: rel.hasFreshKey });
          note(parts, written.length, rt);
          if (returning !== undefined) {
            for (const row of written) await returned(returning, row, [], rt, out);
          }
          if (parts.direct) await mutations.apply();
          else mutations.account(written);
          if (batch.length > 1) await rt.breathe();
        }
      } finally {
        source.close();
      }
      return out;
    });
  return { layout: returning?.layout ?? [], open };
}

export function updatePlan(
  input: Plan,
  rel: UpdateRel,
  parts: DmlParts & { readonly set: readonly CompiledAssignment[] },
): Plan {
  const { rules, returning, set } = parts;
  const from = rel.row.map((id) => input.layout.indexOf(id));
  const open = (rt: Runtime): Operator =>
    new LateOperator(async () => {
      const mutations = mutationsOf(rt);
      const out: Row[] = [];
      let count = 0;
      const rows = await collectRows(input, rt, rowBytes);
      for (const source of rows) {
        const before = from.map((position) => (position < 0 ? null : (source[position] ?? null)));
        if (!mutations.claim(rules.table, before)) continue;
        const after = [...before];
        for (const { positions, value } of set) {
          const datum = value.sync ? value.run(source, rt) : await value.run(source, rt);
          assign(after, positions, datum);
        }
        await completeRow(rules, after, rt);
        mutations.add({ rules, before, after });
        count++;
        await returned(returning, after, source, rt, out);
        if (count % 1024 === 0) await rt.breathe();
      }
      note(parts, count, rt);
      return out;
    });
  return { layout: returning?.layout ?? [], open };
}

export function deletePlan(input: Plan, rel: DeleteRel, parts: DmlParts): Plan {
  const { rules, returning } = parts;
  const from = rel.row.map((id) => input.layout.indexOf(id));
  const open = (rt: Runtime): Operator =>
    new LateOperator(async () => {
      const mutations = mutationsOf(rt);
      const out: Row[] = [];
      let count = 0;
      const rows = await collectRows(input, rt, rowBytes);
      for (const source of rows) {
        const before = from.map((position) => (position < 0 ? null : (source[position] ?? null)));
        if (!mutations.claim(rules.table, before)) continue;
        mutations.add({ rules, before, after: undefined });
        count++;
        await returned(returning, before, source, rt, out);
        if (count % 1024 === 0) await rt.breathe();
      }
      note(parts, count, rt);
      return out;
    });
  return { layout: returning?.layout ?? [], open };
}

/**
 * The end of a writing statement: writes go to the transaction, references are checked, and either
 * the transaction commits at once (it is the whole transaction) or uniqueness is checked now.
 */
export async function finishWrites(rt: Runtime): Promise<void> {
  const mutations = mutationsOf(rt);
  await mutations.apply();
  try {
    await enforceReferences(mutations, rt);
  } catch (error) {
    // Where a key is taken as well, that is what PostgreSQL finds first.
    if (error instanceof SqlFailure && error.code === sqlStates.foreignKeyViolation)
      await mutations.guard(() => rt.txn.checkInserts());
    throw error;
  }
  await mutations.guard(async () => {
    if (rt.context.autocommit && rt.context.ddl.isEmpty) await rt.txn.commit();
    else await rt.txn.checkInserts();
  });
}
