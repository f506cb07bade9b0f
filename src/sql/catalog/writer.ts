/**
 * CatalogWriter: the catalog changes of one transaction. It reads the newest committed catalog (not the
 * node's copy) under the lock of the version key, keeps the changed snapshot for the transaction's own eyes, and
 * writes rows through the transaction, so that they commit or vanish with it.
 */
import { KvFailure, type Txn } from '../../kv/index.ts';
import { type Barrier, type CatalogCache, type CatalogPin, type WaitOptions } from './cache.ts';
import { type Descriptor, type DescriptorId, type TableDescriptor } from './descriptors.ts';
import { indexesOf, subzoneOf } from './partitions.ts';
import { type Role, type RoleMembership } from './roles.ts';
import { type CatalogSnapshot } from './snapshot.ts';
import {
  decodeVersion,
  deleteMembership,
  deleteRole,
  deleteSetting,
  encodeVersion,
  newDescriptorId,
  putMembership,
  putRole,
  putSetting,
  putZone,
  replaceDescriptor,
  updateCatalog,
  versionKey,
  type VersionRecord,
} from './store.ts';
import { systemIds } from './system-tables.ts';
import { zoneKey, zonesOf, type ZoneConfig, type ZoneId } from './zones.ts';

interface WriterState {
  readonly snapshot: CatalogSnapshot;
  readonly changed: ReadonlySet<DescriptorId>;
  /** Tables that existed before and change in a way that concurrent statements must not straddle. */
  readonly drain: ReadonlySet<DescriptorId>;
}

export type WriterMark = WriterState;

export class CatalogWriter {
  readonly txn: Txn;
  readonly #cache: CatalogCache;
  readonly #record: VersionRecord;
  readonly #base: CatalogSnapshot;
  #state: WriterState;

  private constructor(cache: CatalogCache, txn: Txn, record: VersionRecord, base: CatalogSnapshot) {
    this.#cache = cache;
    this.txn = txn;
    this.#record = record;
    this.#base = base;
    this.#state = { snapshot: base, changed: new Set(), drain: new Set() };
  }

  static async begin(cache: CatalogCache, txn: Txn): Promise<CatalogWriter> {
    const record = decodeVersion(await txn.get(versionKey, { lock: 'update' }));
    return new CatalogWriter(cache, txn, record, await updateCatalog(txn, cache.current, record));
  }

  /** The catalog with this transaction's changes. */
  get snapshot(): CatalogSnapshot {
    return this.#state.snapshot;
  }

  /** The version this transaction commits. */
  get version(): number {
    return this.#record.version + 1;
  }

  get isEmpty(): boolean {
    return this.#state.changed.size === 0;
  }

  /** Only settings and zones change: a node that learns of them later does no harm until then. */
  get mayBeLate(): boolean {
    return [...this.#state.changed].every(
      (id) => id === systemIds.settings || id === systemIds.zones,
    );
  }

  mark(): WriterMark {
    return this.#state;
  }

  /** After the transaction itself was rolled back to the same point. */
  rollbackTo(mark: WriterMark): void {
    this.#state = mark;
  }

  newId(): Promise<DescriptorId> {
    return newDescriptorId(this.#cache.db);
  }

  /** True when the object was made by this transaction: nobody else can see it. */
  isNew(id: DescriptorId): boolean {
    return this.#base.byId(id) === undefined;
  }

  create(descriptor: Descriptor): void {
    replaceDescriptor(this.txn, undefined, descriptor);
    this.#changed(descriptor.id, this.snapshot.with(new Map([[descriptor.id, descriptor]])), false);
  }

  /**
   * Stores a changed descriptor under the next version and returns it. `drain` false: statements that run with the
   * old one do no harm (names, owners, comments).
   */
  replace<T extends Descriptor>(descriptor: T, options: { readonly drain?: boolean } = {}): T {
    const before = this.snapshot.byId(descriptor.id);
    const committed = this.#base.byId(descriptor.id);
    const after = { ...descriptor, version: (committed?.version ?? 0) + 1 };
    replaceDescriptor(this.txn, before, after);
    const drain = options.drain ?? after.kind === 'table';
    this.#changed(after.id, this.snapshot.with(new Map([[after.id, after]])), drain);
    if (before?.kind === 'table' && after.kind === 'table') this.#carryZones(before, after);
    return after;
  }

  /** Zones of indexes go with the name of the index when it is made anew, and end with the index or partition. */
  #carryZones(before: TableDescriptor, after: TableDescriptor): void {
    for (const { zone, config } of zonesOf(this.snapshot, after.id)) {
      if (zone.subId === 0 || subzoneOf(after, zone.subId) !== undefined) continue;
      const subzone = subzoneOf(before, zone.subId);
      const name = subzone?.partition === undefined ? subzone?.index.name : undefined;
      const heir = indexesOf(after).find((index) => index.name === name);
      this.putZone(zone, undefined);
      if (heir !== undefined) this.putZone({ id: after.id, subId: heir.id }, config);
    }
  }

