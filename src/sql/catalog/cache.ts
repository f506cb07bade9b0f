/**
 * CatalogCache: one node's copy of the catalog, and the protocol that keeps all copies usable.
 *
 * The intuition: sessions plan from memory; whoever changes the catalog makes sure that nobody plans with
 * a copy that is too old. Three rules:
 *
 * 1. Leases. A node may use its copy for `leaseMs` after it last *began* to read the catalog version. It
 *    reads it again every third of that time. Whoever was unreachable for longer than a lease therefore uses nothing; and what it
 *    has sent before is committed at a timestamp within the lease, or not at all (`deadline`).
 * 2. Registration. A node that uses the catalog has a row under `catalog-node/`. A transaction that changes
 *    tables reads these rows, so a node that registers meanwhile makes it restart, and a node that
 *    registers later reads the new version. An unreachable node is struck off for a while (it may still reach
 *    the keys); its lease is waited out. A node that finds itself struck off voids its open transactions' pins: they may
 *    not commit; and it serves nothing until it may register again.
 * 3. Barrier. Before a new version of an *existing* table commits, every node stops starting transactions that
 *    use the table (they wait) and reports once those under way have ended, and what its clock shows then: the cluster-wide form
 *    of PostgreSQL's exclusive lock, held only for the commit, which stands above all that was written before. What the
 *    transaction has read of the table must be the same there. So of every table exactly one version is in
 *    use at any time, and a schema change that needs a pause between two states (write-only, public) is made of two such
 *    commits. This implies INVARIANT 2 of descriptors.ts (traps X18, X19). The coordinator says twice a second that it still
 *    holds the barrier. A block of which nothing is heard (its coordinator died) lapses after `unheardMs`, any block after `holdMs`.
 *    A node whose block has lapsed registers anew before it uses the catalog again: then the change has committed before and is
 *    seen, or the coordinator, which has read the row, does not commit.
 *
 * A prepared transaction (two-phase commit) holds no pin but has used tables, too. Its row names them before its pin goes, so whoever
 * reads the rows behind a barrier sees it, and does not commit.
 *
 * After the commit every registered node is told the new version; the statement returns when all have it, or
 * the lease of the silent ones has run out. A new object needs no barrier, only this last step.
 *
 * "Uses the table": an open transaction whose session has resolved the table at its pinned version. A session
 * may run a plan of the same version again without asking the catalog, so everything it resolved at that version
 * counts from the moment it pins it. A transaction that changes the catalog also uses tables at their newest version; that says
 * nothing about the pinned one, to which it comes back when its changes are rolled back to a savepoint.
 */
import { prefixEnd, must, sleep, type Env, type TimerHandle } from '../../util/index.ts';
import { systemKey } from '../../encoding/index.ts';
import {
  addMicros,
  KvFailure,
  TransportFailure,
  asNodeId,
  type Db,
  type Gossip,
  type NodeId,
  type Timestamp,
  type Transport,
  type Txn,
} from '../../kv/index.ts';
import { sqlError } from '../errors.ts';
import { type DescriptorId } from './descriptors.ts';
import { preparedUserOf } from './prepared-transactions.ts';
import { rerun } from './rerun.ts';
import { CatalogSnapshot, emptySnapshot } from './snapshot.ts';
import { decodeVersion, updateCatalog, versionKey } from './store.ts';

export interface CatalogCacheOptions {
  readonly env: Env;
  readonly db: Db;
  readonly nodeId: NodeId;
  /** Without a transport this node is the only one. */
  readonly transport?: Transport | undefined;
  readonly gossip?: Gossip | undefined;
  /** How long a copy may be used after it was checked; the same on all nodes. */
  readonly leaseMs?: number;
}

const defaultLeaseMs = 5000;
/** How long a block of a barrier lasts. */
const holdMs = 10_000;
/** How long it lasts when nothing is heard of its coordinator, which is to be heard this often. */
const unheardMs = 2_000;
const beatMs = 500;
/** How long one attempt makes new transactions wait for those under way. */
const drainMs = 200;
const callTimeoutMs = 2000;
/** A call that did not leave this node is tried again for so long, with pauses. */
const unsentRetryMs = 1000;
const unsentPauseMs = 50;
/** Pause of a node that waits to be registered again. */
const retryMs = 100;
const registered = Buffer.from('registered');
const gossipKey = 'catalog-version';
const nodeKeyPrefix = systemKey('catalog-node/');

