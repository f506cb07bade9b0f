/**
 * Foreign keys: what happens to children when their parent goes or gets another key, and that parents are there. All at
 * the end of the statement, in rounds: what a round writes is what the next one follows. A round looks for the children of
 * all its parents before it writes, so a child that takes over the key which another parent gives up is not moved with it.
 */
import { type ScanPage } from '../../../kv/index.ts';
import { must, prefixEnd } from '../../../util/index.ts';
import {
  type ColumnDescriptor,
  type ForeignKeyDescriptor,
  type TableDescriptor,
} from '../../catalog/descriptors.ts';
import { referencedIndexes } from '../../catalog/index.ts';
import { sqlError } from '../../errors.ts';
import { findCast, referenceTypes, type ReferenceTypes } from '../../functions/index.ts';
import { tableCodec } from '../../row/index.ts';
import { type IndexCodec } from '../../row/types.ts';
import { type Datum, formatType, type Row, typeOps } from '../../types/index.ts';
import { type Runtime } from '../runtime.ts';
import { rowKeyReader } from './entries.ts';
import { type Mutation, type Mutations, rowName } from './mutations.ts';
import { completeRow, keyText, type TableRules, tableRules } from './table-rules.ts';

/** Cascades that feed on each other end here. */
const maxRounds = 1000;

/** Applies cascades until nothing more is written, then all references hold. */
export async function enforceReferences(mutations: Mutations, rt: Runtime): Promise<void> {
  const rounds: (readonly Mutation[])[] = [];
  for (;;) {
    const written = mutations.takeWritten();
    if (written.length === 0) break;
    if (rounds.length > maxRounds)
      throw sqlError('statementTooComplex', 'referential actions cascade too deeply');
    rounds.push(written);
    const changes: Changes = new Map();
    for (const mutation of written) await cascade(mutation, changes, mutations, rt);
    for (const change of changes.values()) mutations.add(change);
    if (!mutations.isEmpty) await mutations.apply();
    await rt.breathe();
  }
  await checkParents(rounds, rt);
}

function positionsOf(table: TableDescriptor, columnIds: readonly number[]): number[] {
  return columnIds.map((id) => table.columns.findIndex((column) => column.id === id));
}

function valuesAt(table: TableDescriptor, columnIds: readonly number[], row: Row): Datum[] {
  return positionsOf(table, columnIds).map((position) => row[position] ?? null);
}

async function tableOf(id: number, rt: Runtime): Promise<TableDescriptor> {
  const table = await rt.context.catalog.tableById(id);
  if (table === undefined)
    throw sqlError('internalError', `table ${id} of a foreign key is missing`);
  return table;
}

// The referencing side.

/** A row as the statement leaves it, with the references that it was given on the way there. */
interface WrittenRow {
  readonly rules: TableRules;
  readonly row: Row;
  readonly keys: readonly ForeignKeyDescriptor[];
}

async function checkParents(rounds: readonly (readonly Mutation[])[], rt: Runtime): Promise<void> {
  const [only, ...others] = rounds;
  const rows = others.length === 0 ? rowsOf(only ?? []) : lastRows(rounds);
  let count = 0;
  for (const { rules, row, keys } of rows) {
    for (const key of keys) await checkParent(rules.table, row, key, rt);
    if (++count % 1024 === 0) await rt.breathe();
  }
}

/** Of the only round, which has written over nothing: one at a time, they may be many. */
function* rowsOf(round: readonly Mutation[]): Iterable<WrittenRow> {
  for (const mutation of round) {
    const { rules, after } = mutation;
    if (after === undefined) continue;
    const keys = rules.table.foreignKeys.filter((key) => isGiven(mutation, after, key));
    if (keys.length > 0) yield { rules, row: after, keys };
  }
}

