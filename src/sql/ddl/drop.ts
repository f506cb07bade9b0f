/** DROP of every kind of object, and what hangs on it: RESTRICT (2BP01) or CASCADE. */
import { type DropBehavior, type DropStmt } from '@pgsql/types';
import {
  objectName,
  referencedIndexes,
  type NamedRelation,
  type QualifiedName,
  type RelationDescriptor,
  type SequenceDescriptor,
  type TableDescriptor,
  type ViewDescriptor,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type StatementResult } from '../session/types.ts';
import { done, refuseNewPrimaryKey, refuseSystemTable, type Ddl } from './context.ts';
import { allIndexes } from './draft.ts';
import { clearLater } from './drop-data.ts';
import { nameOf, nameParts, nameText, stringOf } from './nodes.ts';
import { recordIndex, recordObject } from './object-events.ts';
import { releaseOwner } from './sequences.ts';

const kinds: Readonly<
  Record<
    string,
    { readonly kind: NamedRelation['kind']; readonly word: string; readonly tag: string }
  >
> = {
  OBJECT_TABLE: { kind: 'table', word: 'table', tag: 'DROP TABLE' },
  OBJECT_VIEW: { kind: 'view', word: 'view', tag: 'DROP VIEW' },
  OBJECT_SEQUENCE: { kind: 'sequence', word: 'sequence', tag: 'DROP SEQUENCE' },
  OBJECT_INDEX: { kind: 'index', word: 'index', tag: 'DROP INDEX' },
};

export async function dropObjects(ddl: Ddl, stmt: DropStmt): Promise<StatementResult> {
  if (stmt.removeType === 'OBJECT_SCHEMA') return dropSchemas(ddl, stmt);
  const target = kinds[stmt.removeType ?? ''];
  if (target === undefined) return dropOther(ddl, stmt);
  const found: NamedRelation[] = [];
  for (const node of stmt.objects ?? []) {
    const relation = lookUp(ddl, nameOf(nameParts(node)), target, stmt.missing_ok === true);
    if (relation !== undefined) found.push(relation);
  }
  const drop = new DropSet(ddl, stmt.behavior ?? 'DROP_RESTRICT');
  for (const relation of found) drop.add(relation);
  await drop.run();
  return done(target.tag);
}

/** Kinds of objects that cannot exist here: missing, or nothing to do under IF EXISTS. */
function dropOther(ddl: Ddl, stmt: DropStmt): StatementResult {
  const word = (stmt.removeType ?? '')
    .replace('OBJECT_', '')
    .replace('MATVIEW', 'MATERIALIZED VIEW');
  for (const node of stmt.objects ?? []) {
    const parts =
      'ObjectWithArgs' in node
        ? (node.ObjectWithArgs.objname ?? []).map(stringOf)
        : nameParts(node);
    const what = `${word.toLowerCase().replaceAll('_', ' ')} "${parts.join('.')}"`;
    if (stmt.missing_ok !== true) throw sqlError('undefinedObject', `${what} does not exist`);
    ddl.context.notice('NOTICE', '00000', `${what} does not exist, skipping`);
  }
  return done(`DROP ${word.replaceAll('_', ' ')}`);
}

function lookUp(
  ddl: Ddl,
  name: QualifiedName,
  target: { readonly kind: NamedRelation['kind']; readonly word: string },
  missingOk: boolean,
): NamedRelation | undefined {
  const relation = ddl.catalog.findNamed(name);
  if (relation === undefined) {
    const hasSchema =
      name.schema === undefined ||
      ddl.catalog.schemasFor(name).length > 0 ||
      ddl.catalog.virtual.has(name.schema);
    const what = hasSchema ? `${target.word} "${nameText(name)}"` : `schema "${name.schema}"`;
    if (missingOk) {
      ddl.context.notice('NOTICE', '00000', `${what} does not exist, skipping`);
      return undefined;
    }
    if (!hasSchema) throw sqlError('invalidSchemaName', `${what} does not exist`);
    throw sqlError(
      target.kind === 'index' ? 'undefinedObject' : 'undefinedTable',
      `${what} does not exist`,
    );
  }
  if (relation.kind !== target.kind) {
    const hint =
      relation.kind === 'view'
        ? 'a view'
        : relation.kind === 'index'
          ? 'an index'
          : `a ${relation.kind}`;
    throw sqlError(
      'wrongObjectType',
      `"${name.name}" is not ${target.kind === 'index' ? 'an' : 'a'} ${target.word}`,
      {
        hint: `Use DROP ${relation.kind.toUpperCase()} to remove ${hint}.`,
      },
    );
  }
  return relation;
}

