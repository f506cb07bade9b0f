/**
 * A small database for planner and executor tests: LocalDb below, a catalog of hand-made
 * descriptors above. It understands the DDL that the scripts need, nothing more.
 */
import { type ColumnDef, type Constraint, type Node, type RangeVar } from '@pgsql/types';
import { asNodeId, HlcClock, LocalDb, type Txn, KvFailure } from '../../../src/kv/index.ts';
import { silentLogger, type Env, must } from '../../../src/util/index.ts';
import { type Catalog, type Relation } from '../../../src/sql/catalog/types.ts';
import {
  type ColumnDescriptor,
  type ForeignKeyDescriptor,
  type IndexDescriptor,
  type ReferentialAction,
  type SequenceDescriptor,
  type TableDescriptor,
  type ViewDescriptor,
} from '../../../src/sql/catalog/descriptors.ts';
import { type EventLog } from '../../../src/sql/events/index.ts';
import { type JobRegistry } from '../../../src/sql/jobs/index.ts';
import { CatalogCache } from '../../../src/sql/catalog/index.ts';
import { control, eventLogOf, jobsOf } from '../ddl/node.ts';
import { SqlFailure } from '../../../src/sql/errors.ts';
import { type EvalContext } from '../../../src/sql/functions/index.ts';
import { loadParser, parseStatements } from '../../../src/sql/parse/index.ts';
import { rowProgramCompiler } from '../../../src/sql/exec/index.ts';
import { planStatement } from '../../../src/sql/plan/index.ts';
import { typeFromName } from '../../../src/sql/plan/bind/resolve.ts';
import { type StatementContext } from '../../../src/sql/session/types.ts';
import { type Datum, defaultFormat, type Row, typeOps } from '../../../src/sql/types/index.ts';

export interface Answer {
  readonly columns: readonly { readonly name: string; readonly typeOid: number }[];
  readonly rows: readonly Row[];
  readonly tag: string;
}

let micros = 1_700_000_000_000_000;

export function testEnv(): Env {
  return {
    clock: { wallMicros: () => (micros += 10), monotonicMs: () => micros / 1000 },
    timers: {
      after: (ms, fn) => {
        const timer = setTimeout(fn, ms);
        return { cancel: () => clearTimeout(timer) };
      },
      immediate: (fn) => void setImmediate(fn),
    },
    random: { u32: () => 4, float: () => 0.5, bytes: (n) => Buffer.alloc(n, 7) },
    disk: {} as Env['disk'],
    log: silentLogger,
    checks: true,
    sometimes: () => false,
  };
}

const systemColumns = { databaseId: 1, schemaId: 2, owner: 'root', version: 1 } as const;

export class TestDatabase implements Catalog {
  readonly env = testEnv();
  readonly jobs: JobRegistry;
  readonly eventLog: EventLog;
  readonly db: LocalDb;
  version = 1;
  readonly tables = new Map<string, TableDescriptor>();
  readonly views = new Map<string, ViewDescriptor>();
  readonly sequences = new Map<
    string,
    { descriptor: SequenceDescriptor; value: bigint; called: boolean }
  >();
  readonly notices: string[] = [];
  memoryLimitBytes = 256 * 1024 * 1024;
  #nextId = 100;
  #lastSequence: string | undefined;
  /** An open explicit transaction. */
  #open: Txn | undefined;
  readonly eval: EvalContext;

  constructor() {
    const clock = new HlcClock(this.env.clock, { maxOffsetMicros: 0 });
    this.db = new LocalDb({
      clock,
      nodeId: asNodeId(1),
      rowPrograms: rowProgramCompiler,
      timers: this.env.timers,
    });
    const cache = new CatalogCache({ env: this.env, db: this.db, nodeId: asNodeId(1) });
    this.jobs = jobsOf(cache);
    this.eventLog = eventLogOf(cache);
    this.eval = this.#evalContext();
  }

