/**
 * SessionCatalog: the catalog of one session. Its life in a transaction:
 *
 *   await catalog.begin()                 before db.begin(): pins a snapshot
 *   ... statements; DDL asks for writer(txn), from then on its own changes show ...
 *   catalog.mark() / rollbackTo(mark)     with every savepoint
 *   await catalog.beforeCommit()          always, right before txn.commit()
 *   await txn.commit({ deadline: catalog.commitDeadline })
 *   (the session's DDL queue runs; its first step publishes the new version)
 *   await catalog.finish()                whatever the outcome: lets go of the pin
 *
 * INVARIANT: the snapshot is never newer than the transaction's read timestamp, but for the transaction's
 * own changes; and no other transaction can commit a change of a table that this one uses.
 */
import { assert } from '../../util/index.ts';
import { type Timestamp, type Txn } from '../../kv/index.ts';
import { sqlError } from '../errors.ts';
import { type Barrier, type CatalogCache, type CatalogPin, type WaitOptions } from './cache.ts';
import {
  type DatabaseDescriptor,
  type DescriptorId,
  type SchemaDescriptor,
  type TableDescriptor,
  type SequenceDescriptor,
} from './descriptors.ts';
import { visibleNames } from './definitions.ts';
import { showSchema } from '../parse/index.ts';
import { type CatalogSnapshot, type NamedRelation } from './snapshot.ts';
import { decodeVersion, loadCatalog, versionKey } from './store.ts';
import { systemIds } from './system-tables.ts';
import {
  type Catalog,
  type CatalogContents,
  type QualifiedName,
  type Relation,
  type VirtualTable,
} from './types.ts';
import { CatalogWriter, type WriterMark } from './writer.ts';

/** Computed tables, by schema. */
export interface VirtualSchemas {
  /** pg_catalog, information_schema, skein_internal. */
  readonly names: readonly string[];
  readonly tables: readonly VirtualTable[];
  /** An alias of a virtual schema is looked up under its real name. */
  find(schema: string, name: string): VirtualTable | undefined;
  byOid(oid: number): VirtualTable | undefined;
  has(schema: string): boolean;
  /** SELECT * FROM sequence: one row. */
  ofSequence(sequence: SequenceDescriptor, schemaName: string): VirtualTable;
}

export interface SessionCatalogOptions {
  readonly cache: CatalogCache;
  readonly virtual: VirtualSchemas;
  readonly currentDatabase: () => string;
  /** As set, `$user` unresolved. */
  readonly searchPath: () => readonly string[];
  readonly currentUser: () => string;
  /** The table that a SHOW statement is in FROM. */
  readonly showTable: (text: string) => VirtualTable;
  /** Throws 57014 when the statement was cancelled. */
  readonly checkCanceled: () => void;
  /** How long a change of a table waits for those who use it. */
  readonly changeWaitMs: () => number;
}

