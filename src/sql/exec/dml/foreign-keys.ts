/** Foreign keys: the parent must be there, and what happens to children when it goes. Checked at the end of the statement. */
import { must, prefixEnd } from '../../../util/index.ts';
import { type ForeignKeyDescriptor, type TableDescriptor } from '../../catalog/descriptors.ts';
import { sqlError } from '../../errors.ts';
import { tableCodec } from '../../row/index.ts';
import { type IndexCodec } from '../../row/types.ts';
import { type Datum, type Row, typeOps } from '../../types/index.ts';
import { type Runtime } from '../runtime.ts';
import { type Mutation, type Mutations } from './mutations.ts';
import { completeRow, keyText, tableRules } from './table-rules.ts';

/** Cascades that feed on each other end here. */
const maxRounds = 1000;

/** Applies cascades until nothing more is written, then all references hold. */
export async function enforceReferences(mutations: Mutations, rt: Runtime): Promise<void> {
  for (let round = 0; ; round++) {
    const written = mutations.takeWritten();
    if (written.length === 0) return;
    if (round > maxRounds)
      throw sqlError('statementTooComplex', 'referential actions cascade too deeply');
    for (const mutation of written) await cascade(mutation, mutations, rt);
    if (!mutations.isEmpty) await mutations.apply();
    await checkParents(written, rt);
    await rt.breathe();
  }
}

function positionsOf(table: TableDescriptor, columnIds: readonly number[]): number[] {
  return columnIds.map((id) => table.columns.findIndex((column) => column.id === id));
}

async function tableOf(id: number, rt: Runtime): Promise<TableDescriptor> {
  const table = await rt.context.catalog.tableById(id);
  if (table === undefined)
    throw sqlError('internalError', `table ${id} of a foreign key is missing`);
  return table;
}

// The referencing side.

async function checkParents(written: readonly Mutation[], rt: Runtime): Promise<void> {
  for (const mutation of written) {
    if (mutation.after === undefined) continue;
    for (const key of mutation.rules.table.foreignKeys) {
      await checkParent(mutation, mutation.after, key, rt);
    }
  }
}