  #evalContext(): EvalContext {
    const now = 757_382_400_000_000n; // 2024-01-01 00:00 UTC
    const sequence = (
      name: string | number,
    ): { descriptor: SequenceDescriptor; value: bigint; called: boolean } => {
      const text = String(name)
        .replace(/^public\./, '')
        .replaceAll('"', '');
      const found = [...this.sequences.values()].find(
        (s) => s.descriptor.name === text || s.descriptor.id === Number(name),
      );
      if (found === undefined) throw new SqlFailure('42P01', `relation "${text}" does not exist`);
      return found;
    };
    return {
      ...defaultFormat,
      nowMicros: now,
      statementMicros: now,
      clockMicros: () => now,
      random: () => 0.5,
      setSeed: () => undefined,
      randomBytes: (n) => Buffer.alloc(n, 1),
      currentUser: 'root',
      sessionUser: 'root',
      currentDatabase: 'defaultdb',
      currentSchemas: ['pg_catalog', 'public'],
      backendPid: 1,
      setting: () => undefined,
      setSetting: (_name, value) => value ?? '',
      host: {
        nextval: async (name) => {
          const found = sequence(name);
          found.value = found.called
            ? found.value + BigInt(found.descriptor.increment)
            : found.value;
          found.called = true;
          this.#lastSequence = found.descriptor.name;
          return found.value;
        },
        currval: async (name) => sequence(name).value,
        setval: async (name, value, isCalled) => {
          const found = sequence(name);
          found.value = value;
          found.called = isCalled;
          return value;
        },
        lastval: async () => sequence(this.#lastSequence ?? '').value,
        lookupOid: async (_kind, name) => {
          const plain = name.replace(/^public\./, '').replaceAll('"', '');
          return (
            this.tables.get(plain)?.id ??
            this.sequences.get(plain)?.descriptor.id ??
            this.views.get(plain)?.id
          );
        },
        lookupName: async (_kind, oid) =>
          [...this.tables.values()].find((t) => t.id === oid)?.name ??
          [...this.sequences.values()].find((s) => s.descriptor.id === oid)?.descriptor.name,
        catalogFunction: async () => null,
        checkConsistency: async () => [],
      },
    };
  }

  // Catalog.

  async findRelation(name: {
    readonly schema?: string | undefined;
    readonly name: string;
  }): Promise<Relation | undefined> {
    if (name.schema !== undefined && name.schema !== 'public') return undefined;
    const table = this.tables.get(name.name);
    if (table !== undefined) return { kind: 'table', table, schemaName: 'public' };
    const view = this.views.get(name.name);
    if (view !== undefined) return { kind: 'view', view, schemaName: 'public' };
    const sequence = this.sequences.get(name.name);
    if (sequence === undefined) return undefined;
    const { descriptor } = sequence;
    return {
      kind: 'sequence',
      sequence: descriptor,
      schemaName: 'public',
      table: {
        oid: descriptor.id,
        schema: 'public',
        name: descriptor.name,
        columns: [{ name: 'last_value', typeOid: 20, typmod: -1 }],
        indexedColumns: [],
        rows: async () => [],
      },
    };
  }

  async tableById(id: number): Promise<TableDescriptor | undefined> {
    return [...this.tables.values()].find((table) => table.id === id);
  }

  async findDatabase(): Promise<undefined> {
    return undefined;
  }

  async findSchema(): Promise<undefined> {
    return undefined;
  }

  async all(): Promise<Awaited<ReturnType<Catalog['all']>>> {
    return {
      databases: [],
      schemas: [],
      tables: [...this.tables.values()],
      sequences: [],
      views: [...this.views.values()],
    };
  }

  // Running.

