/** INSERT ... ON CONFLICT: finds the rows in the way before anything is written. */
import { type HeldStrength } from '../../../kv/index.ts';
import { must } from '../../../util/index.ts';
import { sqlError } from '../../errors.ts';
import { tableCodec } from '../../row/index.ts';
import { type IndexCodec } from '../../row/types.ts';
import { type Datum, type Row } from '../../types/index.ts';
import { type Compiled } from '../expr/compile.ts';
import { type Runtime } from '../runtime.ts';
import { assign, type CompiledAssignment } from './assign.ts';
import { rowKeyReader } from './entries.ts';
import { type Mutation, type Mutations, mutationsOf } from './mutations.ts';
import { completeRow, type TableRules } from './table-rules.ts';

/** `set` and `where` see the existing row, then the proposed one. */
export interface ConflictParts {
  /** Empty: every unique index. */
  readonly arbiters: readonly number[];
  /** Of what is in the way. */
  readonly lock: HeldStrength;
  readonly update:
    | {
        readonly set: readonly CompiledAssignment[];
        readonly where: Compiled | undefined;
      }
    | undefined;
}

/**
 * What the statement itself, in all its parts, does to keys of the arbiters. None of it may be written yet when rows in
 * the way are looked for: a row that it deletes is in nobody's way, one that it inserts or changes is.
 */
export class OwnKeys {
  readonly #taken = new Set<string>();
  readonly #freed = new Set<string>();
  #pending: readonly Mutation[] = [];
  #seen = 0;

  isTaken(key: Buffer): boolean {
    return this.#taken.has(key.toString('latin1'));
  }

  isFreed(key: Buffer): boolean {
    const name = key.toString('latin1');
    return this.#freed.has(name) && !this.#taken.has(name);
  }

