/** Column definitions: types, SERIAL, IDENTITY, DEFAULT, GENERATED, and the constraints written beside a column. */
import { type ColumnDef, type Constraint, type Node } from '@pgsql/types';
import { type ColumnDescriptor, type SchemaDescriptor } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { formatType, oids } from '../types/index.ts';
import { bindQuery, chooseName, qualifiedText, type Ddl } from './context.ts';
import { findColumn, replaceColumn, type TableDraft } from './draft.ts';
import { columnType, stringOf, strings, visitNodes, type ColumnType } from './nodes.ts';
import { makeSequence, nextvalText, sequenceOptions, type SequenceOptions } from './sequences.ts';
import { checkGenerated, storedForTable } from './stored-expressions.ts';

const serialTypes: Readonly<Record<string, number>> = {
  smallserial: oids.int2,
  serial2: oids.int2,
  serial: oids.int4,
  serial4: oids.int4,
  bigserial: oids.int8,
  serial8: oids.int8,
};

const maxColumns = 1600;

/** A column and the constraints written with it that are the table's business. */
export interface NewColumn {
  readonly column: ColumnDescriptor;
  readonly constraints: readonly Constraint[];
}

/** Adds one column to the draft, makes its sequence, and hands back its table-level constraints. */
export async function addColumn(
  ddl: Ddl,
  schema: SchemaDescriptor,
  draft: TableDraft,
  def: ColumnDef,
): Promise<NewColumn> {
  const name = def.colname ?? '';
  if (findColumn(draft, name) !== undefined) {
    throw sqlError('duplicateColumn', `column "${name}" specified more than once`);
  }
  if (systemColumns.has(name)) {
    throw sqlError('duplicateColumn', `column name "${name}" conflicts with a system column name`);
  }
  if (draft.columns.length >= maxColumns) {
    throw sqlError('tooManyColumns', `tables can have at most ${maxColumns} columns`);
  }
  const serial = serialType(def);
  const type = serial === undefined ? columnType(def.typeName) : { oid: serial, typmod: -1 };
  if (def.collClause !== undefined) checkCollation(strings(def.collClause.collname));
  const id = draft.nextColumnId++;
  const blank: ColumnDescriptor = {
    id,
    name,
    typeOid: type.oid,
    typmod: type.typmod,
    nullable: true,
    state: 'public',
  };
  draft.columns = [...draft.columns, blank];
  let column = blank;
  const rest: Constraint[] = [];
  let explicitNull: boolean | undefined;
  const setNull = (nullable: boolean): void => {
    if (explicitNull !== undefined && explicitNull !== nullable) {
      throw sqlError(
        'syntaxError',
        `conflicting NULL/NOT NULL declarations for column "${name}" of table "${draft.name}"`,
      );
    }
    explicitNull = nullable;
  };
  const nodes = [...(def.constraints ?? [])];
  if (def.raw_default !== undefined) {
    nodes.push({ Constraint: { contype: 'CONSTR_DEFAULT', raw_expr: def.raw_default } });
  }
  for (const node of nodes) {
    if (!('Constraint' in node)) continue;
    const constraint = node.Constraint;
    switch (constraint.contype) {
      case 'CONSTR_NULL':
        setNull(true);
        break;
      case 'CONSTR_NOTNULL':
        setNull(false);
        break;
      case 'CONSTR_DEFAULT': {
        if (column.defaultSql !== undefined || serial !== undefined) {
          throw sqlError(
            'syntaxError',
            `multiple default values specified for column "${name}" of table "${draft.name}"`,
          );
        }
        const text = defaultText(ddl, constraint.raw_expr, type);
        if (text !== undefined) column = { ...column, defaultSql: text };
        break;
      }
      case 'CONSTR_IDENTITY':
        setNull(false);
        column = {
          ...column,
          identity: constraint.generated_when === 'a' ? 'always' : 'by-default',
        };
        replaceColumn(draft, column);
        column = await feedFromSequence(ddl, schema, draft, column, {
          ...sequenceOptions(constraint.options),
          typeOid: identityType(column.typeOid),
        });
        break;
      case 'CONSTR_GENERATED':
        column = { ...column, generatedSql: generatedText(ddl, constraint, draft, name) };
        break;
      case 'CONSTR_CHECK':
      case 'CONSTR_PRIMARY':
      case 'CONSTR_UNIQUE':
      case 'CONSTR_FOREIGN':
        rest.push(withColumn(constraint, name));
        break;
      default:
        applyAttribute(constraint, rest.at(-1));
    }
  }
  if (serial !== undefined) {
    setNull(false);
    column = await feedFromSequence(ddl, schema, draft, column, { typeOid: serial });
  }
  column = { ...column, nullable: explicitNull ?? true };
  if (column.generatedSql !== undefined && column.defaultSql !== undefined) {
    throw sqlError(
      'syntaxError',
      `both default and generation expression specified for column "${name}" of table "${draft.name}"`,
    );
  }
  replaceColumn(draft, column);
  return { column, constraints: rest };
}

