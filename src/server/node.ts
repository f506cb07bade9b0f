/**
 * One node, built from given parts: it cannot tell whether they are real or simulated.
 *
 *     sockets -> PgServer -> SqlService -> Db (txn) -> Router -> Store (range) -> RaftLog, Engine
 *                                             |                     |
 *                                             +----- Transport -----+----> other nodes
 *
 * A node starts in this order: who am I (identity, or wait to be admitted), what do I hold (a `StoreHome` per folder),
 * whom do I know (gossip), serve ranges (stores), serve SQL (catalog, sessions). A node without stores serves SQL only.
 */
import {
  type Db,
  type DrainProgress,
  type Member,
  type NodeId,
  type NodeInfo,
  type RowProgramCompiler,
  type StoreId,
  type ZoneConfig,
  ClusterSettings,
  HlcClock,
  KvFailure,
  asNodeId,
  asStoreId,
  defaultZoneConfig,
  gossipKeys,
  nodeIdCounterKey,
  storeIdCounterKey,
} from '../kv/index.ts';
import {
  Store,
  createRangeExecutor,
  goneStore,
  membershipTold,
  type StoreSettings,
} from '../range/index.ts';
import { GossipNode } from '../rpc/index.ts';
import { storeFaultOf } from '../storage/index.ts';
import { type SocketLike } from '../pgwire/index.ts';
import { Router, ClusterDb, serveBatches } from '../txn/index.ts';
import { sleep, type Env, type TimerHandle } from '../util/index.ts';
import { answerHttp, type HttpRequest, type HttpResponse } from './http.ts';
import { arrive, type Arrival } from './arrival.ts';
import { DecommissionedError, ForeignStoreError } from './identity.ts';
import { leftSentence } from './left-store.ts';
import { Membership, type NodeTransport } from './membership.ts';
import { addSqlMetrics, createMetricsRegistry } from './metrics.ts';
import { ClockWatch } from './clock-watch.ts';
import { criticalNodes } from './critical-nodes.ts';
import { serveNodeControl } from './node-control.ts';
import { NodeStores } from './node-stores.ts';
import { NodePlacementAdvisor } from './placement-advisor.ts';
import { NodeReports, serveReports } from './reports.ts';
import { type SqlFront, type SqlFrontParts } from './sql-front.ts';
import { StoreHome, type OpenEngine, type StoreSpec } from './store-home.ts';

export interface NodeParts {
  readonly env: Env;
  /** Listening already; it reads `nodeId` and `clusterId` of this node once they are known. */
  readonly transport: NodeTransport;
  /** One per disk; none: the node serves SQL only. */
  readonly stores: readonly StoreSpec[];
  readonly openEngine: OpenEngine;
  /** Runs filters and projections of SQL beside the data. */
  readonly rowPrograms: RowProgramCompiler | undefined;
  /** Undefined: a node without SQL, for tests of the layers below. */
  readonly openSql: ((parts: SqlFrontParts) => Promise<SqlFront>) | undefined;
  readonly rpcAddress: string;
  readonly sqlAddress: string;
  readonly httpAddress: string;
  readonly locality: NodeInfo['locality'];
  readonly join: readonly string[];
  /** Found a cluster at once when the stores are empty. */
  readonly singleNode: boolean;
  readonly version: string;
  /** Processor milliseconds that the process has used so far: load may be evened out by it. */
  readonly usedCpuMs?: () => number;
  readonly maxOffsetMs: number;
  readonly storeSettings?: Partial<StoreSettings>;
  /** Overrides zone configurations: simulation wants small ranges. */
  readonly zoneConfigFor?: (key: Buffer) => ZoneConfig;
  /** What holds until SQL has read the cluster's settings; default: their defaults. */
  readonly clusterSettings?: ClusterSettings;
  /** A disk operation that has not come back for so long ends the node. Default 20 s. */
  readonly maxSyncMs?: number | undefined;
  /**
   * A store failed (`storeFaultOf` says how) and this node serves nobody any more: the process must end. `storePath` is
   * undefined when it is no store's fault. Called once.
   */
  readonly onFatal: (error: Error, storePath: string | undefined) => void;
}