function nodeKey(nodeId: NodeId): Buffer {
  return systemKey(`catalog-node/${String(nodeId).padStart(10, '0')}`);
}

/** One transaction's hold on a snapshot. */
export interface CatalogPin {
  readonly id: string;
  readonly snapshot: CatalogSnapshot;
  /** Tables this transaction may be using as the snapshot describes them. */
  readonly tables: ReadonlySet<DescriptorId>;
  /** This node was struck off while the transaction ran: it may not commit. */
  isVoid: boolean;
}

interface OpenPin extends CatalogPin {
  readonly tables: Set<DescriptorId>;
  /** Used as the newest catalog describes them, which may be otherwise than in the snapshot. */
  readonly newest: Set<DescriptorId>;
  /** The latest timestamp that its commit may have, once that was sent. */
  deadline: Timestamp | undefined;
}

interface Block {
  readonly id: string;
  readonly tables: ReadonlySet<DescriptorId>;
  /** Of the transaction that changes the tables. */
  readonly ownPin: string;
  readonly untilMs: number;
  timer: TimerHandle | undefined;
}

/** What a barrier's coordinator holds. */
export interface Barrier {
  readonly id: string;
  readonly tables: readonly DescriptorId[];
  readonly nodes: readonly NodeId[];
  readonly heldUntilMs: number;
}

interface BlockRequest {
  readonly id: string;
  readonly tables: readonly DescriptorId[];
  readonly ownPin: string;
}

interface BlockAnswer {
  readonly isHeld: boolean;
  /** No transaction of this node has committed with one of the tables above it, and as long as the block stands, none will. */
  readonly now: Timestamp;
}

export interface WaitOptions {
  /** Throws when the statement was cancelled. */
  readonly checkCanceled: () => void;
  readonly timeoutMs: number;
}

export class CatalogCache {
  readonly env: Env;
  readonly db: Db;
  readonly nodeId: NodeId;
  readonly #transport: Transport | undefined;
  readonly #gossip: Gossip | undefined;
  readonly #leaseMs: number;
  #snapshot: CatalogSnapshot = emptySnapshot;
  #leaseUntilMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;
  /** The newest version that was heard of. */
  #newest = 0;
  #isCatchingUp = false;
  readonly #pins = new Set<OpenPin>();
  readonly #blocks = new Map<string, Block>();
  /** The next word about each barrier that this node coordinates and has not given up. */
  readonly #beats = new Map<string, TimerHandle>();
  /** Blocks that have lapsed, and how many of them this node had registered anew for. */
  #lapses = 0;
  #lapsesRegistered = 0;
  /** Released pins whose transaction may commit yet. */
  readonly #late = new Set<OpenPin>();
  #waiters: (() => void)[] = [];
  #timer: TimerHandle | undefined;
  #stopWatching: (() => void) | undefined;
  #isStopped = false;
  #nextId = 1;
  readonly #listeners: ((snapshot: CatalogSnapshot) => void)[] = [];
  readonly #snapshotIds = new WeakMap<CatalogSnapshot, number>();
  readonly #versions = new Map<string, number>();

  constructor(options: CatalogCacheOptions) {
    this.env = options.env;
    this.db = options.db;
    this.nodeId = options.nodeId;
    this.#transport = options.transport;
    this.#gossip = options.gossip;
    this.#leaseMs = options.leaseMs ?? defaultLeaseMs;
  }