async function checkParent(
  mutation: Mutation,
  row: Row,
  key: ForeignKeyDescriptor,
  rt: Runtime,
): Promise<void> {
  const { table } = mutation.rules;
  const values = positionsOf(table, key.columnIds).map((position) => row[position] ?? null);
  if (mutation.before !== undefined) {
    const old = positionsOf(table, key.columnIds).map(
      (position) => mutation.before?.[position] ?? null,
    );
    if (sameValues(table, key.columnIds, old, values)) return;
  }
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
  // A cascade of this very statement may have changed the row since.
  if (!(await isStillThere(mutation, row, rt))) return;
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

async function isStillThere(mutation: Mutation, row: Row, rt: Runtime): Promise<boolean> {
  const primary = must(tableCodec(mutation.rules.table).indexes[0]);
  const value = await rt.txn.get(primary.encodeKey(row));
  return value !== undefined && value.equals(primary.encodeValue(row));
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
  const found = tableCodec(table).indexes.find(
    ({ index }) =>
      (index === table.primaryIndex || index.unique) &&
      index.state === 'public' &&
      index.predicateSql === undefined &&
      index.columns.length === columnIds.length &&
      index.columns.every((column) => columnIds.includes(column.columnId)),
  );
  if (found === undefined)
    throw sqlError('internalError', `no unique index on "${table.name}" for its foreign key`);
  return found;
}

/** Between integer types the stored forms differ. */
function convert(value: Datum, from: number, to: number): Datum {
  if (from === to || value === null) return value;
  if (to === 20 && typeof value === 'number') return BigInt(value);
  if (from === 20 && typeof value === 'bigint' && (to === 21 || to === 23)) return Number(value);
  return value;
}

function typeOfColumn(table: TableDescriptor, id: number): number {
  return must(table.columns.find((column) => column.id === id)).typeOid;
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
  const ordered = codec.index.columns.map((column) => {
    const i = parentIds.indexOf(column.columnId);
    return convert(
      values[i] ?? null,
      typeOfColumn(child, must(childIds[i])),
      typeOfColumn(parent, column.columnId),
    );
  });
  const key = codec.encodeKeyPrefix(ordered);
  return (await rt.txn.get(key, { lock: 'key-share', existence: true })) !== undefined;
}

// The referenced side.

async function cascade(mutation: Mutation, mutations: Mutations, rt: Runtime): Promise<void> {
  const { before, after } = mutation;
  const { table } = mutation.rules;
  if (before === undefined) return;
  for (const reference of table.referencedBy) {
    const child = await tableOf(reference.tableId, rt);
    const key = child.foreignKeys.find((candidate) => candidate.name === reference.name);
    if (key === undefined) continue;
    const positions = positionsOf(table, key.referencedColumnIds);
    const old = positions.map((position) => before[position] ?? null);
    if (old.includes(null)) continue;
    const changed =
      after === undefined ? undefined : positions.map((position) => after[position] ?? null);
    if (changed !== undefined && sameValues(table, key.referencedColumnIds, old, changed)) continue;
    await applyAction(table, child, key, old, changed, mutations, rt);
  }
}

async function applyAction(
  parent: TableDescriptor,
  child: TableDescriptor,
  key: ForeignKeyDescriptor,
  old: Row,
  changed: Row | undefined,
  mutations: Mutations,
  rt: Runtime,
): Promise<void> {
  const action = changed === undefined ? key.onDelete : key.onUpdate;
  const wanted = key.columnIds.map((id, i) =>
    convert(
      old[i] ?? null,
      typeOfColumn(parent, must(key.referencedColumnIds[i])),
      typeOfColumn(child, id),
    ),
  );
  const isCheck = action === 'no action' || action === 'restrict';
  const rows = await childRows(child, key.columnIds, wanted, rt, isCheck ? 'share' : 'update');
  if (rows.length === 0) return;
  if (isCheck) {
    const replaced =
      action === 'no action' &&
      (await rowExists(parent, key.referencedColumnIds, old, parent, key.referencedColumnIds, rt));
    if (replaced) return;
    throw sqlError(
      'foreignKeyViolation',
      `update or delete on table "${parent.name}" violates foreign key constraint "${key.name}" on table "${child.name}"`,
      {
        detail: `${keyText(parent, key.referencedColumnIds, old, rt.eval)} is still referenced from table "${child.name}".`,
        table: child.name,
        constraint: key.name,
      },
    );
  }
  const rules = await tableRules(child, rt.eval);
  const positions = positionsOf(child, key.columnIds);
  for (const before of rows) {
    if (action === 'cascade' && changed === undefined) {
      mutations.add({ rules, before, after: undefined });
      continue;
    }
    const after = [...before];
    for (const [i, position] of positions.entries()) {
      if (action === 'cascade') {
        after[position] = convert(
          changed?.[i] ?? null,
          typeOfColumn(parent, must(key.referencedColumnIds[i])),
          typeOfColumn(child, must(key.columnIds[i])),
        );
      } else if (action === 'set null') after[position] = null;
      else {
        const value = rules.defaults.get(position);
        after[position] = value === undefined ? null : await value.run([], rt);
      }
    }
    await completeRow(rules, after, rt);
    mutations.add({ rules, before, after });
  }
  mutations.account(rows);
  await mutations.apply();
}

/**
 * Rows of `table` whose columns have these values; the first one is enough for a lock of 'share'. What is found has to hold
 * until the commit under every isolation level. Where an index leads there it is locked, too: what was committed
 * since the snapshot counts, and rows that go at the same time are waited for.
 */
async function childRows(
  table: TableDescriptor,
  columnIds: readonly number[],
  values: Row,
  rt: Runtime,
  lock: 'share' | 'update',
): Promise<Datum[][]> {
  const codecs = tableCodec(table);
  const primary = must(codecs.indexes[0]);
  const positions = table.columns.map((_column, i) => i);
  const decodeRow = primary.decoder(positions);
  const entry = codecs.indexes.find(
    ({ index }) =>
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
          .map((column) => values[columnIds.indexOf(column.columnId)] ?? null);
  const start = codec.encodeKeyPrefix(prefix);
  const keyAt = positionsOf(
    table,
    table.primaryIndex.columns.map((column) => column.columnId),
  );
  const decodeKey = codec.decoder(keyAt);
  const rows: Datum[][] = [];
  const own = positionsOf(table, columnIds);
  let rest: { start: Buffer; end: Buffer } | undefined = { start, end: must(prefixEnd(start)) };
  while (rest !== undefined) {
    const page = await rt.txn.scan({ ...rest, ...options, maxRows: 512 });
    rest = page.resume;
    let pairs = page.keys.map((key, i) => ({ key, value: must(page.values[i]) }));
    if (codec !== primary) {
      const keys = pairs.map(({ key, value }) => {
        const target: Datum[] = positions.map(() => null);
        decodeKey(key, value, target);
        return primary.encodeKey(target);
      });
      const found = await rt.txn.getMany(keys, options);
      pairs = keys.flatMap((key, i) => {
        const value = found[i];
        return value === undefined ? [] : [{ key, value }];
      });
    }
    for (const { key, value } of pairs) {
      const row: Datum[] = positions.map(() => null);
      decodeRow(key, value, row);
      if (
        sameValues(
          table,
          columnIds,
          own.map((position) => row[position] ?? null),
          values,
        )
      )
        rows.push(row);
      if (lock === 'share' && rows.length > 0) return rows;
    }
    await rt.breathe();
  }
  return rows;
}