  /** Removes the descriptor itself; for a table whose data is to go see `dropTable` of ddl. */
  remove(id: DescriptorId): void {
    const before = this.snapshot.byId(id);
    replaceDescriptor(this.txn, before, undefined);
    this.#changed(id, this.snapshot.with(new Map([[id, undefined]])), before?.kind === 'table');
    for (const { zone } of zonesOf(this.snapshot, id)) this.putZone(zone, undefined);
  }

  putRole(role: Role): void {
    putRole(this.txn, role);
    const roles = new Map(this.snapshot.data.roles).set(role.name, role);
    this.#changed(systemIds.users, this.snapshot.with(new Map(), { roles }), false);
  }

  removeRole(name: string): void {
    deleteRole(this.txn, name);
    const roles = new Map(this.snapshot.data.roles);
    roles.delete(name);
    this.#changed(systemIds.users, this.snapshot.with(new Map(), { roles }), false);
  }

  putMembership(entry: RoleMembership): void {
    putMembership(this.txn, entry);
    const memberships = [...this.#otherMemberships(entry), entry];
    this.#changed(systemIds.roleMembers, this.snapshot.with(new Map(), { memberships }), false);
  }

  removeMembership(entry: RoleMembership): void {
    deleteMembership(this.txn, entry);
    const memberships = this.#otherMemberships(entry);
    this.#changed(systemIds.roleMembers, this.snapshot.with(new Map(), { memberships }), false);
  }

  #otherMemberships(entry: RoleMembership): RoleMembership[] {
    return this.snapshot.data.memberships.filter(
      (other) => other.role !== entry.role || other.member !== entry.member,
    );
  }

  /** `value` undefined goes back to the default. */
  putSetting(name: string, type: string, value: string | undefined, micros: bigint): void {
    const settings = new Map(this.snapshot.data.settings);
    if (value === undefined) {
      deleteSetting(this.txn, name);
      settings.delete(name);
    } else {
      putSetting(this.txn, { name, value, type }, micros);
      settings.set(name, value);
    }
    this.#changed(systemIds.settings, this.snapshot.with(new Map(), { settings }), false);
  }

  /** `config` undefined: nothing is set on the object any more. */
  putZone(zone: ZoneId, config: ZoneConfig | undefined): void {
    putZone(this.txn, zone, config);
    const zones = new Map(this.snapshot.data.zones);
    if (config === undefined) zones.delete(zoneKey(zone));
    else zones.set(zoneKey(zone), config);
    this.#changed(systemIds.zones, this.snapshot.with(new Map(), { zones }), false);
  }

  #changed(id: DescriptorId, snapshot: CatalogSnapshot, drain: boolean): void {
    const changed = new Set(this.#state.changed).add(id);
    const drained = new Set(this.#state.drain);
    if (drain && !this.isNew(id)) drained.add(id);
    this.#state = { snapshot, changed, drain: drained };
    const changes = [...this.#record.changes, [this.version, [...changed]] as const];
    this.txn.put(versionKey, encodeVersion({ version: this.version, changes }));
  }

  /** Called right before the transaction commits: see the barrier in cache.ts. */
  async prepareCommit(
    pin: CatalogPin | undefined,
    options: WaitOptions,
    held?: Barrier,
  ): Promise<Barrier | undefined> {
    const tables = new Set([...this.#state.drain, ...(held?.tables ?? [])]);
    if (tables.size === 0) return undefined;
    return this.#cache.raiseBarrier(this.txn, [...tables], pin, options, held);
  }
}

const stepTimeoutMs = 60_000;

/**
 * Changes the catalog in a transaction of its own, with barrier and publication: the later steps of a
 * schema change. `body` may run several times.
 */
export async function changeCatalog<T>(
  cache: CatalogCache,
  options: {
    readonly name: string;
    readonly pin?: CatalogPin | undefined;
    readonly checkCanceled?: () => void;
  },
  body: (writer: CatalogWriter) => Promise<T>,
): Promise<T> {
  let barrier: Barrier | undefined;
  let version = 0;
  const lower = async (): Promise<void> => {
    if (barrier !== undefined) await cache.lowerBarrier(barrier);
    barrier = undefined;
  };
  const wait: WaitOptions = {
    checkCanceled: options.checkCanceled ?? (() => {}),
    timeoutMs: stepTimeoutMs,
  };
  try {
    const result = await cache.db.run({ name: options.name }, async (txn) => {
      await lower();
      const writer = await CatalogWriter.begin(cache, txn);
      const value = await body(writer);
      version = writer.isEmpty ? 0 : writer.version;
      barrier = await writer.prepareCommit(options.pin, wait);
      if (barrier !== undefined) cache.checkBarrier(barrier);
      return value;
    });
    if (version > 0) await cache.publish(version, barrier);
    return result;
  } catch (error) {
    const isKnown = !(error instanceof KvFailure) || error.kvError.kind !== 'ambiguous-result';
    if (isKnown) await lower();
    else if (barrier !== undefined) cache.abandonBarrier(barrier);
    throw error;
  }
}
