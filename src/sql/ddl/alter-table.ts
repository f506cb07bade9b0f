/** ALTER TABLE: one subcommand after the other, each on what the one before left. */
import { type AlterTableCmd, type AlterTableStmt, type Constraint, type Node } from '@pgsql/types';
import {
  isImplicitKey,
  objectName,
  type CheckDescriptor,
  type ColumnDescriptor,
  type DescriptorId,
  type IndexDescriptor,
  type SchemaDescriptor,
  type TableDescriptor,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { storedFormat } from '../row/index.ts';
import { type StatementResult } from '../session/types.ts';
import { typeOps } from '../types/index.ts';
import { isEmptyTable } from './backfill.ts';
import { changeType, validateRetyped } from './alter-type.ts';
import {
  addColumn,
  checkColumnExpressions,
  defaultText,
  feedFromSequence,
  identityType,
} from './columns.ts';
import {
  addCheck,
  addForeignKey,
  addNotNullCheck,
  checkBoolean,
  uniqueConstraint,
  validateCheck,
  validateForeignKey,
  validateNotNull,
} from './constraints.ts';
import {
  done,
  findNamed,
  findTable,
  noRelation,
  refuseNewPrimaryKey,
  refuseUnbuilt,
  runQuery,
  type Ddl,
} from './context.ts';
import {
  allIndexes,
  containsNulls,
  findColumn,
  generatedFrom,
  giveUpNotNull,
  namesWord,
  replaceColumn,
  requireColumn,
  settleNotNull,
  type TableDraft,
} from './draft.ts';
import { DropSet, isCascade, viewsUsing } from './drop.ts';
import { clearLater } from './drop-data.ts';
import { installIndexes } from './indexes.ts';
import { rangeName } from './nodes.ts';
import { recordObject } from './object-events.ts';
import { changeOwner } from './owners.ts';
import { addPrimaryKey, dropPrimaryKey } from './primary-key.ts';
import { limited, rewriteTable, valueSql } from './rewrite.ts';
import { alterSequenceWith, sequenceOptions } from './sequences.ts';
import { checkLater, isCheckedLater } from './validate.ts';

const tags: Readonly<Record<string, string>> = {
  OBJECT_INDEX: 'ALTER INDEX',
  OBJECT_VIEW: 'ALTER VIEW',
  OBJECT_SEQUENCE: 'ALTER SEQUENCE',
};

export async function alterTable(ddl: Ddl, stmt: AlterTableStmt): Promise<StatementResult> {
  const tag = tags[stmt.objtype ?? ''] ?? 'ALTER TABLE';
  const name = rangeName(stmt.relation);
  if (stmt.missing_ok === true && ddl.catalog.findNamed(name) === undefined) {
    ddl.context.notice('NOTICE', '00000', `relation "${name.name}" does not exist, skipping`);
    return done(tag);
  }
  const relation = findNamed(ddl, stmt.relation);
  const commands = (stmt.cmds ?? []).flatMap((node) =>
    'AlterTableCmd' in node ? [node.AlterTableCmd] : [],
  );
  if (relation.kind !== 'table') {
    for (const command of commands) {
      if (command.subtype === 'AT_ChangeOwner' && relation.kind !== 'index') {
        changeOwner(ddl, relation, command.newowner);
      } else if (!ignored.has(command.subtype ?? '')) {
        throw sqlError('wrongObjectType', `"${name.name}" is not a table`);
      }
    }
    return done(tag);
  }
  const table = findTable(ddl, stmt.relation);
  refuseUnbuilt(table);
  const rest: Rest = { retyped: new Set(), primaryKeys: [], foreignKeys: [] };
  for (const command of commands) await new TableChange(ddl, table.id, command, rest).run();
  for (const add of [...rest.primaryKeys, ...rest.foreignKeys]) await add();
  // Behind the last subcommand: what some of them break together, others may mend or drop.
  const after = ddl.catalog.snapshot.tableById(table.id);
  if (rest.retyped.size > 0 && after !== undefined) await validateRetyped(ddl, after, rest.retyped);
  const isAltered = after !== table;
  // A new owner has an event of its own.
  if (isAltered && commands.some(({ subtype }) => subtype !== 'AT_ChangeOwner')) {
    recordObject(ddl, 'alter', table);
  }
  return done(tag);
}

/** Storage parameters and the like, which have no meaning here. */
const ignored = new Set([
  'AT_SetStatistics',
  'AT_SetOptions',
  'AT_ResetOptions',
  'AT_SetStorage',
  'AT_SetCompression',
  'AT_ClusterOn',
  'AT_DropCluster',
  'AT_SetLogged',
  'AT_SetUnLogged',
  'AT_DropOids',
  'AT_SetAccessMethod',
  'AT_SetTableSpace',
  'AT_SetRelOptions',
  'AT_ResetRelOptions',
  'AT_ReplaceRelOptions',
  'AT_ReplicaIdentity',
]);

const reshaping = new Set([
  'AT_AddColumn',
  'AT_DropColumn',
  'AT_AlterColumnType',
  'AT_DropConstraint',
]);

/** What the subcommands of a statement leave to its end, whatever their order (PostgreSQL's passes). */
interface Rest {
  /** Ids of columns whose values the statement has changed. */
  readonly retyped: Set<number>;
  /** A new one is built with the columns and indexes that the others leave. */
  readonly primaryKeys: (() => Promise<void>)[];
  /** They may refer to it. */
  readonly foreignKeys: (() => Promise<void>)[];
}

class TableChange {
  readonly #ddl: Ddl;
  readonly #id: DescriptorId;
  readonly #command: AlterTableCmd;
  readonly #rest: Rest;

  constructor(ddl: Ddl, id: DescriptorId, command: AlterTableCmd, rest: Rest) {
    this.#ddl = ddl;
    this.#id = id;
    this.#command = command;
    this.#rest = rest;
  }

  /** The table as the subcommands before have left it. */
  get #table(): TableDescriptor {
    const table = this.#ddl.catalog.snapshot.tableById(this.#id);
    if (table === undefined) throw noRelation({ name: String(this.#id) });
    return table;
  }

  get #schema(): SchemaDescriptor {
    const schema = this.#ddl.catalog.snapshot.byId(this.#table.schemaId);
    if (schema?.kind !== 'schema') throw sqlError('internalError', 'a table without schema');
    return schema;
  }

  get #column(): ColumnDescriptor {
    return requireColumn(this.#table, this.#command.name ?? '');
  }

  #setColumn(column: ColumnDescriptor, drain = true): void {
    const draft: TableDraft = { ...this.#table };
    replaceColumn(draft, column);
    this.#ddl.writer.replace({ ...draft }, { drain });
  }

  async run(): Promise<void> {
    const { subtype, def } = this.#command;
    // What a subcommand before has begun to build holds the columns and indexes of that time.
    if (reshaping.has(subtype ?? '')) refuseNewPrimaryKey(this.#table);
    switch (subtype) {
      case 'AT_AddColumn':
        return this.#addColumn();
      case 'AT_DropColumn':
        return this.#dropColumn();
      case 'AT_ColumnDefault':
        return this.#setDefault(def);
      case 'AT_SetNotNull':
        return this.#setNotNull();
      case 'AT_DropNotNull':
        return this.#dropNotNull();
      case 'AT_AlterColumnType':
        return this.#changeType(def);
      case 'AT_DropExpression':
        return this.#dropExpression();
      case 'AT_AddIdentity':
        return this.#addIdentity(def);
      case 'AT_SetIdentity':
        return this.#setIdentity(def);
      case 'AT_DropIdentity':
        return this.#dropIdentity();
      case 'AT_AddConstraint':
        return this.#addConstraint(def);
      case 'AT_DropConstraint':
        return this.#dropConstraint();
      case 'AT_ValidateConstraint':
        return this.#validate();
      case 'AT_ChangeOwner':
        changeOwner(this.#ddl, this.#table, this.#command.newowner);
        return;
      case 'AT_EnableTrigAll':
      case 'AT_DisableTrigAll':
      case 'AT_EnableTrigUser':
      case 'AT_DisableTrigUser':
        // pg_dump --disable-triggers: there are no triggers.
        return;
      default:
        if (ignored.has(subtype ?? '')) return;
        throw sqlError(
          'featureNotSupported',
          `ALTER TABLE ${(subtype ?? '').replace('AT_', '')} is not supported`,
        );
    }
  }

  // Columns.

  async #addColumn(): Promise<void> {
    const { context, writer } = this.#ddl;
    const def = this.#command.def;
    if (def === undefined || !('ColumnDef' in def)) return;
    const before = this.#table;
    const name = def.ColumnDef.colname ?? '';
    if (findColumn(before, name) !== undefined) {
      if (this.#command.missing_ok !== true) {
        throw sqlError(
          'duplicateColumn',
          `column "${name}" of relation "${before.name}" already exists`,
        );
      }
      const text = `column "${name}" of relation "${before.name}" already exists, skipping`;
      context.notice('NOTICE', '42701', text);
      return;
    }
    const draft: TableDraft = { ...before };
    const added = await addColumn(this.#ddl, this.#schema, draft, def.ColumnDef);
    const { column } = added;
    await checkColumnExpressions(this.#ddl, before, [column]);
    const primary = added.constraints.find(({ contype }) => contype === 'CONSTR_PRIMARY');
    const isEmpty = await isEmptyTable(context.txn, before);
    const mustFill = column.defaultSql !== undefined || column.generatedSql !== undefined;
    if (!isEmpty && !mustFill && (!column.nullable || primary !== undefined)) {
      throw containsNulls(before, column);
    }
    if (isEmpty || !mustFill) writer.replace({ ...draft });
    else await this.#fillColumn(before, draft, column);
    for (const constraint of added.constraints)
      await this.#addConstraint({ Constraint: constraint }, name);
  }

  /** A constant default is kept in the descriptor for the rows that are there; any other is written into them. */
  async #fillColumn(
    before: TableDescriptor,
    draft: TableDraft,
    column: ColumnDescriptor,
  ): Promise<void> {
    const { context, writer } = this.#ddl;
    const sql = valueSql(column.generatedSql ?? column.defaultSql ?? 'NULL', column);
    if (column.generatedSql === undefined && isConstant(sql)) {
      const rows = await runQuery(context, `SELECT ${sql}`);
      const value = limited(rows[0]?.[0] ?? null, column, context.eval);
      if (value === null && !column.nullable) throw containsNulls(before, column);
      const text = value === null ? undefined : typeOps(column.typeOid).format(value, storedFormat);
      replaceColumn(draft, text === undefined ? column : { ...column, missingText: text });
      writer.replace({ ...draft });
      return;
    }
    await rewriteTable(this.#ddl, before, draft, new Map([[column.id, sql]]));
  }

  async #changeType(def: Node | undefined): Promise<void> {
    const column = this.#column;
    if (await changeType(this.#ddl, this.#table, column, def)) this.#rest.retyped.add(column.id);
  }

  async #dropColumn(): Promise<void> {
    const { context, catalog } = this.#ddl;
    const before = this.#table;
    const name = this.#command.name ?? '';
    const column = findColumn(before, name);
    if (column === undefined) {
      if (this.#command.missing_ok === true) {
        const text = `column "${name}" of relation "${before.name}" does not exist, skipping`;
        context.notice('NOTICE', '00000', text);
        return;
      }
      throw requireColumnError(before, name);
    }
    await this.#dropColumnDependents(before, column);
    // What the drop of dependents left.
    const draft: TableDraft = { ...this.#table };
    if (draft.primaryIndex.columns.some(({ columnId }) => columnId === column.id)) {
      await dropPrimaryKey(this.#ddl, this.#table);
      Object.assign(draft, this.#table);
    }
    const uses = (index: IndexDescriptor): boolean =>
      index.columns.some(({ columnId }) => columnId === column.id) ||
      index.storedColumnIds.includes(column.id) ||
      (index.predicateSql !== undefined && namesWord(index.predicateSql, name));
    const dropped = draft.indexes.filter(uses);
    draft.indexes = draft.indexes.filter((index) => !uses(index));
    draft.checks = draft.checks.filter((check) => !check.columnIds.includes(column.id));
    for (const key of draft.foreignKeys) {
      if (key.columnIds.includes(column.id))
        this.#forgetReference(key.referencedTableId, key.name, draft);
    }
    draft.foreignKeys = draft.foreignKeys.filter((key) => !key.columnIds.includes(column.id));
    draft.columns = draft.columns.filter(({ id }) => id !== column.id);
    this.#ddl.writer.replace({ ...draft });
    const spans = dropped.map(({ id }) => ({ tableId: draft.id, indexId: id }));
    const description = `ALTER TABLE ${objectName(this.#ddl.catalog.snapshot, draft)} DROP COLUMN ${name}`;
    await clearLater(this.#ddl, description, { databaseId: draft.databaseId, spans });
    const owned = new DropSet(this.#ddl, 'DROP_CASCADE');
    for (const id of column.ownedSequenceIds ?? []) {
      const sequence = catalog.snapshot.byId(id);
      if (sequence?.kind === 'sequence') owned.add(sequence);
    }
    await owned.run();
  }

  async #dropColumnDependents(table: TableDescriptor, column: ColumnDescriptor): Promise<void> {
    const { catalog, writer } = this.#ddl;
    const views = viewsUsing(this.#ddl, table, column.name);
    const generated = generatedFrom(table, column);
    const keys = table.referencedBy.flatMap(({ tableId, name }) => {
      const other = catalog.snapshot.tableById(tableId);
      const key = other?.foreignKeys.find((candidate) => candidate.name === name);
      return other !== undefined &&
        key?.referencedColumnIds.includes(column.id) === true &&
        tableId !== table.id
        ? [{ other, name }]
        : [];
    });
    const details = [
      ...views.map((view) => `view ${view.name}`),
      ...generated.map((other) => `column ${other.name} of table ${table.name}`),
      ...keys.map(({ other, name }) => `constraint ${name} on table ${other.name}`),
    ];
    if (details.length === 0) return;
    const on = `column ${column.name} of table ${table.name}`;
    if (!isCascade(this.#command.behavior)) {
      throw sqlError(
        'dependentObjectsStillExist',
        `cannot drop ${on} because other objects depend on it`,
        {
          detail: details.map((what) => `${what} depends on ${on}`).join('\n'),
          hint: 'Use DROP ... CASCADE to drop the dependent objects too.',
        },
      );
    }
    for (const { other, name } of keys) {
      const foreignKeys = other.foreignKeys.filter((key) => key.name !== name);
      writer.replace({ ...other, foreignKeys });
      const current = this.#table;
      const referencedBy = current.referencedBy.filter(
        (back) => back.tableId !== other.id || back.name !== name,
      );
      writer.replace({ ...current, referencedBy });
    }
    if (generated.length > 0) {
      const gone = new Set(generated.map(({ id }) => id));
      const current = this.#table;
      writer.replace({ ...current, columns: current.columns.filter(({ id }) => !gone.has(id)) });
    }
    const drop = new DropSet(this.#ddl, 'DROP_CASCADE');
    for (const view of views) drop.add(view);
    await drop.run();
  }

  #forgetReference(tableId: DescriptorId, name: string, draft: TableDraft): void {
    const { catalog, writer } = this.#ddl;
    const keep = (back: { readonly tableId: number; readonly name: string }): boolean =>
      back.tableId !== draft.id || back.name !== name;
    if (tableId === draft.id) {
      draft.referencedBy = draft.referencedBy.filter(keep);
      return;
    }
    const other = catalog.snapshot.tableById(tableId);
    if (other !== undefined) {
      writer.replace({ ...other, referencedBy: other.referencedBy.filter(keep) });
    }
  }

  async #setDefault(expression: Node | undefined): Promise<void> {
    const column = this.#column;
    if (column.identity !== undefined) {
      throw sqlError(
        'syntaxError',
        `column "${column.name}" of relation "${this.#table.name}" is an identity column`,
      );
    }
    if (column.generatedSql !== undefined) {
      throw sqlError(
        'syntaxError',
        `column "${column.name}" of relation "${this.#table.name}" is a generated column`,
      );
    }
    const { defaultSql: _, ...rest } = column;
    const text = defaultText(this.#ddl, expression, { oid: column.typeOid, typmod: column.typmod });
    const { ownedSequenceIds: __, ...plain } = {
      ...rest,
      ...(text === undefined ? {} : { defaultSql: text }),
    };
    await checkColumnExpressions(this.#ddl, this.#table, [plain]);
    this.#setColumn(text === undefined ? rest : { ...rest, defaultSql: text });
  }

  async #setNotNull(): Promise<void> {
    const column = this.#column;
    if (!column.nullable) return;
    const table = this.#table;
    if (!(await isCheckedLater(this.#ddl, table))) {
      await validateNotNull(this.#ddl, table, column);
      this.#setColumn({ ...column, nullable: false });
      return;
    }
    // Whatever becomes of this session, no column is NOT NULL whose rows nobody has looked at.
    const draft: TableDraft = { ...table };
    const ids = [await addNotNullCheck(this.#ddl, draft, column)];
    this.#ddl.writer.replace({ ...draft });
    checkLater(this.#ddl, {
      description: `check that column ${column.name} has no nulls`,
      tableId: table.id,
      check: (ddl) => validateNotNull(ddl, table, column),
      accept: (current) => settleNotNull(current, ids),
      undo: (writer, current) => writer.replace(giveUpNotNull(current, ids), { drain: false }),
    });
  }

  async #dropNotNull(): Promise<void> {
    const column = this.#column;
    const table = this.#table;
    const isKey = allIndexes(table).some(
      (index) =>
        (index === table.primaryIndex || index.replaces === table.primaryIndex.id) &&
        index.columns.some(({ columnId }) => columnId === column.id),
    );
    if (isKey) {
      throw sqlError('invalidTableDefinition', `column "${column.name}" is in a primary key`);
    }
    if (column.identity !== undefined) {
      throw sqlError(
        'syntaxError',
        `column "${column.name}" of relation "${table.name}" is an identity column`,
      );
    }
    const draft: TableDraft = { ...table };
    draft.checks = draft.checks.filter((check) => !standsForNotNull(check, column));
    replaceColumn(draft, { ...column, nullable: true });
    this.#ddl.writer.replace({ ...draft });
  }

  async #dropExpression(): Promise<void> {
    const { generatedSql, ...column } = this.#column;
    if (generatedSql === undefined) {
      if (this.#command.missing_ok === true) return;
      throw sqlError(
        'objectNotInPrerequisiteState',
        `column "${column.name}" of relation "${this.#table.name}" is not a stored generated column`,
      );
    }
    this.#setColumn(column);
  }

  async #addIdentity(def: Node | undefined): Promise<void> {
    const column = this.#column;
    const table = this.#table;
    if (def === undefined || !('Constraint' in def)) return;
    const state = `column "${column.name}" of relation "${table.name}"`;
    if (column.identity !== undefined) {
      throw sqlError('objectNotInPrerequisiteState', `${state} is already an identity column`);
    }
    if (column.defaultSql !== undefined) {
      throw sqlError('objectNotInPrerequisiteState', `${state} already has a default value`);
    }
    if (column.nullable && !table.checks.some((check) => standsForNotNull(check, column))) {
      throw sqlError(
        'objectNotInPrerequisiteState',
        `${state} must be declared NOT NULL before identity can be added`,
      );
    }
    const typeOid = identityType(column.typeOid);
    const fed = await feedFromSequence(this.#ddl, this.#schema, { ...table }, column, {
      ...sequenceOptions(def.Constraint.options),
      typeOid,
    });
    this.#setColumn({
      ...fed,
      identity: def.Constraint.generated_when === 'a' ? 'always' : 'by-default',
    });
  }

  async #setIdentity(def: Node | undefined): Promise<void> {
    const column = this.#column;
    if (column.identity === undefined) throw notIdentity(this.#table, column);
    const nodes = def !== undefined && 'List' in def ? (def.List.items ?? []) : [];
    const rest: Node[] = [];
    for (const node of nodes) {
      if ('DefElem' in node && node.DefElem.defname === 'generated') {
        const always =
          node.DefElem.arg !== undefined &&
          'Integer' in node.DefElem.arg &&
          node.DefElem.arg.Integer.ival === 97;
        this.#setColumn({ ...column, identity: always ? 'always' : 'by-default' });
      } else rest.push(node);
    }
    const sequence = this.#ddl.catalog.snapshot.byId(column.ownedSequenceIds?.[0] ?? 0);
    if (rest.length > 0 && sequence?.kind === 'sequence') {
      alterSequenceWith(this.#ddl, sequence, sequenceOptions(rest));
    }
  }

  async #dropIdentity(): Promise<void> {
    const { identity, defaultSql: _, ownedSequenceIds, ...column } = this.#column;
    if (identity === undefined) {
      if (this.#command.missing_ok === true) return;
      throw notIdentity(this.#table, this.#column);
    }
    this.#setColumn(column);
    const drop = new DropSet(this.#ddl, 'DROP_CASCADE');
    for (const id of ownedSequenceIds ?? []) {
      const sequence = this.#ddl.catalog.snapshot.byId(id);
      if (sequence?.kind === 'sequence') {
        const { ownedBy: __, ...free } = sequence;
        drop.add(this.#ddl.writer.replace(free));
      }
    }
    await drop.run();
  }

  // Constraints.

  async #addConstraint(def: Node | undefined, column?: string): Promise<void> {
    if (def === undefined || !('Constraint' in def)) return;
    const constraint: Constraint = def.Constraint;
    const add = (): Promise<void> => this.#installConstraint(constraint, column);
    if (constraint.contype === 'CONSTR_PRIMARY') this.#rest.primaryKeys.push(add);
    else if (constraint.contype === 'CONSTR_FOREIGN') this.#rest.foreignKeys.push(add);
    else await add();
  }

  async #installConstraint(constraint: Constraint, column: string | undefined): Promise<void> {
    const draft: TableDraft = { ...this.#table };
    switch (constraint.contype) {
      case 'CONSTR_PRIMARY':
        return addPrimaryKey(this.#ddl, this.#table, constraint);
      case 'CONSTR_UNIQUE': {
        if (constraint.indexname !== undefined) return this.#adoptIndex(constraint);
        const index = uniqueConstraint(this.#ddl, draft, constraint);
        const text = `ALTER TABLE ${draft.name} ADD CONSTRAINT ${index.name} UNIQUE`;
        return installIndexes(this.#ddl, draft, [index], text);
      }
      case 'CONSTR_CHECK': {
        const check = addCheck(this.#ddl, draft, constraint, column);
        await checkBoolean(this.#ddl, this.#table, check.sql, 'CHECK');
        if (!check.validated) this.#ddl.writer.replace({ ...draft });
        else if (await isCheckedLater(this.#ddl, this.#table)) {
          draft.checks = draft.checks.map((other) =>
            other === check ? { ...check, validated: false } : other,
          );
          this.#ddl.writer.replace({ ...draft });
          this.#checkLater(check.name, (ddl) => validateCheck(ddl, draft, check));
        } else {
          await validateCheck(this.#ddl, this.#table, check);
          this.#ddl.writer.replace({ ...draft });
        }
        return;
      }
      case 'CONSTR_FOREIGN': {
        const later =
          constraint.skip_validation !== true && (await isCheckedLater(this.#ddl, draft));
        const key = addForeignKey(this.#ddl, draft, {
          ...constraint,
          skip_validation: constraint.skip_validation === true || later,
        });
        const table = this.#ddl.writer.replace({ ...draft });
        if (later) this.#checkLater(key.name, (ddl) => validateForeignKey(ddl, table, key));
        else if (key.validated) await validateForeignKey(this.#ddl, table, key);
        return;
      }
      case 'CONSTR_NOTNULL': {
        throw sqlError('featureNotSupported', 'named NOT NULL constraints are not supported', {
          hint: 'Use ALTER COLUMN ... SET NOT NULL.',
        });
      }
      default:
        throw sqlError(
          'featureNotSupported',
          `${constraint.contype ?? 'this'} constraint is not supported`,
        );
    }
  }

  /** The constraint stands, not yet validated; the rows are looked at behind the commit. */
  #checkLater(name: string, check: (ddl: Ddl) => Promise<void>): void {
    checkLater(this.#ddl, {
      description: `check the rows of ${this.#table.name} for constraint ${name}`,
      tableId: this.#id,
      check,
      accept: (table) => validated(table, name),
      undo: (writer, table) => {
        const key = table.foreignKeys.find((candidate) => candidate.name === name);
        const keep = (entry: { readonly name: string }): boolean => entry.name !== name;
        const isBack = (entry: { readonly tableId: number; readonly name: string }): boolean =>
          entry.tableId !== table.id || entry.name !== name;
        writer.replace({
          ...table,
          checks: table.checks.filter(keep),
          foreignKeys: table.foreignKeys.filter(keep),
          referencedBy:
            key?.referencedTableId === table.id
              ? table.referencedBy.filter(isBack)
              : table.referencedBy,
        });
        const other =
          key === undefined || key.referencedTableId === table.id
            ? undefined
            : writer.snapshot.tableById(key.referencedTableId);
        if (other !== undefined)
          writer.replace({ ...other, referencedBy: other.referencedBy.filter(isBack) });
      },
    });
  }

  /** ADD CONSTRAINT ... UNIQUE USING INDEX. */
  async #adoptIndex(constraint: Constraint): Promise<void> {
    const table = this.#table;
    const index = table.indexes.find(({ name }) => name === constraint.indexname);
    if (index === undefined) {
      throw sqlError('undefinedObject', `index "${constraint.indexname}" does not exist`);
    }
    if (!index.unique || index.predicateSql !== undefined) {
      throw sqlError('wrongObjectType', `"${index.name}" is not a unique index`);
    }
    const name = constraint.conname ?? index.name;
    const indexes = table.indexes.map((other) =>
      other.id === index.id ? { ...index, name, isConstraint: true } : other,
    );
    this.#ddl.writer.replace({ ...table, indexes }, { drain: false });
  }

  async #dropConstraint(): Promise<void> {
    const { context, writer } = this.#ddl;
    const name = this.#command.name ?? '';
    const table = this.#table;
    const check = table.checks.find((candidate) => candidate.name === name);
    if (check !== undefined) {
      writer.replace({ ...table, checks: table.checks.filter((other) => other !== check) });
      return;
    }
    const key = table.foreignKeys.find((candidate) => candidate.name === name);
    if (key !== undefined) {
      const draft: TableDraft = { ...table };
      this.#forgetReference(key.referencedTableId, name, draft);
      draft.foreignKeys = draft.foreignKeys.filter((other) => other !== key);
      writer.replace({ ...draft });
      return;
    }
    const index = allIndexes(table).find(
      (candidate) => candidate.isConstraint && candidate.name === name,
    );
    if (index === undefined || (index === table.primaryIndex && isImplicitKey(table))) {
      const text = `constraint "${name}" of relation "${table.name}" does not exist`;
      if (this.#command.missing_ok !== true) throw sqlError('undefinedObject', text);
      context.notice('NOTICE', '00000', `${text}, skipping`);
      return;
    }
    this.#dropReferencesTo(index);
    if (index === table.primaryIndex) return dropPrimaryKey(this.#ddl, this.#table);
    const current = this.#table;
    writer.replace({ ...current, indexes: current.indexes.filter(({ id }) => id !== index.id) });
    const description = `ALTER TABLE ${objectName(this.#ddl.catalog.snapshot, table)} DROP CONSTRAINT ${name}`;
    await clearLater(this.#ddl, description, {
      databaseId: table.databaseId,
      spans: [{ tableId: table.id, indexId: index.id }],
    });
  }

  /** Foreign keys that need this unique index to find their rows. */
  #dropReferencesTo(index: IndexDescriptor): void {
    const { catalog, writer } = this.#ddl;
    const table = this.#table;
    const ids = index.columns.map(({ columnId }) => columnId);
    for (const { tableId, name } of table.referencedBy) {
      const other = catalog.snapshot.tableById(tableId);
      const key = other?.foreignKeys.find((candidate) => candidate.name === name);
      if (other === undefined || key === undefined) continue;
      const same =
        key.referencedColumnIds.length === ids.length &&
        key.referencedColumnIds.every((id) => ids.includes(id));
      if (!same) continue;
      const on = `constraint ${index.name} on table ${table.name}`;
      if (!isCascade(this.#command.behavior)) {
        throw sqlError(
          'dependentObjectsStillExist',
          `cannot drop ${on} because other objects depend on it`,
          {
            detail: `constraint ${name} on table ${other.name} depends on index ${index.name}`,
            hint: 'Use DROP ... CASCADE to drop the dependent objects too.',
          },
        );
      }
      const foreignKeys = other.foreignKeys.filter((candidate) => candidate !== key);
      writer.replace({ ...other, foreignKeys });
      const current = this.#table;
      const referencedBy = current.referencedBy.filter(
        (back) => back.tableId !== tableId || back.name !== name,
      );
      writer.replace({ ...current, referencedBy });
    }
  }

  async #validate(): Promise<void> {
    const name = this.#command.name ?? '';
    const table = this.#table;
    const check = table.checks.find((candidate) => candidate.name === name);
    const key = table.foreignKeys.find((candidate) => candidate.name === name);
    const run = async (ddl: Ddl): Promise<void> => {
      if (check !== undefined) await validateCheck(ddl, table, check);
      else if (key !== undefined) await validateForeignKey(ddl, table, key);
    };
    if (check === undefined && key === undefined) {
      throw sqlError(
        'undefinedObject',
        `constraint "${name}" of relation "${table.name}" does not exist`,
      );
    }
    if (await isCheckedLater(this.#ddl, table)) {
      checkLater(this.#ddl, {
        description: `validate constraint ${name}`,
        tableId: table.id,
        check: run,
        accept: (current) => validated(current, name),
      });
      return;
    }
    await run(this.#ddl);
    this.#ddl.writer.replace(validated(table, name), { drain: false });
  }
}

function standsForNotNull(check: CheckDescriptor, column: ColumnDescriptor): boolean {
  return check.becomesNotNull !== undefined && check.columnIds.includes(column.id);
}

/** The table with that CHECK or FOREIGN KEY marked as valid for all rows. */
function validated(table: TableDescriptor, name: string): TableDescriptor {
  const mark = <T extends { readonly name: string; readonly validated: boolean }>(item: T): T =>
    item.name === name ? { ...item, validated: true } : item;
  return { ...table, checks: table.checks.map(mark), foreignKeys: table.foreignKeys.map(mark) };
}

function requireColumnError(table: TableDescriptor, name: string): Error {
  return sqlError('undefinedColumn', `column "${name}" of relation "${table.name}" does not exist`);
}

function notIdentity(table: TableDescriptor, column: ColumnDescriptor): Error {
  return sqlError(
    'objectNotInPrerequisiteState',
    `column "${column.name}" of relation "${table.name}" is not an identity column`,
  );
}

/** Functions whose value differs from row to row; every other default is evaluated once, as PostgreSQL does. */
const volatileCall =
  /\b(nextval|random|gen_random_uuid|uuid_generate_v\d\w*|clock_timestamp|timeofday|unique_rowid|setval|gen_random_bytes)\b/i;

function isConstant(sql: string): boolean {
  return !volatileCall.test(sql);
}