function lastRows(rounds: readonly (readonly Mutation[])[]): Iterable<WrittenRow> {
  const rows = new Map<string, WrittenRow>();
  for (const [i, round] of rounds.entries()) {
    // All that is removed first: keys may move from row to row within a round.
    const earlier = round.map(({ rules, before }) => {
      if (i === 0 || before === undefined) return undefined;
      const name = rowName(rules.table, before);
      const known = rows.get(name);
      rows.delete(name);
      return known;
    });
    for (const [at, mutation] of round.entries()) {
      const { rules, after } = mutation;
      if (after === undefined) continue;
      const keys = rules.table.foreignKeys.filter(
        (key) => earlier[at]?.keys.includes(key) === true || isGiven(mutation, after, key),
      );
      if (keys.length > 0) rows.set(rowName(rules.table, after), { rules, row: after, keys });
    }
  }
  return rows.values();
}

/** Whether the mutation changed what the row refers to. */
function isGiven({ rules, before }: Mutation, after: Row, key: ForeignKeyDescriptor): boolean {
  const { table } = rules;
  return (
    before === undefined ||
    !sameValues(
      table,
      key.columnIds,
      valuesAt(table, key.columnIds, before),
      valuesAt(table, key.columnIds, after),
    )
  );
}

async function checkParent(
  table: TableDescriptor,
  row: Row,
  key: ForeignKeyDescriptor,
  rt: Runtime,
): Promise<void> {
  const values = valuesAt(table, key.columnIds, row);
  const nulls = values.filter((value) => value === null).length;
  if (nulls > 0) {
    if (key.match !== 'full' || nulls === values.length) return;
    throw sqlError(
      'foreignKeyViolation',
      `insert or update on table "${table.name}" violates foreign key constraint "${key.name}"`,
      {
        detail: 'MATCH FULL does not allow mixing of null and nonnull key values.',
        table: table.name,
        constraint: key.name,
      },
    );
  }
  const parent = await tableOf(key.referencedTableId, rt);
  if (await rowExists(parent, key.referencedColumnIds, values, table, key.columnIds, rt)) return;
  throw sqlError(
    'foreignKeyViolation',
    `insert or update on table "${table.name}" violates foreign key constraint "${key.name}"`,
    {
      detail: `${keyText(table, key.columnIds, values, rt.eval)} is not present in table "${parent.name}".`,
      table: table.name,
      constraint: key.name,
    },
  );
}

function sameValues(table: TableDescriptor, ids: readonly number[], a: Row, b: Row): boolean {
  return ids.every((id, i) => {
    const left = a[i] ?? null;
    const right = b[i] ?? null;
    if (left === null || right === null) return left === right;
    const column = must(table.columns.find((candidate) => candidate.id === id));
    return typeOps(column.typeOid).compare(left, right) === 0;
  });
}

/** The unique index over exactly these columns. */
function uniqueIndexOver(table: TableDescriptor, columnIds: readonly number[]): IndexCodec {
  const [index] = referencedIndexes(table, columnIds);
  const found = tableCodec(table).indexes.find((codec) => codec.index === index);
  if (found === undefined)
    throw sqlError('internalError', `no unique index on "${table.name}" for its foreign key`);
  return found;
}

function columnOf(table: TableDescriptor, id: number): ColumnDescriptor {
  return must(table.columns.find((column) => column.id === id));
}

function typesOf(child: ColumnDescriptor, parent: ColumnDescriptor): ReferenceTypes {
  const types = referenceTypes(child.typeOid, parent.typeOid);
  if (types !== undefined) return types;
  throw sqlError('datatypeMismatch', 'a foreign key cannot be implemented', {
    detail: `Key columns "${child.name}" and "${parent.name}" are of incompatible types: ${formatType(child.typeOid)} and ${formatType(parent.typeOid)}.`,
  });
}

async function rowExists(
  parent: TableDescriptor,
  parentIds: readonly number[],
  values: Row,
  child: TableDescriptor,
  childIds: readonly number[],
  rt: Runtime,
): Promise<boolean> {
  const codec = uniqueIndexOver(parent, parentIds);
  const ordered: Datum[] = [];
  for (const { columnId } of codec.index.columns) {
    const i = parentIds.indexOf(columnId);
    const types = typesOf(columnOf(child, must(childIds[i])), columnOf(parent, columnId));
    const value = types.toParent(values[i] ?? null, rt.eval);
    if (value === undefined) return false;
    ordered.push(value);
  }
  const key = codec.encodeKeyPrefix(ordered);
  return (await rt.txn.get(key, { lock: 'key-share', existence: true })) !== undefined;
}