/** The objects one statement drops, with everything that goes with them. */
export class DropSet {
  readonly #ddl: Ddl;
  readonly #behavior: DropBehavior;
  readonly #relations = new Map<number, RelationDescriptor>();
  readonly #indexes: {
    readonly table: TableDescriptor;
    readonly indexId: number;
    readonly name: string;
  }[] = [];
  /** What RESTRICT complains about, and CASCADE reports. */
  readonly #dependents: {
    readonly what: string;
    readonly on: string;
    readonly drop: () => void;
  }[] = [];

  constructor(ddl: Ddl, behavior: DropBehavior) {
    this.#ddl = ddl;
    this.#behavior = behavior;
  }

  add(relation: NamedRelation): void {
    if (relation.kind === 'index') {
      refuseSystemTable(relation.table);
      if (relation.index.isConstraint || relation.index === relation.table.primaryIndex) {
        throw sqlError(
          'dependentObjectsStillExist',
          `cannot drop index ${relation.index.name} because constraint ${relation.index.name} on table ${relation.table.name} requires it`,
          {
            hint: `You can drop constraint ${relation.index.name} on table ${relation.table.name} instead.`,
          },
        );
      }
      refuseNewPrimaryKey(relation.table);
      this.#indexes.push({
        table: relation.table,
        indexId: relation.index.id,
        name: relation.index.name,
      });
      return;
    }
    refuseSystemTable(relation);
    this.#relations.set(relation.id, relation);
  }

  async run(): Promise<void> {
    // The set grows while dependents are found.
    for (const relation of this.#relations.values()) this.#collect(relation);
    for (const { table, name } of this.#indexes) this.#collectIndex(table, name);
    const [first] = this.#dependents;
    if (first !== undefined && this.#behavior !== 'DROP_CASCADE') {
      throw sqlError(
        'dependentObjectsStillExist',
        `cannot drop ${first.on} because other objects depend on it`,
        {
          detail: this.#dependents.map(({ what, on }) => `${what} depends on ${on}`).join('\n'),
          hint: 'Use DROP ... CASCADE to drop the dependent objects too.',
        },
      );
    }
    const count = this.#dependents.length;
    if (count === 1)
      this.#ddl.context.notice('NOTICE', '00000', `drop cascades to ${first?.what ?? ''}`);
    else if (count > 1) {
      this.#ddl.context.notice('NOTICE', '00000', `drop cascades to ${count} other objects`);
    }
    for (const { drop } of this.#dependents) drop();
    for (const { id } of this.#relations.values()) await this.#remove(id);
    for (const index of this.#indexes) await this.#removeIndex(index);
  }

  #collect(relation: RelationDescriptor): void {
    const { snapshot } = this.#ddl.catalog;
    const on = `${relation.kind} ${relation.name}`;
    for (const other of snapshot.data.descriptors.values()) {
      if (other.kind !== 'view' || !other.dependsOn.includes(relation.id)) continue;
      if (this.#relations.has(other.id)) continue;
      this.#relations.set(other.id, other);
      this.#dependents.push({ what: `view ${other.name}`, on, drop: () => {} });
      this.#collect(other);
    }
    if (relation.kind === 'table') this.#collectTable(relation, on);
    if (relation.kind === 'sequence') this.#collectSequence(relation, on);
  }

  #collectTable(table: TableDescriptor, on: string): void {
    const { snapshot } = this.#ddl.catalog;
    for (const { tableId, name } of table.referencedBy) {
      const other = snapshot.tableById(tableId);
      if (other === undefined || this.#relations.has(tableId)) continue;
      this.#dependents.push({
        what: `constraint ${name} on table ${other.name}`,
        on,
        drop: () => {
          const current = this.#ddl.catalog.snapshot.tableById(tableId);
          if (current === undefined) return;
          this.#ddl.writer.replace({
            ...current,
            foreignKeys: current.foreignKeys.filter((key) => key.name !== name),
          });
        },
      });
    }
    for (const column of table.columns) {
      for (const id of column.ownedSequenceIds ?? []) {
        const sequence = snapshot.byId(id);
        if (sequence?.kind === 'sequence') this.#relations.set(id, sequence);
      }
    }
  }

  /** Foreign keys to the table that no index would be left for. */
  #collectIndex(table: TableDescriptor, name: string): void {
    const gone = new Set(
      this.#indexes.filter((index) => index.table.id === table.id).map(({ indexId }) => indexId),
    );
    for (const back of table.referencedBy) {
      const { snapshot } = this.#ddl.catalog;
      const key = snapshot.tableById(back.tableId)?.foreignKeys.find((k) => k.name === back.name);
      if (key === undefined || this.#relations.has(back.tableId)) continue;
      const restsOn = referencedIndexes(table, key.referencedColumnIds);
      if (restsOn[0]?.name !== name || restsOn.some(({ id }) => !gone.has(id))) continue;
      this.#dependents.push({
        what: `constraint ${key.name} on table ${snapshot.tableById(back.tableId)?.name}`,
        on: `index ${name}`,
        drop: () => this.#dropReference(table.id, back),
      });
    }
  }

  /** Harmless when it has gone already. */
  #dropReference(id: number, back: TableDescriptor['referencedBy'][number]): void {
    const { catalog, writer } = this.#ddl;
    const child = catalog.snapshot.tableById(back.tableId);
    if (child !== undefined) {
      const foreignKeys = child.foreignKeys.filter((key) => key.name !== back.name);
      writer.replace({ ...child, foreignKeys });
    }
    const parent = catalog.snapshot.tableById(id);
    if (parent === undefined) return;
    const referencedBy = parent.referencedBy.filter(
      (other) => other.tableId !== back.tableId || other.name !== back.name,
    );
    writer.replace({ ...parent, referencedBy });
  }

  #collectSequence(sequence: SequenceDescriptor, on: string): void {
    const owner = sequence.ownedBy;
    if (owner === undefined || this.#relations.has(owner.tableId)) return;
    const table = this.#ddl.catalog.snapshot.tableById(owner.tableId);
    const column = table?.columns.find(({ id }) => id === owner.columnId);
    if (table === undefined || column?.defaultSql === undefined) return;
    if (column.identity !== undefined) {
      throw sqlError(
        'dependentObjectsStillExist',
        `cannot drop ${on} because column ${column.name} of table ${table.name} requires it`,
        { hint: `You can drop column ${column.name} of table ${table.name} instead.` },
      );
    }
    this.#dependents.push({
      what: `default value for column ${column.name} of table ${table.name}`,
      on,
      drop: () => {
        const current = this.#ddl.catalog.snapshot.tableById(table.id);
        if (current === undefined) return;
        const columns = current.columns.map((old) => {
          if (old.id !== column.id) return old;
          const { defaultSql: _, ...rest } = old;
          return rest;
        });
        this.#ddl.writer.replace({ ...current, columns });
      },
    });
  }

  async #remove(id: number): Promise<void> {
    const { catalog, writer } = this.#ddl;
    const relation = catalog.snapshot.byId(id);
    if (relation === undefined) return;
    recordObject(this.#ddl, 'drop', relation);
    if (relation.kind === 'sequence') {
      if (!this.#relations.has(relation.ownedBy?.tableId ?? 0)) releaseOwner(this.#ddl, relation);
      writer.remove(id);
      await clearLater(
        this.#ddl,
        `DROP SEQUENCE ${objectName(this.#ddl.catalog.snapshot, relation)}`,
        {
          databaseId: relation.databaseId,
          spans: [{ tableId: id, indexId: 1 }],
        },
      );
      return;
    }
    if (relation.kind === 'table') await this.#removeTable(relation);
    else writer.remove(id);
  }

  async #removeTable(table: TableDescriptor): Promise<void> {
    const { catalog, writer } = this.#ddl;
    for (const key of table.foreignKeys) {
      const other = catalog.snapshot.tableById(key.referencedTableId);
      if (other === undefined || other.id === table.id || this.#relations.has(other.id)) continue;
      writer.replace({
        ...other,
        referencedBy: other.referencedBy.filter(
          (back) => back.tableId !== table.id || back.name !== key.name,
        ),
      });
    }
    const spans = allIndexes(table).map(({ id }) => ({ tableId: table.id, indexId: id }));
    const { databaseId } = table;
    await clearLater(this.#ddl, `DROP TABLE ${objectName(this.#ddl.catalog.snapshot, table)}`, {
      databaseId,
      spans,
    });
    writer.remove(table.id);
    removeZones(this.#ddl, table);
  }

  async #removeIndex(dropped: {
    readonly table: TableDescriptor;
    readonly indexId: number;
    readonly name: string;
  }): Promise<void> {
    const { catalog, writer } = this.#ddl;
    const table = catalog.snapshot.tableById(dropped.table.id);
    if (table === undefined) return;
    const indexes = table.indexes.filter(({ id }) => id !== dropped.indexId);
    writer.replace({ ...table, indexes });
    recordIndex(this.#ddl, 'drop', table, dropped);
    const spans = [{ tableId: table.id, indexId: dropped.indexId }];
    await clearLater(
      this.#ddl,
      `DROP INDEX ${objectName(this.#ddl.catalog.snapshot, table)}@${dropped.name}`,
      {
        databaseId: table.databaseId,
        spans,
      },
    );
  }
}