const startKinds: Readonly<Record<Arrival['kind'], string>> = {
  founded: 'initialized new cluster',
  joined: 'initialized new node, joined the cluster',
  restarted: 'restarted pre-existing node',
};
/** As CockroachDB's `storage.max_sync_duration`. */
const defaultMaxSyncMs = 20_000;
const gossipIntervalMs = 200;
const gossipPullMs = 200;
/** How long a node without a store is known when nothing is heard of it any more. */
const gatewayTtlMs = 30_000;
/** A new store of a node that serves already asks for its id again after so long. */
const addStoreRetryMs = 1_000;

export class SkeinNode {
  readonly #parts: NodeParts;
  readonly #homes: readonly StoreHome[];
  readonly clock: HlcClock;
  readonly #clusterSettings: ClusterSettings;
  readonly #stores: NodeStores;
  #identity: { readonly clusterId: string; readonly nodeId: NodeId } | undefined;
  #gossip: GossipNode | undefined;
  #router: Router | undefined;
  #db: Db | undefined;
  #sql: SqlFront | undefined;
  #membership: Membership;
  #state: 'starting' | 'waiting' | 'running' | 'draining' | 'stopped' | 'failed' = 'starting';
  #startKind = 'starting';
  readonly #startedAtMicros: number;
  #metrics: ReturnType<typeof createMetricsRegistry> | undefined;
  #clockWatch: ClockWatch | undefined;
  #pullTimer: TimerHandle | undefined;
  #publishTimer: TimerHandle | undefined;
  /** Addresses at which nodes of another cluster listen. */
  readonly #foreign = new Set<string>();