// The referenced side.

/** What a round is going to write: by the row as it was at the start of the round, one change that unites all actions. */
type Changes = Map<string, Mutation>;

async function cascade(
  mutation: Mutation,
  changes: Changes,
  mutations: Mutations,
  rt: Runtime,
): Promise<void> {
  const { before, after } = mutation;
  const { table } = mutation.rules;
  if (before === undefined) return;
  for (const reference of table.referencedBy) {
    const child = await tableOf(reference.tableId, rt);
    const key = child.foreignKeys.find((candidate) => candidate.name === reference.name);
    if (key === undefined) continue;
    const old = valuesAt(table, key.referencedColumnIds, before);
    if (old.includes(null)) continue;
    const changed =
      after === undefined ? undefined : valuesAt(table, key.referencedColumnIds, after);
    if (changed !== undefined && sameValues(table, key.referencedColumnIds, old, changed)) continue;
    // References lock what they are led by, which is not the row here.
    const led = uniqueIndexOver(table, key.referencedColumnIds);
    if (led.index !== table.primaryIndex)
      await rt.txn.get(led.encodeKey(before), { lock: 'update' });
    mutations.account(await applyAction({ parent: table, child, key, old, changed }, changes, rt));
  }
}

/** A parent's key that is gone (no `changed`) or has become another one. */
interface LostKey {
  readonly parent: TableDescriptor;
  readonly child: TableDescriptor;
  readonly key: ForeignKeyDescriptor;
  readonly old: Row;
  readonly changed: Row | undefined;
}

/** Plans what the key's action does to its children; gives these back. */
async function applyAction(lost: LostKey, changes: Changes, rt: Runtime): Promise<Row[]> {
  const { parent, child, key, old, changed } = lost;
  const action = changed === undefined ? key.onDelete : key.onUpdate;
  const columns = key.columnIds.map((id, i) => {
    const own = columnOf(child, id);
    const other = columnOf(parent, must(key.referencedColumnIds[i]));
    return { own, other, types: typesOf(own, other) };
  });
  const refers = (row: Row): boolean => {
    const values = valuesAt(child, key.columnIds, row);
    return columns.every(({ other, types }, i) => {
      const value = values[i] ?? null;
      const lost = old[i] ?? null;
      if (value === null || lost === null) return false;
      const meant = types.toParent(value, rt.eval) ?? null;
      return meant !== null && typeOps(other.typeOid).compare(meant, lost) === 0;
    });
  };
  // Actions come one after the other, as the keys were made: what an earlier one has taken away or moved refers no more.
  const isLeft = (row: Row): boolean => {
    if (!refers(row)) return false;
    const change = changes.size === 0 ? undefined : changes.get(rowName(child, row));
    return change === undefined || (change.after !== undefined && refers(change.after));
  };
  const isCheck = action === 'no action' || action === 'restrict';
  const lock = isCheck ? 'share' : 'update';
  let wanted: Datum[] | undefined;
  if (columns.every(({ types }) => types.isInjective)) {
    const values = columns.map(({ types }, i) => types.toChild(old[i] ?? null, rt.eval));
    wanted = values.filter((value) => value !== undefined);
    if (wanted.length < values.length) return [];
  }
  const rows = await childRows(child, key.columnIds, wanted, { lock, isLeft }, rt);
  if (rows.length === 0) return rows;
  if (isCheck) {
    if (action === 'restrict' || !(await isReplaced(lost, rt))) throw stillReferenced(lost, rt);
    return rows;
  }
  const rules = await tableRules(child, rt.eval);
  const positions = positionsOf(child, key.columnIds);
  for (const [n, before] of rows.entries()) {
    const name = rowName(child, before);
    if (action === 'cascade' && changed === undefined) {
      changes.set(name, { rules, before, after: undefined });
      continue;
    }
    const after = [...(changes.get(name)?.after ?? before)];
    for (const [i, position] of positions.entries()) {
      const { own, other } = must(columns[i]);
      if (action === 'set default')
        after[position] = (await rules.defaults.get(position)?.run([], rt)) ?? null;
      else {
        const value = action === 'cascade' ? (changed?.[i] ?? null) : null;
        const cast = must(findCast(other.typeOid, own.typeOid, 'assignment'));
        after[position] = await cast.call(value, own.typmod, rt.eval, false);
      }
    }
    // A default that names the very parent that goes, or a new key that its type rounds to the old one.
    if (refers(after) && !(await isReplaced(lost, rt))) throw stillReferenced(lost, rt);
    await completeRow(rules, after, rt);
    changes.set(name, { rules, before, after });
    if (n % 1024 === 1023) await rt.breathe();
  }
  return rows;
}