function removeZones(ddl: Ddl, table: TableDescriptor): void {
  for (const subId of [0, ...allIndexes(table).map(({ id }) => id)]) {
    const zone = { id: table.id, subId };
    if (ddl.catalog.snapshot.data.zones.has(`${zone.id}/${zone.subId}`))
      ddl.writer.putZone(zone, undefined);
  }
}

async function dropSchemas(ddl: Ddl, stmt: DropStmt): Promise<StatementResult> {
  const { catalog, context } = ddl;
  for (const node of stmt.objects ?? []) {
    const parts = nameParts(node);
    const name = parts.at(-1) ?? '';
    const database =
      parts.length > 1 ? catalog.snapshot.database(parts[0] ?? '') : catalog.database;
    const schema = database === undefined ? undefined : catalog.snapshot.schema(database.id, name);
    if (schema === undefined) {
      if (catalog.virtual.has(name)) {
        throw sqlError(
          'dependentObjectsStillExist',
          `cannot drop schema ${name} because it is required by the database system`,
        );
      }
      if (stmt.missing_ok !== true)
        throw sqlError('invalidSchemaName', `schema "${name}" does not exist`);
      context.notice('NOTICE', '00000', `schema "${name}" does not exist, skipping`);
      continue;
    }
    await dropSchema(ddl, schema.id, name, stmt.behavior ?? 'DROP_RESTRICT');
    recordObject(ddl, 'drop', schema);
  }
  return done('DROP SCHEMA');
}