  /** Runs every statement of `sql`; gives the last one's answer. */
  async run(
    sql: string,
    params: readonly Datum[] = [],
    parameterTypes: readonly number[] = [],
  ): Promise<Answer> {
    await loadParser();
    let answer: Answer = { columns: [], rows: [], tag: '' };
    for (const { statement, text } of parseStatements(sql)) {
      if (statement.kind !== 'postgres') throw new Error('only PostgreSQL statements here');
      answer =
        (await this.#utility(statement.node)) ??
        (await this.#execute(statement.node, text, statement.upsert, params, parameterTypes));
    }
    return answer;
  }

  async #execute(
    node: Node,
    text: string,
    upsert: boolean,
    params: readonly Datum[],
    parameterTypes: readonly number[],
  ): Promise<Answer> {
    for (let attempt = 0; ; attempt++) {
      const autocommit = this.#open === undefined;
      const txn = this.#open ?? this.db.begin();
      const savepoint = txn.savepoint();
      try {
        const plan = await planStatement({
          statement: node,
          parameterTypes,
          text,
          upsert,
          catalog: this,
          eval: this.eval,
        });
        const result = await plan.execute(this.context(txn, autocommit, params));
        const rows: Row[] = [];
        for (;;) {
          const batch = await result.next();
          if (batch === undefined) break;
          rows.push(...batch);
        }
        if (autocommit && txn.status === 'open') await txn.commit();
        return { columns: result.columns, rows, tag: result.tag() };
      } catch (error) {
        if (autocommit) await txn.rollback();
        else txn.rollbackTo(savepoint);
        if (
          error instanceof KvFailure &&
          error.kvError.kind === 'txn-retry' &&
          autocommit &&
          attempt < 10
        )
          continue;
        throw error;
      }
    }
  }

  context(txn: Txn, autocommit: boolean, params: readonly Datum[]): StatementContext {
    return {
      env: this.env,
      db: this.db,
      txn,
      autocommit,
      catalog: this,
      eval: this.eval,
      gossip: undefined,
      reports: undefined,
      advisor: undefined,
      control,
      jobs: this.jobs,
      eventLog: this.eventLog,
      params,
      readOnly: false,
      checkCanceled: () => undefined,
      notice: (_severity, _code, message) => void this.notices.push(message),
      memoryLimitBytes: this.memoryLimitBytes,
      ddl: { add: () => undefined, isEmpty: true },
    };
  }

  async #utility(node: Node): Promise<Answer | undefined> {
    const done = (tag: string): Answer => ({ columns: [], rows: [], tag });
    if ('TransactionStmt' in node) {
      const { kind } = node.TransactionStmt;
      if (kind === 'TRANS_STMT_BEGIN') this.#open = this.db.begin();
      else {
        const txn = must(this.#open);
        this.#open = undefined;
        if (kind === 'TRANS_STMT_COMMIT') await txn.commit();
        else await txn.rollback();
      }
      return done(kind ?? '');
    }
    if ('CreateStmt' in node) {
      this.#createTable(must(node.CreateStmt.relation), node.CreateStmt.tableElts ?? []);
      return done('CREATE TABLE');
    }
    if ('IndexStmt' in node) {
      const stmt = node.IndexStmt;
      const name = must(stmt.relation?.relname);
      const table = must(this.tables.get(name));
      const byName = columnIds(table);
      const columns = (stmt.indexParams ?? []).flatMap((item) =>
        'IndexElem' in item
          ? [
              {
                columnId: must(byName.get(item.IndexElem.name ?? '')),
                descending: item.IndexElem.ordering === 'SORTBY_DESC',
              },
            ]
          : [],
      );
      const stored = (stmt.indexIncludingParams ?? []).flatMap((item) =>
        'IndexElem' in item ? [must(byName.get(item.IndexElem.name ?? ''))] : [],
      );
      const where = this.sourceOf(stmt.whereClause);
      this.#addIndex(
        table,
        stmt.idxname ?? `${name}_idx`,
        stmt.unique === true,
        columns,
        stored,
        false,
        where,
      );
      return done('CREATE INDEX');
    }
    if ('ViewStmt' in node) {
      const name = node.ViewStmt.view?.relname ?? '';
      const query = this.#viewSql ?? '';
      this.views.set(name, {
        kind: 'view',
        id: this.#nextId++,
        ...systemColumns,
        name,
        columns: [],
        query,
        dependsOn: [],
      });
      this.version++;
      return done('CREATE VIEW');
    }
    if ('CreateSeqStmt' in node) {
      this.#sequence(node.CreateSeqStmt.sequence?.relname ?? '');
      return done('CREATE SEQUENCE');
    }
    return undefined;
  }