  constructor(parts: NodeParts) {
    this.#parts = parts;
    this.#startedAtMicros = parts.env.clock.wallMicros();
    this.#clusterSettings = parts.clusterSettings ?? new ClusterSettings();
    this.clock = new HlcClock(parts.env.clock, { maxOffsetMicros: parts.maxOffsetMs * 1000 });
    this.#stores = new NodeStores(this.clock);
    this.#homes = parts.stores.map(
      (spec) =>
        new StoreHome(parts.env, spec, {
          openEngine: parts.openEngine,
          maxSyncMs: parts.maxSyncMs ?? defaultMaxSyncMs,
          onFailure: (home, error) => this.#fail(error, home),
        }),
    );
    this.#membership = new Membership({
      env: parts.env,
      transport: parts.transport,
      join: parts.join,
      ownAddress: parts.rpcAddress,
    });
  }

  /** 0 until the node belongs to a cluster. */
  get nodeId(): NodeId {
    return this.#identity?.nodeId ?? asNodeId(0);
  }

  get clusterId(): string | undefined {
    return this.#identity?.clusterId;
  }

  /** For the start message: what this start was. */
  get startKind(): string {
    return this.#startKind;
  }

  /** The first of `stores`. */
  get store(): Store {
    const [first] = this.#stores.all;
    if (first === undefined) throw new Error('the node has no store, or has not started');
    return first;
  }

  get stores(): readonly Store[] {
    return this.#stores.all;
  }

  get db(): Db {
    if (this.#db === undefined) throw new Error('the node has not started');
    return this.#db;
  }

  get gossip(): GossipNode {
    if (this.#gossip === undefined) throw new Error('the node has not started');
    return this.#gossip;
  }

  /** Waits for a disk. */
  get isDiskBusy(): boolean {
    return this.#homes.some(({ diskWatch }) => diskWatch.isBusy);
  }

  /** Where the store lies that kept this node from starting. */
  pathOfFailure(error: unknown): string | undefined {
    return this.#homes.find(({ failure }) => failure === error)?.path;
  }

  /** Addresses of other nodes that this one was told of. */
  get #others(): readonly string[] {
    const { join, rpcAddress } = this.#parts;
    return join.filter((address) => address !== rpcAddress);
  }

  /** A node of another cluster listens at `address`. When all that this one was told of do, it has the wrong folder. */
  noteForeign(address: string): void {
    this.#foreign.add(address);
    const knowsOthers = (this.#gossip?.list(gossipKeys.nodePrefix).length ?? 0) > 1;
    if (knowsOthers || !this.#others.every((other) => this.#foreign.has(other))) return;
    this.#fail(
      new ForeignStoreError(
        `the store in ${this.#homes[0]?.path ?? '?'} is of cluster ${this.clusterId ?? '?'}, and the nodes named by --join ` +
          `(${this.#others.join(', ')}) are of another one; correct --join or --store.`,
      ),
    );
  }

  addressOf(nodeId: NodeId): string | undefined {
    const info = this.#gossip?.get(gossipKeys.node(nodeId)) as NodeInfo | undefined;
    return info?.rpcAddress;
  }

  /** Resolves when the node serves. `onWaiting` is called when it has to wait for a cluster to join. */
  async start(
    options: { readonly onWaiting?: () => void; readonly onIdentity?: (id: NodeId) => void } = {},
  ): Promise<void> {
    const { singleNode } = this.#parts;
    const arrival = await arrive({
      homes: this.#homes,
      membership: this.#membership,
      singleNode,
      join: this.#others,
      onWaiting: () => {
        this.#state = 'waiting';
        options.onWaiting?.();
      },
    });
    this.#state = 'starting';
    this.#startKind = startKinds[arrival.kind];
    for (const { hasLeft, identity, env, path } of this.#homes) {
      if (hasLeft && identity !== undefined) env.log.warn({}, leftSentence(identity.storeId, path));
    }
    const { clusterId, nodeId } = arrival;
    for (const home of this.#used()) {
      await home.open();
      if (arrival.kind !== 'founded' || home.identity === undefined) continue;
      await home.bootstrap(this.clock, home.identity);
      await home.own(home.identity, true);
    }
    this.#identity = { clusterId, nodeId };
    options.onIdentity?.(nodeId);
    await this.#serve(arrival);
    if (this.#state === 'starting') this.#state = 'running';
  }

  /** One client connection. While the node drains it is told so, and what runs can still be cancelled. */
  serveSql(socket: SocketLike): void {
    const isServing = this.#state === 'running' || this.#state === 'draining';
    if (this.#sql === undefined || !isServing) socket.destroy();
    else this.#sql.serve(socket);
  }

  http(request: HttpRequest): Promise<HttpResponse> {
    return answerHttp(request, {
      notReady: () =>
        this.#state === 'running' ? this.clock.complaint() : `the node is ${this.#state}`,
      metrics: async () => ({
        contentType: this.#metrics?.contentType ?? 'text/plain',
        body: (await this.#metrics?.metrics()) ?? '',
      }),
      status: () => this.status(),
      criticalNodes: () => criticalNodes(this.#reports(this.gossip), this.db),
    });
  }

  /** Plain facts about this node, as JSON. */
  status(): Record<string, unknown> {
    return {
      nodeId: this.nodeId,
      clusterId: this.clusterId,
      state: this.#state,
      clockProblem: this.clock.complaint(),
      version: this.#parts.version,
      nodes: (this.#gossip?.list(gossipKeys.nodePrefix) ?? []).map(([, info]) => info),
      stores: (this.#gossip?.list(gossipKeys.storePrefix) ?? []).map(([, info]) => info),
      store: this.#stores.metrics(),
    };
  }

  /** Nothing is to depend on this node any more; it goes on until it is stopped. Tells what is left. */
  async drain(): Promise<DrainProgress> {
    if (this.#state === 'running') {
      this.#state = 'draining';
      this.#sql?.nodeEvents.noteOwn('node_draining');
    }
    this.#sql?.drain();
    await Promise.all(this.#stores.all.map((store) => store.drain()));
    const leases = this.#stores.all.reduce((sum, store) => sum + store.counts().leases, 0);
    return { leases, connections: this.#sql?.connectionCount ?? 0 };
  }

  async drainStore(storeId: StoreId): Promise<number | undefined> {
    const store = this.#stores.find(storeId);
    await store?.giveLeases();
    return store?.counts().leases;
  }

  undrainStore(storeId: StoreId): boolean {
    const store = this.#stores.find(storeId);
    store?.takeLeases();
    return store !== undefined;
  }

  /** Lets clients finish, hands leases over, makes everything durable, closes. */
  async stop(): Promise<void> {
    if (this.#state === 'stopped' || this.#state === 'failed') return;
    this.#state = 'draining';
    this.#membership.stop();
    this.#sql?.nodeEvents.noteOwn('node_shutdown');
    await this.#sql?.stop();
    await Promise.all(this.#stores.all.map((store) => store.stop({ drain: true })));
    this.#clockWatch?.stop();
    this.#pullTimer?.cancel();
    this.#publishTimer?.cancel();
    this.#gossip?.stop();
    for (const home of this.#homes) {
      await home.stopBallast();
      await home.close();
    }
    this.#state = 'stopped';
  }

  async #serve({ clusterId, nodeId, kind, gossip: known }: Arrival): Promise<void> {
    const { env, transport } = this.#parts;
    const gossip = new GossipNode({
      env,
      clock: this.clock,
      nodeId,
      transport,
      intervalMs: gossipIntervalMs,
    });
    this.#gossip = gossip;
    if (known !== undefined) gossip.merge(known);
    this.#publishNode(gossip, nodeId);
    gossip.set(gossipKeys.clusterId, clusterId, { ttlMs: 0 });
    this.#heedMemberships(gossip, nodeId);
    gossip.start();
    this.#pullGossip(gossip);
    this.#clockWatch = new ClockWatch(env, this.clock, () => this.#publishNode(gossip, nodeId));
    this.#clockWatch.start();

    const stores = this.#stores;
    const router = new Router({
      env,
      clock: this.clock,
      nodeId,
      transport,
      local: stores,
      gossip,
      clusterSettings: this.#clusterSettings,
    });
    this.#router = router;
    const db = new ClusterDb({
      env,
      clock: this.clock,
      nodeId,
      router,
      clusterSettings: this.#clusterSettings,
      peek: (key) => stores.peek(key),
      ...(this.#parts.rowPrograms === undefined ? {} : { rowPrograms: this.#parts.rowPrograms }),
    });
    this.#db = db;
    serveNodeControl(transport, this);
    serveBatches(transport, stores);
    serveReports(transport, (name) =>
      name === 'sessions' ? (this.#sql?.sessions() ?? []) : stores.report(name),
    );
    const clusterSettings = this.#clusterSettings;
    const advisor = new NodePlacementAdvisor({ transport, gossip, stores, clusterSettings });
    advisor.serve();
    for (const home of this.#used()) {
      if (home.identity !== undefined) await this.#startStore(home, home.identity.storeId);
    }
    this.#membership.become(clusterId, async () => ({
      nodeId: asNodeId(Number(await db.increment(nodeIdCounterKey, 1n))),
      storeId: asStoreId(Number(await db.increment(storeIdCounterKey, 1n))),
      gossip: gossip.exportAll(),
    }));
    this.#addStores(clusterId, nodeId, db).catch((error: unknown) => this.#fail(asError(error)));
    this.#metrics = createMetricsRegistry(
      { clock: this.clock, store: () => stores.metrics(), txns: () => db.counters },
      { node: String(nodeId) },
    );
    if (this.#parts.openSql !== undefined) {
      const sql = await this.#parts.openSql({
        env,
        db,
        gossip,
        transport,
        nodeId,
        clusterSettings,
        advisor,
        reports: this.#reports(gossip),
        zonesChanged: () => stores.lookAtAll(),
      });
      this.#sql = sql;
      addSqlMetrics(this.#metrics, () => sql.metrics());
      sql.nodeEvents.noteOwn(kind === 'restarted' ? 'node_restart' : 'node_join', {
        StartedAt: new Date(this.#startedAtMicros / 1000).toISOString(),
      });
      stores.lookAtAll();
    }
  }

  #reports(gossip: GossipNode): NodeReports {
    const { transport, env } = this.#parts;
    return new NodeReports({ transport, gossip, log: env.log });
  }

  /**
   * Who was decommissioned holds nothing, and others take it for gone. A node ends, now and at each start that follows; a
   * store goes on empty, and is left out from the next start on.
   */
  #heedMemberships(gossip: GossipNode, nodeId: NodeId): void {
    const isGone = (member: Member): boolean => membershipTold(gossip, member) === 'decommissioned';
    const look = (): void => {
      if (isGone({ kind: 'node', id: nodeId })) {
        const folders = this.#homes.map(({ path }) => path).join(', ');
        this.#fail(new DecommissionedError(nodeId, folders));
      }
      for (const home of this.#homes) {
        const { identity } = home;
        if (identity !== undefined && isGone({ kind: 'store', id: identity.storeId })) {
          void home.leave(identity);
        }
      }
    };
    gossip.watch(gossipKeys.memberships, look);
    look();
  }

  /** Folders with a store that has not left. */
  #used(): readonly StoreHome[] {
    return this.#homes.filter(({ identity, hasLeft }) => identity !== undefined && !hasLeft);
  }

  /** The router needs the stores and a store needs the router, which knows `NodeStores` already. */
  async #startStore(home: StoreHome, storeId: Store['storeId']): Promise<void> {
    const { transport, locality, rowPrograms, storeSettings } = this.#parts;
    const { gossip, db } = this;
    const { attributes, capacityBytes } = home.spec;
    const router = this.#router;
    if (router === undefined) throw new Error('the node has not started');
    const store = new Store({
      env: home.env,
      clock: this.clock,
      engine: home.engine,
      raftLog: home.raftLog,
      transport,
      gossip,
      sender: router.keySender,
      db,
      executorFactory: createRangeExecutor,
      rowPrograms,
      nodeId: this.nodeId,
      storeId,
      directory: home.path,
      clockBound: home.clockBound,
      clusterSettings: this.#clusterSettings,
      peerSilent: (node, isSilent) => router.setSilent(node, isSilent),
      diskWatch: home.diskWatch,
      zoneConfigFor: (key) => this.#zoneConfig(key),
      isJobGone: (id) => this.#sql?.isJobGone(id) ?? Promise.resolve(false),
      zoneBoundariesIn: (start, end) => this.#zoneBoundaries(start, end),
      zonesKnown: () => this.#zonesKnown,
      rangeEvents: { note: (event, at) => this.#sql?.rangeEvents.note(event, at) },
      locality,
      ...(attributes === undefined ? {} : { attributes }),
      ...(this.#parts.usedCpuMs === undefined ? {} : { usedCpuMs: this.#parts.usedCpuMs }),
      ...(capacityBytes === undefined ? {} : { capacityBytes }),
      ...(storeSettings === undefined ? {} : { settings: storeSettings }),
      onFatal: (error) => this.#fail(asError(error), home),
    });
    this.#stores.add(store);
    try {
      await store.start();
    } catch (error) {
      await home.fail(error);
      throw error;
    }
    if (home.replaced !== undefined) {
      const { storeId: former, nodeId: formerNode } = home.replaced;
      gossip.set(gossipKeys.store(former), goneStore(former, formerNode), { ttlMs: 0 });
    }
    home.startBallast();
  }

  /** Folders without a store get one: its id is the cluster's to give, and it may take a while until the cluster can. */
  async #addStores(clusterId: string, nodeId: NodeId, db: Db): Promise<void> {
    for (const home of this.#homes) {
      if (home.identity !== undefined) continue;
      const storeId = await this.#nextStoreId(db);
      if (storeId === undefined) return;
      await home.own({ clusterId, nodeId, storeId }, true);
      await home.open();
      await this.#startStore(home, storeId);
      home.env.log.info({ store: storeId, path: home.path }, 'a store was added to this node');
    }
  }

  /** Undefined when the node stops. */
  async #nextStoreId(db: Db): Promise<Store['storeId'] | undefined> {
    const { env } = this.#parts;
    for (;;) {
      if (this.#state !== 'starting' && this.#state !== 'running') return undefined;
      try {
        return asStoreId(Number(await db.increment(storeIdCounterKey, 1n)));
      } catch (error) {
        if (!(error instanceof KvFailure)) throw error;
        env.log.warn({ error: error.kvError.kind }, 'no id for a new store yet');
        await sleep(env, addStoreRetryMs);
      }
    }
  }

  /**
   * A restarted node knows nobody: it asks the addresses it was given until it knows another node, and
   * where the first range is (two restarted nodes that know only each other would never learn it).
   */
  #pullGossip(gossip: GossipNode): void {
    const { env, transport } = this.#parts;
    const others = this.#others;
    const knowsEnough =
      gossip.list(gossipKeys.nodePrefix).length > 1 &&
      gossip.get(gossipKeys.firstRange) !== undefined;
    if (others.length === 0 || knowsEnough || this.#state === 'stopped') return;
    for (const address of others) {
      transport
        .callAddress(address, 'gossip-pull', {}, { timeoutMs: 1000, traffic: 'system' })
        .then(
          (answer) => gossip.merge(answer),
          (error: unknown) => env.log.debug({ address, err: error }, 'no gossip yet'),
        );
    }
    this.#pullTimer = env.timers.after(gossipPullMs, () => this.#pullGossip(gossip));
  }

  /** A node with a store comes back under its id. One without is forgotten soon after it has gone: it comes back as another. */
  #publishNode(gossip: GossipNode, nodeId: NodeId): void {
    const isLasting = this.#homes.length > 0;
    const ttlMs = isLasting ? 0 : gatewayTtlMs;
    gossip.set(gossipKeys.node(nodeId), this.#nodeInfo(nodeId), { ttlMs });
    if (isLasting) return;
    this.#publishTimer?.cancel();
    this.#publishTimer = this.#parts.env.timers.after(gatewayTtlMs / 3, () =>
      this.#publishNode(gossip, nodeId),
    );
  }

  #nodeInfo(nodeId: NodeId): NodeInfo {
    const { rpcAddress, sqlAddress, httpAddress, locality, version } = this.#parts;
    const clockProblem = this.#clockWatch?.problem;
    return {
      nodeId,
      rpcAddress,
      sqlAddress,
      httpAddress,
      locality,
      version,
      startedAtMicros: this.#startedAtMicros,
      ...(clockProblem === undefined ? {} : { clockProblem }),
    };
  }

  #zoneConfig(key: Buffer): ZoneConfig {
    if (this.#parts.zoneConfigFor !== undefined) return this.#parts.zoneConfigFor(key);
    return this.#sql?.zoneConfigFor(key) ?? defaultZoneConfig;
  }

  #zoneBoundaries(start: Buffer, end: Buffer): readonly Buffer[] {
    if (this.#parts.zoneConfigFor !== undefined) return [];
    return this.#sql?.zoneBoundariesIn(start, end) ?? [];
  }

  /** False until the catalog has been read: nobody may act on the defaults in the place of what was configured. */
  get #zonesKnown(): boolean {
    const { zoneConfigFor, openSql } = this.#parts;
    return zoneConfigFor !== undefined || openSql === undefined || this.#sql !== undefined;
  }

  #fail(error: Error, home?: StoreHome): void {
    if (this.#state === 'failed' || this.#state === 'stopped') return;
    this.#state = 'failed';
    // Whatever noticed it: from here on nothing is answered, acknowledged or promised.
    for (const store of this.#stores.all) store.fatal(error);
    if (home === undefined || storeFaultOf(error) !== 'damaged') {
      this.#parts.onFatal(error, home?.path);
    } else void home.fail(error).then(() => this.#parts.onFatal(error, home.path));
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