async function dropSchema(
  ddl: Ddl,
  schemaId: number,
  name: string,
  behavior: DropBehavior,
): Promise<void> {
  const inside = relationsIn(ddl, (relation) => relation.schemaId === schemaId);
  if (inside.length > 0 && behavior !== 'DROP_CASCADE') {
    throw sqlError(
      'dependentObjectsStillExist',
      `cannot drop schema ${name} because other objects depend on it`,
      {
        detail: inside
          .map((relation) => `${relation.kind} ${name}.${relation.name} depends on schema ${name}`)
          .join('\n'),
        hint: 'Use DROP ... CASCADE to drop the dependent objects too.',
      },
    );
  }
  if (inside.length > 0) {
    const what =
      inside.length === 1
        ? `${inside[0]?.kind} ${name}.${inside[0]?.name}`
        : `${inside.length} other objects`;
    ddl.context.notice('NOTICE', '00000', `drop cascades to ${what}`);
    const drop = new DropSet(ddl, 'DROP_CASCADE');
    for (const relation of inside) drop.add(relation);
    await drop.run();
  }
  ddl.writer.remove(schemaId);
}

export function relationsIn(
  ddl: Ddl,
  belongs: (relation: RelationDescriptor) => boolean,
): RelationDescriptor[] {
  const found: RelationDescriptor[] = [];
  for (const descriptor of ddl.catalog.snapshot.data.descriptors.values()) {
    if (descriptor.kind === 'database' || descriptor.kind === 'schema') continue;
    if (belongs(descriptor)) found.push(descriptor);
  }
  return found.sort((a, b) => a.id - b.id);
}

/** Views that show a column of that name of the table, as far as their text tells. */
export function viewsUsing(ddl: Ddl, table: TableDescriptor, column: string): ViewDescriptor[] {
  const word = new RegExp(
    `(^|[^\\w"])"?${column.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}"?($|[^\\w"])`,
  );
  const views = relationsIn(
    ddl,
    (relation) => relation.kind === 'view' && relation.dependsOn.includes(table.id),
  );
  return views.flatMap((view) => (view.kind === 'view' && word.test(view.query) ? [view] : []));
}

export function isCascade(behavior: DropBehavior | undefined): boolean {
  return behavior === 'DROP_CASCADE';
}