const systemColumns = new Set(['tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid']);

function serialType(def: ColumnDef): number | undefined {
  const names = strings(def.typeName?.names);
  return names.length === 1 ? serialTypes[names[0] ?? ''] : undefined;
}

export function identityType(typeOid: number): number {
  if ([oids.int2, oids.int4, oids.int8].some((oid) => oid === typeOid)) return typeOid;
  throw sqlError(
    'invalidParameterValue',
    'identity column type must be smallint, integer, or bigint',
  );
}

const knownCollations = new Set(['default', 'C', 'POSIX', 'ucs_basic']);

export function checkCollation(parts: readonly string[]): void {
  const name = parts.at(-1) ?? '';
  if (knownCollations.has(name)) return;
  throw sqlError('featureNotSupported', `collation "${name}" is not supported`, {
    hint: 'Text is ordered by its bytes: collation "C".',
  });
}

/** A constraint written beside a column, as if written at the end of the table. */
function withColumn(constraint: Constraint, name: string): Constraint {
  const key: Node[] = [{ String: { sval: name } }];
  if (constraint.contype === 'CONSTR_FOREIGN') return { ...constraint, fk_attrs: key };
  return constraint.contype === 'CONSTR_CHECK' ? constraint : { ...constraint, keys: key };
}

/** DEFERRABLE and the like stand behind the constraint they belong to. */
function applyAttribute(attribute: Constraint, previous: Constraint | undefined): void {
  switch (attribute.contype) {
    case 'CONSTR_ATTR_DEFERRABLE':
    case 'CONSTR_ATTR_DEFERRED':
      if (previous !== undefined) refuseDeferrable();
      break;
    case 'CONSTR_ATTR_NOT_DEFERRABLE':
    case 'CONSTR_ATTR_IMMEDIATE':
    case 'CONSTR_ATTR_ENFORCED':
      break;
    default:
      throw sqlError(
        'featureNotSupported',
        `constraint ${attribute.contype ?? ''} is not supported`,
      );
  }
}

export function refuseDeferrable(): never {
  throw sqlError('featureNotSupported', 'deferrable constraints are not supported');
}

/** Makes the sequence of a SERIAL or IDENTITY column and returns the column with its default. */
export async function feedFromSequence(
  ddl: Ddl,
  schema: SchemaDescriptor,
  draft: TableDraft,
  column: ColumnDescriptor,
  options: SequenceOptions,
): Promise<ColumnDescriptor> {
  const name =
    options.name?.at(-1) ??
    chooseName(
      { table: draft.name, columns: [column.name], suffix: 'seq' },
      (candidate) => ddl.catalog.snapshot.named(schema.id, candidate) !== undefined,
    );
  const ownedBy = { tableId: draft.id, columnId: column.id };
  const sequence = await makeSequence(ddl, schema, name, options, ownedBy);
  return {
    ...column,
    nullable: false,
    defaultSql: nextvalText(ddl, sequence),
    ownedSequenceIds: [...(column.ownedSequenceIds ?? []), sequence.id],
  };
}