  #viewSql: string | undefined;
  #source = '';

  /** DDL keeps the text of expressions, which the parser does not give back: it is cut from the script. */
  async ddl(sql: string): Promise<void> {
    await loadParser();
    for (const { text } of parseStatements(sql)) {
      this.#source = text;
      this.#viewSql = /\bas\b\s+(.*)$/is.exec(text)?.[1];
      await this.run(text);
    }
  }

  sourceOf(node: Node | undefined): string | undefined {
    if (node === undefined) return undefined;
    const where = /\bwhere\b\s+(.*)$/is.exec(this.#source);
    return where?.[1]?.replace(/;$/, '');
  }

  /** The parenthesised or single-word text behind the `nth` occurrence of a keyword for a column. */
  #after(keyword: RegExp, from: number): { text: string; end: number } | undefined {
    keyword.lastIndex = from;
    const match = keyword.exec(this.#source);
    if (match === null) return undefined;
    let at = match.index + match[0].length;
    while (this.#source[at] === ' ') at++;
    if (this.#source[at] === '(') {
      let depth = 0;
      for (let i = at; i < this.#source.length; i++) {
        if (this.#source[i] === '(') depth++;
        if (this.#source[i] === ')' && --depth === 0)
          return { text: this.#source.slice(at, i + 1), end: i + 1 };
      }
    }
    let depth = 0;
    for (let i = at; i <= this.#source.length; i++) {
      const c = this.#source[i] ?? ',';
      if (c === '(') depth++;
      if (depth === 0 && (c === ',' || c === ')' || c === '\n')) {
        const text = this.#source
          .slice(at, i)
          .replace(/\s+(not\s+null|null|primary\s+key|unique|check|references)\b.*$/i, '');
        return { text, end: i };
      }
      if (c === ')') depth--;
    }
    return undefined;
  }

  #sequence(name: string): void {
    const descriptor: SequenceDescriptor = {
      kind: 'sequence',
      id: this.#nextId++,
      ...systemColumns,
      name,
      typeOid: 20,
      start: '1',
      increment: '1',
      minValue: '1',
      maxValue: '9223372036854775807',
      cycle: false,
      cache: '1',
    };
    this.sequences.set(name, { descriptor, value: 1n, called: false });
  }

  #createTable(relation: RangeVar, elements: readonly Node[]): void {
    const name = relation.relname ?? '';
    const id = this.#nextId++;
    const columns: ColumnDescriptor[] = [];
    const constraints: { constraint: Constraint; columns: string[] }[] = [];
    let defaultAt = 0;
    let checkAt = 0;
    for (const element of elements) {
      if ('ColumnDef' in element) {
        const made = this.#column(name, element.ColumnDef, columns.length + 1, () => {
          const found = this.#after(/\bdefault\b/gi, defaultAt);
          defaultAt = found?.end ?? defaultAt;
          return found?.text;
        });
        columns.push(made);
        for (const item of element.ColumnDef.constraints ?? []) {
          if ('Constraint' in item)
            constraints.push({ constraint: item.Constraint, columns: [made.name] });
        }
      }
      if ('Constraint' in element) {
        const keys = (element.Constraint.keys ?? element.Constraint.fk_attrs ?? []).map((k) =>
          'String' in k ? (k.String.sval ?? '') : '',
        );
        constraints.push({ constraint: element.Constraint, columns: keys });
      }
    }
    const primary = constraints.find(({ constraint }) => constraint.contype === 'CONSTR_PRIMARY');
    if (primary === undefined) {
      this.#sequence(`${name}_rowid_seq`);
      columns.push({
        id: columns.length + 1,
        name: 'rowid',
        typeOid: 20,
        typmod: -1,
        nullable: false,
        hidden: true,
        defaultSql: `nextval('${name}_rowid_seq')`,
        state: 'public',
      });
    }
    const keyNames = primary?.columns ?? ['rowid'];
    const finalColumns = columns.map((column) =>
      keyNames.includes(column.name) ? { ...column, nullable: false } : column,
    );
    const idOf = new Map(finalColumns.map((column) => [column.name, column.id]));
    const primaryIndex: IndexDescriptor = {
      id: 1,
      name: primary?.constraint.conname ?? `${name}_pkey`,
      unique: true,
      columns: keyNames.map((key) => ({ columnId: must(idOf.get(key), key), descending: false })),
      suffixColumnIds: [],
      storedColumnIds: [],
      isConstraint: true,
      state: 'public',
    };
    let table: TableDescriptor = {
      kind: 'table',
      id,
      ...systemColumns,
      name,
      columns: finalColumns,
      primaryIndex,
      indexes: [],
      checks: [],
      foreignKeys: [],
      referencedBy: [],
      nextColumnId: 100,
      nextIndexId: 2,
      state: 'public',
    };
    this.tables.set(name, table);
    for (const { constraint, columns: names } of constraints) {
      if (constraint.contype === 'CONSTR_UNIQUE') {
        const conname = constraint.conname ?? `${name}_${names.join('_')}_key`;
        this.#addIndex(
          table,
          conname,
          true,
          names.map((n) => ({ columnId: must(idOf.get(n)), descending: false })),
          [],
          true,
          undefined,
        );
      } else if (constraint.contype === 'CONSTR_CHECK') {
        const found = this.#after(/\bcheck\b/gi, checkAt);
        checkAt = found?.end ?? checkAt;
        const check = {
          name: constraint.conname ?? `${name}${names.map((n) => `_${n}`).join('')}_check`,
          sql: found?.text ?? 'true',
          columnIds: [],
          validated: true,
        };
        this.tables.set(name, {
          ...must(this.tables.get(name)),
          checks: [...must(this.tables.get(name)).checks, check],
        });
      } else if (constraint.contype === 'CONSTR_FOREIGN') this.#foreignKey(name, constraint, names);
      table = must(this.tables.get(name));
    }
    this.version++;
  }