/** Another row has the key by now. */
function isReplaced({ parent, key, old }: LostKey, rt: Runtime): Promise<boolean> {
  return rowExists(parent, key.referencedColumnIds, old, parent, key.referencedColumnIds, rt);
}

function stillReferenced({ parent, child, key, old }: LostKey, rt: Runtime): Error {
  return sqlError(
    'foreignKeyViolation',
    `update or delete on table "${parent.name}" violates foreign key constraint "${key.name}" on table "${child.name}"`,
    {
      detail: `${keyText(parent, key.referencedColumnIds, old, rt.eval)} is still referenced from table "${child.name}".`,
      table: child.name,
      constraint: key.name,
    },
  );
}

/**
 * Rows of `table` that are `isLeft`, all of which have these values in the columns (no values: no index leads to them);
 * the first one is enough for a lock of 'share'. What is found has to hold
 * until the commit under every isolation level. Where an index leads there it is locked, too: what was committed
 * since the snapshot counts, and rows that go at the same time are waited for.
 */
async function childRows(
  table: TableDescriptor,
  columnIds: readonly number[],
  values: Row | undefined,
  { lock, isLeft }: { readonly lock: 'share' | 'update'; readonly isLeft: (row: Row) => boolean },
  rt: Runtime,
): Promise<Datum[][]> {
  const codecs = tableCodec(table);
  const primary = must(codecs.indexes[0]);
  const positions = table.columns.map((_column, i) => i);
  const decodeRow = primary.decoder(positions);
  const entry = codecs.indexes.find(
    ({ index }) =>
      values !== undefined &&
      index.state === 'public' &&
      index.predicateSql === undefined &&
      index.columns.length >= columnIds.length &&
      index.columns
        .slice(0, columnIds.length)
        .every((column) => columnIds.includes(column.columnId)),
  );
  const codec = entry ?? primary;
  const options = entry === undefined ? { untilCommit: true } : { lock, untilCommit: true };
  const prefix =
    entry === undefined
      ? []
      : entry.index.columns
          .slice(0, columnIds.length)
          .map((column) => values?.[columnIds.indexOf(column.columnId)] ?? null);
  const start = codec.encodeKeyPrefix(prefix);
  const rowKey = rowKeyReader(table, codec);
  const rowKeys = ({ keys, values: entries }: ScanPage): Buffer[] =>
    keys.map((key, i) => rowKey(key, must(entries[i])));
  const rows: Datum[][] = [];
  let rest: { start: Buffer; end: Buffer } | undefined = { start, end: must(prefixEnd(start)) };
  while (rest !== undefined) {
    // Rows are locked before their entries, as by whoever deletes or changes them. What counts is found with the lock.
    if (codec !== primary) {
      const seen = await rt.txn.scan({ ...rest, maxRows: 512 });
      await rt.txn.getMany(rowKeys(seen), { lock });
    }
    const page = await rt.txn.scan({ ...rest, ...options, maxRows: 512 });
    rest = page.resume;
    let pairs = page.keys.map((key, i) => ({ key, value: must(page.values[i]) }));
    if (codec !== primary) {
      const keys = rowKeys(page);
      const found = await rt.txn.getMany(keys, options);
      pairs = keys.flatMap((key, i) => {
        const value = found[i];
        return value === undefined ? [] : [{ key, value }];
      });
    }
    for (const { key, value } of pairs) {
      const row: Datum[] = positions.map(() => null);
      decodeRow(key, value, row);
      if (isLeft(row)) rows.push(row);
      if (lock === 'share' && rows.length > 0) return rows;
    }
    await rt.breathe();
  }
  return rows;
}