export class SessionCatalog implements Catalog {
  readonly cache: CatalogCache;
  readonly virtual: VirtualSchemas;
  readonly #options: SessionCatalogOptions;
  #pin: CatalogPin | undefined;
  #writer: CatalogWriter | undefined;
  #historical: CatalogSnapshot | undefined;
  #barrier: Barrier | undefined;
  /** Tables resolved at the version of `of`: what plans of that version may use. */
  #resolved: { readonly of: CatalogSnapshot | undefined; readonly tables: Set<DescriptorId> } = {
    of: undefined,
    tables: new Set(),
  };

  /** The version that was asked for last, and of what. */
  #version:
    | {
        readonly snapshot: CatalogSnapshot;
        readonly path: readonly string[];
        readonly database: string;
        readonly user: string;
        readonly version: number;
      }
    | undefined;

  constructor(options: SessionCatalogOptions) {
    this.cache = options.cache;
    this.virtual = options.virtual;
    this.#options = options;
  }

  // The transaction's life.

  /** Undefined when nothing was to be waited for. */
  begin(): Promise<void> | undefined {
    const ending = this.finish();
    if (ending === undefined) {
      const { checkCanceled } = this.#options;
      this.#pin = this.cache.pinNow(this.#resolvedAt, checkCanceled);
      if (this.#pin !== undefined) return undefined;
    }
    return this.#beginAfter(ending);
  }

  async #beginAfter(ending: Promise<void> | undefined): Promise<void> {
    await ending;
    this.#pin = await this.cache.pin(this.#resolvedAt, this.#options.checkCanceled);
  }

  readonly #resolvedAt = (snapshot: CatalogSnapshot): Set<DescriptorId> => {
    if (this.#resolved.of !== snapshot) this.#resolved = { of: snapshot, tables: new Set() };
    return this.#resolved.tables;
  };

  /** For a read-only transaction AS OF SYSTEM TIME: the catalog of that time, read through `txn`. */
  async beginAsOf(txn: Txn): Promise<void> {
    const record = decodeVersion(await txn.get(versionKey));
    if (record.version === this.#pin?.snapshot.version) return;
    this.#historical = await loadCatalog(txn, record.version);
  }

  /** Starts (or continues) this transaction's changes of the catalog, which are serializable at every isolation level. */
  async writer(txn: Txn): Promise<CatalogWriter> {
    assert(this.#historical === undefined, 'no catalog changes in the past');
    if (this.#writer === undefined) {
      txn.becomeSerializable();
      this.#writer = await CatalogWriter.begin(this.cache, txn);
    }
    return this.#writer;
  }

  mark(): WriterMark | undefined {
    return this.#writer?.mark();
  }

  rollbackTo(mark: WriterMark | undefined): void {
    if (mark === undefined) this.#writer = undefined;
    else this.#writer?.rollbackTo(mark);
  }

  /**
   * Throws 40001 when the transaction must not commit, 55P03 when tables to be changed stay in use. Undefined when nothing was to
   * be waited for.
   */
  beforeCommit(): Promise<void> | undefined {
    const checking = this.#pin === undefined ? undefined : this.cache.checkPin(this.#pin);
    if (this.#writer === undefined) return checking;
    return this.#beforeChange(this.#writer, checking);
  }

  /**
   * Keeps the others away from a table whose rows this transaction is going to read, all of them, to change them: they would make it
   * start over again and again. To be called now and then as it goes on. For a statement on its own: nobody knows when a
   * block ends. Throws as `beforeCommit`.
   */
  async holdBack(txn: Txn, id: DescriptorId): Promise<void> {
    const held = this.#barrier;
    if (held?.tables.includes(id) === true && !this.cache.isAging(held)) return;
    const tables = new Set([...(held?.tables ?? []), id]);
    this.#barrier = await this.cache.raiseBarrier(txn, [...tables], this.#pin, this.#wait, held);
  }

  get #wait(): WaitOptions {
    const { checkCanceled, changeWaitMs } = this.#options;
    return { checkCanceled, timeoutMs: changeWaitMs() };
  }

  async #beforeChange(writer: CatalogWriter, checking: Promise<void> | undefined): Promise<void> {
    await checking;
    this.#barrier = await writer.prepareCommit(this.#pin, this.#wait, this.#barrier);
    if (this.#barrier !== undefined) this.cache.checkBarrier(this.#barrier);
  }

  /**
   * For `Txn.commit`: up to there the definitions hold by which the transaction has read and written. One that changes the catalog
   * has read its version, and commits only if that is still so: it needs none, and while its own record of the version is in the
   * way, no lease can be renewed.
   */
  get commitDeadline(): (() => Timestamp) | undefined {
    const pin = this.#pin;
    if (pin === undefined || this.#writer !== undefined) return undefined;
    return () => this.cache.deadline(pin);
  }

  /** After the commit of a transaction that changed the catalog: returns when all nodes know. */
  async publish(): Promise<void> {
    const barrier = this.#barrier;
    const writer = this.#writer;
    this.#barrier = undefined;
    if (writer === undefined || writer.isEmpty) return;
    await this.cache.publish(writer.version, barrier, { mayBeLate: writer.mayBeLate });
  }

  /**
   * Ends the transaction here. Idempotent. Undefined when nothing is to be waited for. `mayLandLate`: its commit was sent, and
   * nobody knows whether it is still on its way.
   */
  finish({ mayLandLate = false } = {}): Promise<void> | undefined {
    const barrier = this.#barrier;
    const pin = this.#pin;
    this.#barrier = undefined;
    this.#writer = undefined;
    this.#historical = undefined;
    this.#pin = undefined;
    if (pin !== undefined) this.cache.release(pin, { mayLandLate });
    if (barrier === undefined) return undefined;
    if (!mayLandLate) return this.cache.lowerBarrier(barrier);
    this.cache.abandonBarrier(barrier);
    return undefined;
  }

  get pinned(): CatalogPin | undefined {
    return this.#pin;
  }

  // What is seen.

  get snapshot(): CatalogSnapshot {
    return this.#historical ?? this.#writer?.snapshot ?? this.#pin?.snapshot ?? this.cache.current;
  }

  get version(): number {
    const { currentDatabase, searchPath, currentUser } = this.#options;
    const { snapshot } = this;
    const known = this.#version;
    const path = searchPath();
    const database = currentDatabase();
    const user = currentUser();
    if (
      known?.snapshot === snapshot &&
      known.path === path &&
      known.database === database &&
      known.user === user
    ) {
      return known.version;
    }
    const scope = [database, user, ...path].join('\0');
    const version = this.cache.versionNumber(snapshot, scope);
    this.#version = { snapshot, path, database, user, version };
    return version;
  }

  get databaseName(): string {
    return this.#options.currentDatabase();
  }

  get userName(): string {
    return this.#options.currentUser();
  }

  /** The current database; undefined when it was dropped under the session. */
  get database(): DatabaseDescriptor | undefined {
    return this.snapshot.database(this.databaseName);
  }

  /** Existing schemas of search_path, without the implicit pg_catalog. */
  get searchPath(): readonly string[] {
    const { searchPath, currentUser } = this.#options;
    const names: string[] = [];
    for (const entry of searchPath()) {
      const name = entry === '$user' ? currentUser() : entry;
      if (names.includes(name)) continue;
      if (this.virtual.has(name) || this.#schema(name) !== undefined) names.push(name);
    }
    return names;
  }

  #schema(name: string): SchemaDescriptor | undefined {
    const database = this.database;
    return database === undefined ? undefined : this.snapshot.schema(database.id, name);
  }

  /** Stored schemas in which a name is looked for, in order. */
  schemasFor(name: QualifiedName): SchemaDescriptor[] {
    if (name.catalog !== undefined) {
      const database = this.snapshot.database(name.catalog);
      const schema =
        database === undefined
          ? undefined
          : this.snapshot.schema(database.id, name.schema ?? 'public');
      return schema === undefined ? [] : [schema];
    }
    if (name.schema !== undefined) {
      const schema = this.#schema(name.schema);
      if (schema !== undefined) return [schema];
      // `database.table` for `database.public.table`, as other distributed databases write it.
      const database = this.snapshot.database(name.schema);
      const inDatabase =
        database === undefined ? undefined : this.snapshot.schema(database.id, 'public');
      return inDatabase === undefined ? [] : [inDatabase];
    }
    return this.searchPath.flatMap((entry) => this.#schema(entry) ?? []);
  }

  /** The name of a stored relation, with its schema unless search_path finds it. */
  nameText(relation: { readonly schemaId: number; readonly name: string }): string {
    return visibleNames(this.snapshot, this.database?.id ?? 0, this.searchPath)(relation);
  }

  /** A stored relation or index of that name, without noting its use. */
  findNamed(name: QualifiedName): NamedRelation | undefined {
    for (const schema of this.schemasFor(name)) {
      const found = this.snapshot.named(schema.id, name.name);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  findVirtual(name: QualifiedName): VirtualTable | undefined {
    return name.schema === undefined ? undefined : this.virtual.find(name.schema, name.name);
  }

  /** The session's user is one now, also while it reads the past. */
  get isSuperuser(): boolean {
    const { data } = this.#historical === undefined ? this.snapshot : this.cache.current;
    return data.roles.get(this.#options.currentUser())?.options.superuser === true;
  }

  async findRelation(name: QualifiedName): Promise<Relation | undefined> {
    if (name.schema === showSchema) {
      return { kind: 'virtual', table: this.#options.showTable(name.name) };
    }
    if (name.schema !== undefined && this.virtual.has(name.schema)) {
      const table = this.virtual.find(name.schema, name.name);
      return table === undefined ? undefined : { kind: 'virtual', table };
    }
    if (name.schema !== undefined || name.catalog !== undefined) return this.#findStored(name);
    const path = this.searchPath;
    const implicit = path.includes('pg_catalog') ? path : ['pg_catalog', ...path];
    for (const schema of implicit) {
      const found = await this.findRelation({ schema, name: name.name });
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async #findStored(name: QualifiedName): Promise<Relation | undefined> {
    const found = this.findNamed(name);
    switch (found?.kind) {
      case 'table':
        this.#refuseSystemTable(found);
        await this.#use(found.id);
        return {
          kind: 'table',
          table: found,
          schemaName: this.snapshot.schemaName(found.schemaId),
        };
      case 'view':
        return { kind: 'view', view: found, schemaName: this.snapshot.schemaName(found.schemaId) };
      case 'sequence': {
        const schemaName = this.snapshot.schemaName(found.schemaId);
        const table = this.virtual.ofSequence(found, schemaName);
        return { kind: 'sequence', sequence: found, schemaName, table };
      }
      case 'index':
      case undefined:
        return undefined;
    }
  }

  /** Tables of database `system` are for superusers: statements, settings and password verifiers of all are in them. */
  #refuseSystemTable({ databaseId, name }: TableDescriptor): void {
    if (databaseId !== systemIds.systemDatabase || this.isSuperuser) return;
    throw sqlError('insufficientPrivilege', `permission denied for table ${name}`);
  }

  async #use(id: DescriptorId): Promise<void> {
    if (this.#historical !== undefined) return;
    const pin = this.#pin;
    const { checkCanceled } = this.#options;
    if (pin !== undefined) {
      await this.cache.use(pin, id, this.#writer !== undefined, checkCanceled);
    }
    // What is planned outside of transactions is used by one that pins the same version, without being asked for again.
    else this.#resolvedAt(this.snapshot).add(id);
  }

  async tableById(id: DescriptorId): Promise<TableDescriptor | undefined> {
    const table = this.snapshot.tableById(id);
    if (table !== undefined) await this.#use(id);
    return table;
  }

  async findDatabase(name: string): Promise<DatabaseDescriptor | undefined> {
    return this.snapshot.database(name);
  }

  async findSchema(name: string): Promise<SchemaDescriptor | undefined> {
    return this.#schema(name);
  }

  async all(): Promise<CatalogContents> {
    return this.snapshot.contents(this.database?.id ?? -1);
  }
}