  /** Registers this node, reads the catalog and keeps it fresh until `stop`. */
  async start(): Promise<void> {
    this.#transport?.onCall('catalog.block', async (payload) =>
      this.#block(payload as BlockRequest),
    );
    this.#transport?.onCall('catalog.unblock', async (payload) => {
      this.#unblock((payload as { id: string }).id);
      return {};
    });
    this.#transport?.onMessage('catalog.hold', (payload) => {
      this.#heard((payload as { id: string }).id);
    });
    this.#transport?.onCall('catalog.refresh', async (payload) => {
      const { version, barrier } = payload as { version: number; barrier: string };
      await this.refresh(version);
      this.#unblock(barrier);
      return {};
    });
    this.#stopWatching = this.#gossip?.watch(gossipKey, (_key, value) => {
      if (typeof value === 'number') this.#catchUp(value);
    });
    // A node may start before a quorum of the catalog's replicas does.
    await rerun(this.env, ['unavailable'], () => this.refresh());
    this.#scheduleRenewal();
  }

  /** Ends the renewal and strikes this node off, so that nobody waits for it. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#stopWatching?.();
    for (const block of this.#blocks.values()) block.timer?.cancel();
    for (const id of this.#beats.keys()) this.#letGo(id);
    this.#leaseUntilMs = Number.NEGATIVE_INFINITY;
    while (this.#late.size > 0) await this.#change();
    await this.#register(this.nodeId, undefined);
  }

  /** The newest copy, whether its lease is good or not: for lookups that need not be exact (zones, settings). */
  get current(): CatalogSnapshot {
    return this.#snapshot;
  }

  /** Calls `fn` with every new copy. */
  onChange(fn: (snapshot: CatalogSnapshot) => void): void {
    this.#listeners.push(fn);
  }

  /** A number that differs for different snapshots and different `scope`s (database, search_path). */
  versionNumber(snapshot: CatalogSnapshot, scope: string): number {
    let snapshotId = this.#snapshotIds.get(snapshot);
    if (snapshotId === undefined) {
      snapshotId = this.#nextId++;
      this.#snapshotIds.set(snapshot, snapshotId);
    }
    const key = `${snapshotId}/${scope}`;
    let version = this.#versions.get(key);
    if (version === undefined) {
      if (this.#versions.size >= 1000) this.#versions.clear();
      version = this.#nextId++;
      this.#versions.set(key, version);
    }
    return version;
  }

  // Leases.

  get #leaseLeftMs(): number {
    return this.#leaseUntilMs - this.env.clock.monotonicMs();
  }

  get #hasLease(): boolean {
    return this.#leaseLeftMs > 0;
  }

  /** Reads the catalog version (and what changed) until the copy is at least `version`. */
  async refresh(version = 0): Promise<void> {
    // A read that is under way may have begun before what the caller wants to see.
    if (this.#reading !== undefined) await this.#reading.catch(() => {});
    do {
      this.#reading ??= rerun(this.env, ['ambiguous-result'], () => this.#read()).finally(() => {
        this.#reading = undefined;
      });
      await this.#reading;
    } while (this.#snapshot.version < version);
  }

  async #read(): Promise<void> {
    const beganMs = this.env.clock.monotonicMs();
    const lapses = this.#lapses;
    const { snapshot, wasRegistered, isRegistered } = await this.db.run(
      { name: 'read catalog' },
      async (txn) => {
        const [recordBytes, registration] = await txn.getMany([versionKey, nodeKey(this.nodeId)]);
        const struckUntil = struckOffUntil(registration);
        const wasOff = registration === undefined || struckUntil > 0;
        const mayRegister = !this.#isStopped && this.db.clock.physicalMicros() >= struckUntil;
        const isToRegister = wasOff || lapses > this.#lapsesRegistered;
        if (isToRegister && mayRegister) txn.put(nodeKey(this.nodeId), registered);
        return {
          snapshot: await updateCatalog(txn, this.#snapshot, decodeVersion(recordBytes)),
          wasRegistered: !wasOff,
          isRegistered: !wasOff || mayRegister,
        };
      },
    );
    if (this.#isStopped) return;
    if (!wasRegistered) for (const pin of this.#pins) pin.isVoid = true;
    if (!isRegistered) {
      this.#leaseUntilMs = Number.NEGATIVE_INFINITY;
    } else if (lapses === this.#lapses) {
      this.#lapsesRegistered = lapses;
      this.#leaseUntilMs = Math.max(this.#leaseUntilMs, beganMs + this.#leaseMs);
    }
    if (snapshot.version <= this.#snapshot.version) return;
    this.#snapshot = snapshot;
    for (const listener of this.#listeners) listener(snapshot);
    this.#wake();
  }

  #scheduleRenewal(): void {
    if (this.#isStopped) return;
    this.#timer = this.env.timers.after(this.#leaseMs / 3, () => {
      this.#refreshSoon();
      this.#scheduleRenewal();
    });
  }

  /** There is a new version: it is read soon, however often that fails at first. */
  #catchUp(version: number): void {
    this.#newest = Math.max(this.#newest, version);
    if (this.#isCatchingUp) return;
    this.#isCatchingUp = true;
    const read = async (): Promise<void> => {
      while (!this.#isStopped && this.#snapshot.version < this.#newest) {
        await this.refresh().catch((error: unknown) => {
          this.env.log.debug({ error }, 'a new catalog version could not be read yet');
        });
        if (this.#snapshot.version < this.#newest) await sleep(this.env, retryMs);
      }
    };
    void read().finally(() => {
      this.#isCatchingUp = false;
    });
  }

  #refreshSoon(): void {
    this.refresh().catch((error: unknown) => {
      this.env.log.warn({ error }, 'could not read the catalog version');
    });
  }

  // Pins.

  /**
   * A hold on the newest copy; call it before the transaction begins, so that the catalog is never newer than the
   * data. `tables`: what the session may use without asking, see the file comment; kept by reference.
   * `check` throws when there is nobody any more who waits for it: `lookAgain`.
   */
  async pin(
    tablesAt: (snapshot: CatalogSnapshot) => Set<DescriptorId>,
    check: () => void = () => {},
  ): Promise<CatalogPin> {
    while (true) {
      check();
      if (!this.#hasLease) await this.refresh();
      if (!this.#hasLease) await sleep(this.env, retryMs);
      const pin = this.pinNow(tablesAt, check);
      if (pin !== undefined) return pin;
      if (this.#hasLease) await this.#change();
    }
  }

  /** The same where nothing is to be waited for, which is the rule. */
  pinNow(
    tablesAt: (snapshot: CatalogSnapshot) => Set<DescriptorId>,
    check: () => void,
  ): CatalogPin | undefined {
    const snapshot = this.#snapshot;
    const tables = tablesAt(snapshot);
    if (!this.#hasLease || this.#isBlocked(tables, undefined)) return undefined;
    check();
    const id = `${this.nodeId}/${this.#nextId++}`;
    const pin: OpenPin = {
      id,
      snapshot,
      tables,
      newest: new Set(),
      isVoid: false,
      deadline: undefined,
    };
    this.#pins.add(pin);
    return pin;
  }

  /** `mayLandLate`: the commit of its transaction was sent, and nobody knows whether it is still on its way. */
  release(pin: CatalogPin, { mayLandLate = false } = {}): void {
    const open = pin as OpenPin;
    const leftMs = mayLandLate ? this.#msUntilPast(open.deadline) : 0;
    if (leftMs > 0) {
      this.#late.add(open);
      this.env.timers.after(leftMs, () => this.release(pin, { mayLandLate }));
      return;
    }
    this.#late.delete(open);
    if (this.#pins.delete(open)) this.#wake();
  }

  #msUntilPast(t: Timestamp | undefined): number {
    return t === undefined ? 0 : (t.wall + 1 - this.db.clock.physicalMicros()) / 1000;
  }

  /**
   * The pin's transaction is about to use a table: waits while a change of it commits. Throws 40001 when
   * the pinned version of the table is no longer the one in use. `isNewest`: the caller holds the lock of
   * the catalog version and looks at the newest descriptors, not at the pinned ones. `check`: as of `pin`.
   */
  async use(
    pin: CatalogPin,
    id: DescriptorId,
    isNewest: boolean,
    check: () => void = () => {},
  ): Promise<void> {
    const { tables, newest } = pin as OpenPin;
    if (tables.has(id) || (isNewest && newest.has(id)) || !this.#pins.has(pin as OpenPin)) return;
    while (this.#isBlocked(new Set([id]), pin)) {
      check();
      await this.#change();
    }
    if (!isNewest && this.#snapshot !== pin.snapshot) {
      const pinned = pin.snapshot.byId(id);
      const now = this.#snapshot.byId(id);
      if (pinned !== undefined && now?.version !== pinned.version) throw changedMeanwhile();
    }
    (isNewest ? newest : tables).add(id);
  }

  /** Somebody who may be waiting here was cancelled. */
  lookAgain(): void {
    this.#wake();
  }

  /**
   * Called before a transaction commits. Throws 40001 when its view of the catalog is no longer valid. Undefined when that was
   * known at once.
   */
  checkPin(pin: CatalogPin): Promise<void> | undefined {
    if (!this.#hasLease) return this.refresh().then(() => this.#checkValid(pin));
    if (this.#leaseLeftMs < this.#leaseMs / 2) this.#refreshSoon();
    this.#checkValid(pin);
    return undefined;
  }

  #checkValid(pin: CatalogPin): void {
    if (pin.isVoid || !this.#hasLease) throw changedMeanwhile();
  }

  /**
   * The commit of a transaction with that pin may not stand above it: somebody who has struck this node off waits for its lease
   * and changes the table then, at a later timestamp by either clock. A request that was on its way for longer comes too late.
   * Throws like `checkPin`.
   */
  deadline(pin: CatalogPin): Timestamp {
    this.#checkValid(pin);
    const deadline = addMicros(this.db.clock.now(), Math.floor(this.#leaseLeftMs * 1000));
    (pin as OpenPin).deadline = deadline;
    return deadline;
  }

  #isBlocked(tables: ReadonlySet<DescriptorId>, pin: CatalogPin | undefined): boolean {
    for (const block of this.#blocks.values()) {
      if (block.ownPin === pin?.id) continue;
      for (const id of block.tables) if (tables.has(id)) return true;
    }
    return false;
  }

  #isInUse(tables: ReadonlySet<DescriptorId>, ownPin: string): boolean {
    for (const pin of this.#pins) {
      if (pin.id === ownPin) continue;
      for (const id of tables) if (pin.tables.has(id) || pin.newest.has(id)) return true;
    }
    return false;
  }

  /** Resolves when a pin, a block or the copy has changed. */
  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }

  // The barrier, seen by each node.

  async #block(request: BlockRequest): Promise<BlockAnswer> {
    const tables = new Set(request.tables);
    this.#unblock(request.id);
    const untilMs = this.env.clock.monotonicMs() + holdMs;
    const { id, ownPin } = request;
    const block: Block = { id, tables, ownPin, untilMs, timer: undefined };
    this.#awaitWord(block);
    this.#blocks.set(request.id, block);
    let isOver = false;
    const end = this.env.timers.after(drainMs, () => {
      isOver = true;
      this.#wake();
    });
    while (!isOver && this.#isInUse(tables, request.ownPin)) await this.#change();
    end.cancel();
    const isHeld = this.#blocks.get(request.id) === block && !this.#isInUse(tables, request.ownPin);
    if (!isHeld) this.#unblock(request.id);
    return { isHeld, now: this.db.clock.now() };
  }

  #heard(id: string): void {
    const block = this.#blocks.get(id);
    if (block !== undefined) this.#awaitWord(block);
  }

  #awaitWord(block: Block): void {
    block.timer?.cancel();
    const leftMs = block.untilMs - this.env.clock.monotonicMs();
    block.timer = this.env.timers.after(Math.min(unheardMs, leftMs), () => {
      // Whether the coordinator has committed must be read before going on, and from then on it may not.
      this.#lapses++;
      this.#leaseUntilMs = Number.NEGATIVE_INFINITY;
      this.#unblock(block.id);
    });
  }

  #unblock(id: string): void {
    const block = this.#blocks.get(id);
    if (block === undefined) return;
    block.timer?.cancel();
    this.#blocks.delete(id);
    this.#wake();
  }

  // The barrier, seen by its coordinator.

  /**
   * Makes every node hold back the tables. `txn` is the transaction that will change them: it reads the list of
   * nodes, and is above all that was written to the tables then. Throws 'txn-retry' when that list or what it has read of the tables
   * has changed, 55P03 when the tables stay in use for `timeoutMs`. `held`: a barrier of the same transaction, which this one goes on
   * without a gap.
   */
  async raiseBarrier(
    txn: Txn,
    tables: readonly DescriptorId[],
    pin: CatalogPin | undefined,
    options: WaitOptions,
    held?: Barrier,
  ): Promise<Barrier> {
    const id = held?.id ?? `${this.nodeId}/${this.#nextId++}/${this.env.random.u32()}`;
    const request: BlockRequest = { id, tables, ownPin: pin?.id ?? '' };
    const deadlineMs = this.env.clock.monotonicMs() + options.timeoutMs;
    for (let attempt = 1; ; attempt++) {
      options.checkCanceled();
      const heldUntilMs = this.env.clock.monotonicMs() + holdMs * 0.8;
      const nodes = await this.#registeredNodes(txn);
      const barrier: Barrier = { id, tables, nodes, heldUntilMs };
      this.#hold(id, nodes);
      let away: readonly NodeId[];
      let prepared: string | undefined;
      let stands = false;
      try {
        const answers = await Promise.all(
          nodes.map((node) => this.#call(node, 'catalog.block', request)),
        );
        away = nodes.filter((_, at) => answers[at] === undefined);
        const given = answers.flatMap((answer) => (answer as BlockAnswer | undefined) ?? []);
        for (const { now } of given) this.db.clock.observe(now);
        const isHeld = away.length === 0 && given.every((answer) => answer.isHeld);
        prepared = isHeld ? await preparedUserOf(this.db, tables) : undefined;
        if (isHeld && prepared === undefined) {
          await txn.refreshTo(this.db.clock.now());
          stands = true;
          return barrier;
        }
      } finally {
        if (!stands) await this.lowerBarrier(barrier);
      }
      if (away.length > 0) {
        await this.#waitOut(away);
        // This transaction has read the old list of nodes: it could not commit.
        throw changedMeanwhile('a node was struck off');
      }
      if (this.env.clock.monotonicMs() > deadlineMs) {
        throw sqlError('lockNotAvailable', 'canceling statement due to lock timeout', {
          detail:
            prepared === undefined
              ? 'Open transactions use the table whose definition is to be changed.'
              : `The prepared transaction "${prepared}" uses the table whose definition is to be changed.`,
        });
      }
      await sleep(this.env, Math.min(50 * attempt, 500));
    }
  }

  /** Tells the nodes that the barrier stands, until it is released or its time is over. */
  #hold(id: string, nodes: readonly NodeId[]): void {
    this.#letGo(id);
    const untilMs = this.env.clock.monotonicMs() + holdMs;
    const beat = (): void => {
      if (this.#isStopped || this.env.clock.monotonicMs() >= untilMs) {
        this.#letGo(id);
        return;
      }
      for (const node of nodes) {
        if (node === this.nodeId) this.#heard(id);
        else this.#transport?.send(node, 'catalog.hold', { id }, 'system');
      }
      this.#beats.set(id, this.env.timers.after(beatMs, beat));
    };
    this.#beats.set(id, this.env.timers.after(beatMs, beat));
  }

  #letGo(id: string): void {
    this.#beats.get(id)?.cancel();
    this.#beats.delete(id);
  }

  /** It is not known whether the transaction commits: the nodes find out when the blocks lapse, before they go on. */
  abandonBarrier(barrier: Barrier): void {
    this.#letGo(barrier.id);
  }

  /** Lifts the blocks of a barrier whose transaction did not commit. */
  async lowerBarrier(barrier: Barrier): Promise<void> {
    this.#letGo(barrier.id);
    await Promise.all(
      barrier.nodes.map((node) => this.#call(node, 'catalog.unblock', { id: barrier.id })),
    );
  }

  /** The barrier has been there for long enough to be raised again. */
  isAging(barrier: Barrier): boolean {
    return barrier.heldUntilMs - this.env.clock.monotonicMs() < holdMs / 2;
  }

  /** Throws 40001 when the blocks may have lapsed: the transaction must not commit any more. */
  checkBarrier(barrier: Barrier): void {
    if (this.env.clock.monotonicMs() >= barrier.heldUntilMs) throw changedMeanwhile();
  }

  /**
   * After a commit: returns when every node has `version`, or may use no older one any more. `mayBeLate`: nobody minds
   * when a node that does not answer learns it later, so its lease is not waited for.
   */
  async publish(
    version: number,
    barrier: Barrier | undefined,
    options: { readonly mayBeLate?: boolean } = {},
  ): Promise<void> {
    this.#gossip?.set(gossipKey, version, { ttlMs: 0 });
    await this.refresh(version);
    const nodes = await this.db.run({ name: 'catalog nodes' }, (txn) => this.#registeredNodes(txn));
    const told = { version, barrier: barrier?.id ?? '' };
    const answers = await Promise.all(
      nodes.map((node) => this.#call(node, 'catalog.refresh', told)),
    );
    if (barrier !== undefined) this.#letGo(barrier.id);
    const away = nodes.filter((_, at) => answers[at] === undefined);
    if (away.length > 0 && options.mayBeLate !== true) await this.#waitOut(away);
  }

  async #registeredNodes(txn: Txn): Promise<NodeId[]> {
    const page = await txn.scan({ start: nodeKeyPrefix, end: must(prefixEnd(nodeKeyPrefix)) });
    const nodes = page.keys
      .filter((_, at) => struckOffUntil(page.values[at]) === 0)
      .map((key) => asNodeId(Number(key.subarray(nodeKeyPrefix.length).toString())));
    return nodes.includes(this.nodeId) ? nodes : [this.nodeId, ...nodes];
  }

  /** Undefined when the node did not answer. */
  async #call(node: NodeId, method: string, payload: unknown): Promise<unknown> {
    if (node === this.nodeId) {
      if (method === 'catalog.block') return this.#block(payload as BlockRequest);
      const { id, barrier } = payload as { id?: string; barrier?: string };
      this.#unblock(id ?? barrier ?? '');
      return {};
    }
    if (this.#transport === undefined) return undefined;
    const giveUpMs = this.env.clock.monotonicMs() + unsentRetryMs;
    for (;;) {
      try {
        return await this.#transport.call(node, method, payload, {
          timeoutMs: callTimeoutMs,
          traffic: 'system',
        });
      } catch (error) {
        if (!(error instanceof TransportFailure)) throw error;
        // A node that has just joined is registered before gossip has told everyone its address: to strike
        // it off would make it register anew later, in the middle of somebody's transaction.
        if (error.sent || this.env.clock.monotonicMs() >= giveUpMs) return undefined;
        await sleep(this.env, unsentPauseMs);
      }
    }
  }

  /** Strikes off nodes that do not answer and waits until their leases have run out. */
  async #waitOut(nodes: readonly NodeId[]): Promise<void> {
    this.env.log.warn({ nodes }, 'waiting for the catalog leases of nodes that do not answer');
    // Long enough for the change that the node is in the way of.
    const { clock } = this.db;
    // A tenth more: monotonic clocks of two machines do not run at quite the same rate. And what their time of day differs by.
    const waitMs = this.#leaseMs * 1.1 + clock.maxOffsetMicros / 1000;
    const until = clock.physicalMicros() + (waitMs + holdMs) * 1000;
    for (const node of nodes) await this.#register(node, Buffer.from(String(Math.round(until))));
    await sleep(this.env, waitMs);
  }

  /** `value` undefined removes the node. */
  async #register(node: NodeId, value: Buffer | undefined): Promise<void> {
    await this.db.run({ name: 'register node' }, async (txn) => {
      if (value === undefined) txn.delete(nodeKey(node));
      else txn.put(nodeKey(node), value);
    });
  }
}

/** Wall time in microseconds before which the node may not register again; 0 for one that is registered. */
function struckOffUntil(registration: Buffer | undefined): number {
  return registration === undefined || registration.equals(registered)
    ? 0
    : Number(registration.toString());
}

/** SQLSTATE 40001; a statement on its own is run again by the session. */
function changedMeanwhile(reason = 'the definition of a table changed'): Error {
  return new KvFailure({ kind: 'txn-retry', reason });
}