  #column(
    table: string,
    def: ColumnDef,
    id: number,
    defaultText: () => string | undefined,
  ): ColumnDescriptor {
    const written = def.typeName?.names?.at(-1);
    const typeWord = written !== undefined && 'String' in written ? written.String.sval : undefined;
    const isSerial = typeWord === 'serial' || typeWord === 'bigserial';
    const type = isSerial
      ? { oid: typeWord === 'serial' ? 23 : 20, typmod: -1 }
      : typeFromName(def.typeName ?? {});
    const name = def.colname ?? '';
    const base: ColumnDescriptor = {
      id,
      name,
      typeOid: type.oid,
      typmod: type.typmod,
      nullable: !isSerial,
      state: 'public',
    };
    const has = (kind: string): Constraint | undefined => {
      for (const item of def.constraints ?? [])
        if ('Constraint' in item && item.Constraint.contype === kind) return item.Constraint;
      return undefined;
    };
    const identity = has('CONSTR_IDENTITY');
    const generated = has('CONSTR_GENERATED');
    let defaultSql = has('CONSTR_DEFAULT') === undefined ? undefined : defaultText();
    if (isSerial || identity !== undefined) {
      this.#sequence(`${table}_${name}_seq`);
      defaultSql = `nextval('${table}_${name}_seq')`;
    }
    const notNull = isSerial || identity !== undefined || has('CONSTR_NOTNULL') !== undefined;
    const generatedSql =
      generated === undefined
        ? undefined
        : /generated\s+always\s+as\s+(\(.*?\))\s+stored/is.exec(this.#source)?.[1];
    return {
      ...base,
      nullable: !notNull,
      ...(defaultSql === undefined ? {} : { defaultSql }),
      ...(identity === undefined
        ? {}
        : {
            identity:
              identity.generated_when === 'a' ? ('always' as const) : ('by-default' as const),
          }),
      ...(generatedSql === undefined ? {} : { generatedSql }),
    };
  }

  #addIndex(
    table: TableDescriptor,
    name: string,
    unique: boolean,
    columns: IndexDescriptor['columns'],
    stored: readonly number[],
    isConstraint: boolean,
    predicateSql: string | undefined,
  ): void {
    const current = must(this.tables.get(table.name));
    const own = new Set(columns.map((column) => column.columnId));
    const index: IndexDescriptor = {
      id: current.nextIndexId,
      name,
      unique,
      columns,
      suffixColumnIds: current.primaryIndex.columns
        .map((column) => column.columnId)
        .filter((id) => !own.has(id)),
      storedColumnIds: stored,
      isConstraint,
      ...(predicateSql === undefined ? {} : { predicateSql }),
      state: 'public',
    };
    this.tables.set(table.name, {
      ...current,
      version: current.version + 1,
      indexes: [...current.indexes, index],
      nextIndexId: current.nextIndexId + 1,
    });
    this.version++;
  }

  #foreignKey(name: string, constraint: Constraint, names: readonly string[]): void {
    const child = must(this.tables.get(name));
    const parent = must(this.tables.get(constraint.pktable?.relname ?? ''));
    const actions: Readonly<Record<string, ReferentialAction>> = {
      a: 'no action',
      r: 'restrict',
      c: 'cascade',
      n: 'set null',
      d: 'set default',
    };
    const attrs = (constraint.pk_attrs ?? []).map((k) =>
      'String' in k ? (k.String.sval ?? '') : '',
    );
    const key: ForeignKeyDescriptor = {
      name: constraint.conname ?? `${name}_${names.join('_')}_fkey`,
      columnIds: names.map((n) => must(columnIds(child).get(n))),
      referencedTableId: parent.id,
      referencedColumnIds:
        attrs.length > 0
          ? attrs.map((n) => must(columnIds(parent).get(n)))
          : parent.primaryIndex.columns.map((column) => column.columnId),
      onDelete: actions[constraint.fk_del_action ?? 'a'] ?? 'no action',
      onUpdate: actions[constraint.fk_upd_action ?? 'a'] ?? 'no action',
      match: constraint.fk_matchtype === 'f' ? 'full' : 'simple',
      validated: true,
    };
    this.tables.set(name, { ...child, foreignKeys: [...child.foreignKeys, key] });
    const target = must(this.tables.get(parent.name));
    this.tables.set(parent.name, {
      ...target,
      referencedBy: [...target.referencedBy, { tableId: child.id, name: key.name }],
    });
  }

  replaceTable(table: TableDescriptor): void {
    this.tables.set(table.name, table);
    this.version++;
  }
}

function columnIds(table: TableDescriptor): Map<string, number> {
  return new Map(table.columns.map((column) => [column.name, column.id]));
}

/** Rows as lines: values in their text form, `|` between, NULL for null. */
export function formatRows(answer: Answer, settings: EvalContext): string[] {
  const ops = answer.columns.map((column) => typeOps(column.typeOid));
  return answer.rows.map((row) =>
    row
      .map((value, i) => (value === null ? 'NULL' : must(ops[i]).format(value, settings)))
      .join('|'),
  );
}

export function formatError(error: unknown): string {
  if (error instanceof SqlFailure) {
    const { detail, position } = error.fields;
    return [
      `ERROR ${error.code} ${error.message}${position === undefined ? '' : ` at ${position}`}`,
      ...(detail === undefined ? [] : [`DETAIL ${detail}`]),
    ].join('\n');
  }
  if (error instanceof KvFailure) return `KVERROR ${error.kvError.kind}`;
  throw error;
}