/** Deparsed DEFAULT; undefined for DEFAULT NULL. Throws 0A000 for what a default may not hold. */
export function defaultText(
  ddl: Ddl,
  expression: Node | undefined,
  type: ColumnType,
): string | undefined {
  if (expression === undefined) return undefined;
  visitNodes(expression, 'ColumnRef', () => {
    throw sqlError('featureNotSupported', 'cannot use column reference in DEFAULT expression');
  });
  visitNodes(expression, 'SubLink', () => {
    throw sqlError('featureNotSupported', 'cannot use subquery in DEFAULT expression');
  });
  if ('A_Const' in expression && expression.A_Const.isnull === true) return undefined;
  const target = { name: '', typeOid: type.oid, typmod: type.typmod };
  const text = storedForTable(ddl, undefined, expression, target);
  // A bare string takes the column's type, which PostgreSQL prints with it.
  const isBare = 'A_Const' in expression && expression.A_Const.sval !== undefined;
  return isBare ? `${text}::${formatType(type.oid, -1)}` : text;
}

function generatedText(ddl: Ddl, constraint: Constraint, draft: TableDraft, name: string): string {
  if (constraint.generated_kind === 'v') {
    throw sqlError('featureNotSupported', 'virtual generated columns are not supported', {
      hint: 'Write GENERATED ALWAYS AS (...) STORED.',
    });
  }
  const expression = constraint.raw_expr;
  if (expression === undefined)
    throw sqlError('syntaxError', 'a generation expression is expected');
  visitNodes(expression, 'SubLink', () => {
    throw sqlError('featureNotSupported', 'cannot use subquery in column generation expression');
  });
  visitNodes(expression, 'ColumnRef', (node) => {
    const fields = (node as { readonly fields?: readonly Node[] }).fields ?? [];
    const column = stringOf(fields.at(-1));
    if (column === name) {
      throw sqlError(
        'invalidObjectDefinition',
        `cannot use generated column "${column}" in column generation expression`,
      );
    }
    if (findColumn(draft, column)?.generatedSql !== undefined) {
      throw sqlError(
        'invalidObjectDefinition',
        `cannot use generated column "${column}" in column generation expression`,
        { detail: 'A generated column cannot reference another generated column.' },
      );
    }
  });
  return storedForTable(ddl, draft, expression, findColumn(draft, name));
}

/** Binds DEFAULT and GENERATED expressions of a table that the transaction sees: wrong ones fail here. */
export async function checkColumnExpressions(
  ddl: Ddl,
  table: TableDraft,
  columns: readonly ColumnDescriptor[],
): Promise<void> {
  const from = qualifiedText(ddl.catalog, table);
  for (const column of columns) {
    const type = formatType(column.typeOid, column.typmod);
    if (column.defaultSql !== undefined && column.ownedSequenceIds === undefined) {
      await checkAssignable(ddl, column, `(SELECT (${column.defaultSql}) AS v)`, 'default', type);
    }
    if (column.generatedSql !== undefined) {
      await checkAssignable(
        ddl,
        column,
        `(SELECT (${column.generatedSql}) AS v FROM ${from})`,
        'generation',
        type,
      );
      await checkGenerated(ddl, table, column);
    }
  }
}

async function checkAssignable(
  ddl: Ddl,
  column: ColumnDescriptor,
  source: string,
  what: 'default' | 'generation',
  type: string,
): Promise<void> {
  await bindQuery(ddl.context, `SELECT v::${type} FROM ${source} AS s`).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === '42846') {
      throw sqlError(
        'datatypeMismatch',
        `column "${column.name}" is of type ${formatType(column.typeOid)} but ${what} expression is of another type`,
        { hint: 'You will need to rewrite or cast the expression.' },
      );
    }
    throw error;
  });
}