  /** Notes what has been added since the last call. */
  async follow(
    mutations: Mutations,
    rules: TableRules,
    codecs: readonly IndexCodec[],
  ): Promise<void> {
    if (this.#pending !== mutations.pending) this.#seen = 0;
    this.#pending = mutations.pending;
    for (; this.#seen < this.#pending.length; this.#seen++) {
      const mutation = must(this.#pending[this.#seen]);
      if (mutation.rules.table.id !== rules.table.id) continue;
      await this.#note(this.#freed, mutation.before, mutations, rules, codecs);
      await this.#note(this.#taken, mutation.after, mutations, rules, codecs);
    }
  }

  async #note(
    names: Set<string>,
    row: Row | undefined,
    mutations: Mutations,
    rules: TableRules,
    codecs: readonly IndexCodec[],
  ): Promise<void> {
    if (row === undefined) return;
    for (const { key } of await keysOf(codecs, rules, row, mutations))
      names.add(key.toString('latin1'));
  }
}

interface Candidate {
  readonly row: Datum[];
  /** One per arbiter index that has an entry for this row. */
  readonly keys: readonly { readonly codec: IndexCodec; readonly key: Buffer }[];
}

/** Adds the mutations for `rows`; gives back the rows as written (inserted or updated). */
export async function resolveConflicts(
  parts: ConflictParts,
  rules: TableRules,
  rows: readonly Datum[][],
  own: OwnKeys,
  rt: Runtime,
): Promise<Row[]> {
  const mutations = mutationsOf(rt);
  const codecs = arbiterCodecs(parts, rules);
  const candidates: Candidate[] = [];
  for (const row of rows)
    candidates.push({ row, keys: await keysOf(codecs, rules, row, mutations) });
  const all = candidates.flatMap((candidate) => candidate.keys.map(({ key }) => key));
  await lockRows(candidates, parts, rules, rt);
  const values = await rt.txn.getMany(all, { lock: parts.lock });
  const existing = new Map(all.map((key, i) => [key.toString('latin1'), values[i]]));
  const written: Row[] = [];
  for (const { row, keys } of candidates) {
    await own.follow(mutations, rules, codecs);
    const hit = keys.find(
      ({ key }) =>
        own.isTaken(key) ||
        (existing.get(key.toString('latin1')) !== undefined && !own.isFreed(key)),
    );
    if (hit === undefined) {
      mutations.add({ rules, before: undefined, after: row });
      await own.follow(mutations, rules, codecs);
      written.push(row);
      continue;
    }
    const { update } = parts;
    if (update === undefined) continue;
    if (own.isTaken(hit.key)) {
      throw sqlError(
        'cardinalityViolation',
        'ON CONFLICT DO UPDATE command cannot affect row a second time',
        {
          hint: 'Ensure that no rows proposed for insertion within the same command have duplicate constrained values.',
        },
      );
    }
    const stored = { key: hit.key, value: must(existing.get(hit.key.toString('latin1'))) };
    const before = await existingRow(rules, hit.codec, stored, parts.lock, rt);
    const both = before.concat(row);
    if (update.where !== undefined && (await update.where.run(both, rt)) !== true) continue;
    const after = [...before];
    for (const { positions, value } of update.set)
      assign(after, positions, await value.run(both, rt));
    await completeRow(rules, after, rt);
    mutations.claim(rules.table, before);
    mutations.add({ rules, before, after });
    await own.follow(mutations, rules, codecs);
    written.push(after);
  }
  return written;
}

/**
 * Rows are locked before their entries, as by whoever deletes or changes them: the other way round both would wait for each
 * other. Who has the row by then may have left the entry behind: it is read again with its lock.
 */
async function lockRows(
  candidates: readonly Candidate[],
  { lock, update }: ConflictParts,
  { table }: TableRules,
  rt: Runtime,
): Promise<void> {
  const entries = candidates.flatMap(({ keys }) =>
    keys.filter(({ codec }) => codec.index !== table.primaryIndex),
  );
  if (entries.length === 0) return;
  const values = await rt.txn.getMany(entries.map(({ key }) => key));
  const readers = new Map(entries.map(({ codec }) => [codec, rowKeyReader(table, codec)]));
  const rows = entries.flatMap(({ codec, key }, i) => {
    const value = values[i];
    return value === undefined ? [] : [must(readers.get(codec))(key, value)];
  });
  // DO NOTHING leaves the row to others: whoever refers to it is not in the way.
  await rt.txn.getMany(rows, { lock: update === undefined ? 'key-share' : lock });
}

function arbiterCodecs(parts: ConflictParts, rules: TableRules): IndexCodec[] {
  const all = tableCodec(rules.table).indexes;
  if (parts.arbiters.length > 0)
    return all.filter(({ index }) => parts.arbiters.includes(index.id));
  return all.filter(
    ({ index }) => index === rules.table.primaryIndex || (index.unique && index.state === 'public'),
  );
}

async function keysOf(
  codecs: readonly IndexCodec[],
  rules: TableRules,
  row: Row,
  mutations: Mutations,
): Promise<{ codec: IndexCodec; key: Buffer }[]> {
  const keys: { codec: IndexCodec; key: Buffer }[] = [];
  for (const codec of codecs) {
    if (codec.hasNullKey(row) || !(await mutations.contains(rules, codec, row))) continue;
    keys.push({ codec, key: codec.encodeKey(row) });
  }
  return keys;
}

async function existingRow(
  rules: TableRules,
  codec: IndexCodec,
  { key, value }: { readonly key: Buffer; readonly value: Buffer },
  lock: HeldStrength,
  rt: Runtime,
): Promise<Datum[]> {
  const { table } = rules;
  const primary = must(tableCodec(table).indexes[0]);
  const positions = table.columns.map((_column, i) => i);
  const row: Datum[] = positions.map(() => null);
  if (codec === primary) {
    primary.decoder(positions)(key, value, row);
    return row;
  }
  const primaryKey = rowKeyReader(table, codec)(key, value);
  const found = await rt.txn.get(primaryKey, { lock });
  if (found === undefined) {
    throw sqlError(
      'dataCorrupted',
      `index "${codec.index.name}" refers to a row that is not there`,
    );
  }
  primary.decoder(positions)(primaryKey, found, row);
  return row;
}
