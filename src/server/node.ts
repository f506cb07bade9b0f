/**
 * One node, built from given parts: it cannot tell whether they are real or simulated.
 *
 *     sockets -> PgServer -> SqlService -> Db (txn) -> Router -> Store (range) -> RaftLog, Engine
 *                                             |                     |
 *                                             +----- Transport -----+----> other nodes
 *
 * A node starts in this order: who am I (identity, or wait to be admitted), what do I hold (engine, raft
 * log), whom do I know (gossip), serve ranges (store), serve SQL (catalog, sessions).
 */
import {
  type BatchRequest,
  type BatchResponse,
  type Db,
  type NodeId,
  type NodeInfo,
  type RowProgramCompiler,
  type Sender,
  type ZoneConfig,
  ClusterSettings,
  HlcClock,
  asNodeId,
  asStoreId,
  defaultZoneConfig,
  gossipKeys,
  nodeIdCounterKey,
} from '../kv/index.ts';
import {
  Store,
  bootstrapCluster,
  clockBoundOnDisk,
  createRangeExecutor,
  goneStore,
  membershipOf,
  storeIdCounterKey,
  type ClockBoundFile,
  type StoreSettings,
} from '../range/index.ts';
import { GossipNode } from '../rpc/index.ts';
import { type Engine, SegmentedRaftLog, storeFaultOf } from '../storage/index.ts';
import { type SocketLike } from '../pgwire/index.ts';
import { Router, ClusterDb, serveBatches } from '../txn/index.ts';
import { DiskWatch, watchedDisk, type Disk, type Env, type TimerHandle } from '../util/index.ts';
import { answerHttp, type HttpRequest, type HttpResponse } from './http.ts';
import { Ballast, refuseFullDisk } from './ballast.ts';
import { arrive, type Arrival } from './arrival.ts';
import {
  DecommissionedError,
  ForeignStoreError,
  type StoreIdentity,
  writeIdentity,
} from './identity.ts';
import { Membership, type NodeTransport } from './membership.ts';
import { createMetricsRegistry } from './metrics.ts';
import { markDamaged } from './quarantine.ts';
import { NodeReports, serveReports } from './reports.ts';
import { type SqlFront, type SqlFrontParts } from './sql-front.ts';

export interface NodeParts {
  readonly env: Env;
  /** Listening already; it reads `nodeId` and `clusterId` of this node once they are known. */
  readonly transport: NodeTransport;
  readonly storePath: string;
  readonly openEngine: (
    path: string,
    hooks: { readonly onPoison: (error: Error) => void; readonly watch: DiskWatch },
  ) => Promise<Engine>;
  /** Runs filters and projections of SQL beside the data. */
  readonly rowPrograms: RowProgramCompiler | undefined;
  /** Undefined: a node without SQL, for tests of the layers below. */
  readonly openSql: ((parts: SqlFrontParts) => Promise<SqlFront>) | undefined;
  readonly rpcAddress: string;
  readonly sqlAddress: string;
  readonly httpAddress: string;
  readonly locality: NodeInfo['locality'];
  /** Of the store: what constraints such as `+ssd` ask for. */
  readonly attributes?: readonly string[];
  readonly join: readonly string[];
  /** Found a cluster at once when the store is empty. */
  readonly singleNode: boolean;
  readonly version: string;
  readonly maxOffsetMs: number;
  readonly storeSettings?: Partial<StoreSettings>;
  /** Overrides zone configurations: simulation wants small ranges. */
  readonly zoneConfigFor?: (key: Buffer) => ZoneConfig;
  /** What holds until SQL has read the cluster's settings; default: their defaults. */
  readonly clusterSettings?: ClusterSettings;
  /** Size of the ballast; 0 for none. Default: what is there is left alone. */
  readonly ballastBytes?: number;
  /** A disk operation that has not come back for so long ends the node. Default 20 s. */
  readonly maxSyncMs?: number | undefined;
  /** The store failed (`storeFaultOf` says how) and serves nobody any more: the process must end. Called once. */
  readonly onFatal: (error: Error) => void;
}

const startKinds: Readonly<Record<Arrival['kind'], string>> = {
  founded: 'initialized new cluster',
  joined: 'initialized new node, joined the cluster',
  restarted: 'restarted pre-existing node',
};
/** As CockroachDB's `storage.max_sync_duration`. */
const defaultMaxSyncMs = 20_000;
const gossipIntervalMs = 200;
const gossipFullSyncMs = 10_000;
const gossipPullMs = 200;

export class SkeinNode {
  readonly #parts: NodeParts;
  readonly #diskWatch: DiskWatch;
  readonly clock: HlcClock;
  readonly #clusterSettings: ClusterSettings;
  #identity: StoreIdentity | undefined;
  #gossip: GossipNode | undefined;
  #store: Store | undefined;
  #db: Db | undefined;
  #sql: SqlFront | undefined;
  #membership: Membership;
  #state: 'starting' | 'waiting' | 'running' | 'draining' | 'stopped' | 'failed' = 'starting';
  #startKind = 'starting';
  #metrics: ReturnType<typeof createMetricsRegistry> | undefined;
  #engine: Engine | undefined;
  #raftLog: SegmentedRaftLog | undefined;
  #pullTimer: TimerHandle | undefined;
  /** Addresses at which nodes of another cluster listen. */
  readonly #foreign = new Set<string>();
  readonly #ballast: Ballast | undefined;
  /** In reverse order of opening. */
  readonly #closers: (() => Promise<void>)[] = [];

  constructor(parts: NodeParts) {
    this.#diskWatch = new DiskWatch(parts.env, {
      limitMs: parts.maxSyncMs ?? defaultMaxSyncMs,
      onStall: (error) => this.#fail(error),
    });
    const disk = watchedDisk(parts.env.disk, this.#diskWatch);
    const env = withDisk(parts.env, disk);
    this.#parts = { ...parts, env };
    this.#clusterSettings = parts.clusterSettings ?? new ClusterSettings();
    if (parts.ballastBytes !== undefined) {
      this.#ballast = new Ballast(env, parts.storePath, parts.ballastBytes);
    }
    this.clock = new HlcClock(parts.env.clock, { maxOffsetMicros: parts.maxOffsetMs * 1000 });
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

  get store(): Store {
    if (this.#store === undefined) throw new Error('the node has not started');
    return this.#store;
  }

  get db(): Db {
    if (this.#db === undefined) throw new Error('the node has not started');
    return this.#db;
  }

  get gossip(): GossipNode {
    if (this.#gossip === undefined) throw new Error('the node has not started');
    return this.#gossip;
  }

  /** Waits for its disk. */
  get isDiskBusy(): boolean {
    return this.#diskWatch.isBusy;
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
        `the store in ${this.#parts.storePath} is of cluster ${this.clusterId ?? '?'}, and the nodes named by --join ` +
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
    try {
      await this.#start(options.onWaiting ?? (() => {}), options.onIdentity ?? (() => {}));
    } catch (error) {
      if (error instanceof Error) await this.#noteDamage(error);
      throw error;
    }
  }

  async #start(onWaiting: () => void, onIdentity: (id: NodeId) => void): Promise<void> {
    const { env, storePath, singleNode } = this.#parts;
    const arrival = await arrive({
      disk: env.disk,
      storePath,
      membership: this.#membership,
      singleNode,
      join: this.#others,
      onWaiting: () => {
        this.#state = 'waiting';
        onWaiting();
      },
    });
    const { identity, kind } = arrival;
    this.#state = 'starting';
    this.#startKind = startKinds[kind];
    await this.#openStore(identity, kind === 'founded');
    if (kind === 'founded')
      await writeIdentity(env.disk, storePath, { ...identity, complete: true });
    this.#identity = identity;
    onIdentity(identity.nodeId);
    await this.#serve(arrival);
    this.#ballast?.start();
    if (this.#state === 'starting') this.#state = 'running';
  }

  /** One client connection. */
  serveSql(socket: SocketLike): void {
    if (this.#sql === undefined || this.#state !== 'running') socket.destroy();
    else this.#sql.serve(socket);
  }

  http(request: HttpRequest): Promise<HttpResponse> {
    return answerHttp(request, {
      notReady: () => (this.#state === 'running' ? undefined : `the node is ${this.#state}`),
      metrics: async () => ({
        contentType: this.#metrics?.contentType ?? 'text/plain',
        body: (await this.#metrics?.metrics()) ?? '',
      }),
      status: () => this.status(),
    });
  }

  /** Plain facts about this node, as JSON. */
  status(): Record<string, unknown> {
    return {
      nodeId: this.nodeId,
      clusterId: this.clusterId,
      state: this.#state,
      version: this.#parts.version,
      nodes: (this.#gossip?.list(gossipKeys.nodePrefix) ?? []).map(([, info]) => info),
      stores: (this.#gossip?.list(gossipKeys.storePrefix) ?? []).map(([, info]) => info),
      store: this.#store?.metrics(),
    };
  }

  /** Lets clients finish, hands leases over, makes everything durable, closes. */
  async stop(): Promise<void> {
    if (this.#state === 'stopped' || this.#state === 'failed') return;
    this.#state = 'draining';
    this.#membership.stop();
    await this.#ballast?.stop();
    await this.#sql?.stop();
    await this.#store?.stop({ drain: true });
    this.#pullTimer?.cancel();
    this.#gossip?.stop();
    for (const close of this.#closers.toReversed()) await close();
    this.#state = 'stopped';
  }

  async #openStore(identity: StoreIdentity, founded: boolean): Promise<void> {
    const { env, storePath } = this.#parts;
    await env.disk.mkdir(storePath);
    await refuseFullDisk(env.disk, storePath);
    const onPoison = (error: Error): void => this.#fail(error);
    const engine = await this.#parts.openEngine(`${storePath}/engine`, {
      onPoison,
      watch: this.#diskWatch,
    });
    const raftLog = await SegmentedRaftLog.open({ env, directory: `${storePath}/raft`, onPoison });
    this.#closers.push(
      () => raftLog.close(),
      () => engine.close(),
    );
    if (founded) {
      await bootstrapCluster({
        engine,
        raftLog,
        clock: this.clock,
        nodeId: identity.nodeId,
        storeId: identity.storeId,
      });
      const { wall } = this.clock.now();
      await this.#clockBound({ isNew: true }).persist({
        upperBound: wall,
        noVotesBefore: 0,
        heard: [],
      });
    }
    this.#engine = engine;
    this.#raftLog = raftLog;
  }

  #clockBound(options: { readonly isNew: boolean }): ClockBoundFile {
    const { env, storePath } = this.#parts;
    return clockBoundOnDisk(env, `${storePath}/CLOCK`, options);
  }

  async #serve({ identity, gossip: known, replaced }: Arrival): Promise<void> {
    const { env, transport, storePath, locality } = this.#parts;
    const { nodeId, storeId } = identity;
    if (this.#engine === undefined || this.#raftLog === undefined) throw new Error('no store');
    const gossip = new GossipNode({
      env,
      clock: this.clock,
      nodeId,
      transport,
      intervalMs: gossipIntervalMs,
      fullSyncMs: gossipFullSyncMs,
    });
    this.#gossip = gossip;
    if (known !== undefined) gossip.merge(known);
    gossip.set(gossipKeys.node(nodeId), this.#nodeInfo(nodeId), { ttlMs: 0 });
    gossip.set(gossipKeys.clusterId, identity.clusterId, { ttlMs: 0 });
    this.#leaveWhenDecommissioned(gossip, nodeId);
    gossip.start();
    this.#pullGossip(gossip);

    // The router needs the store and the store needs the router: the one-line sender ties the knot.
    const local: Sender = {
      send: (batch: BatchRequest): Promise<BatchResponse> => store.send(batch),
    };
    const router = new Router({
      env,
      clock: this.clock,
      nodeId,
      transport,
      local,
      gossip,
      clusterSettings: this.#clusterSettings,
    });
    const db = new ClusterDb({
      env,
      clock: this.clock,
      nodeId,
      router,
      peek: (key) => store.peek(key),
      ...(this.#parts.rowPrograms === undefined ? {} : { rowPrograms: this.#parts.rowPrograms }),
    });
    this.#db = db;
    const store: Store = new Store({
      env,
      clock: this.clock,
      engine: this.#engine,
      raftLog: this.#raftLog,
      transport,
      gossip,
      sender: router.keySender,
      db,
      executorFactory: createRangeExecutor,
      rowPrograms: this.#parts.rowPrograms,
      nodeId,
      storeId,
      directory: storePath,
      // A store that holds nothing yet may have been stopped before its first bound was written.
      clockBound: this.#clockBound({ isNew: this.#raftLog.rangeIds().length === 0 }),
      clusterSettings: this.#clusterSettings,
      peerSilent: (node, isSilent) => router.setSilent(node, isSilent),
      diskWatch: this.#diskWatch,
      zoneConfigFor: (key) => this.#zoneConfig(key),
      zoneBoundariesIn: (start, end) => this.#zoneBoundaries(start, end),
      zonesKnown: () => this.#zonesKnown,
      locality,
      attributes: this.#parts.attributes ?? [],
      ...(this.#parts.storeSettings === undefined ? {} : { settings: this.#parts.storeSettings }),
      onFatal: (error) => this.#fail(error instanceof Error ? error : new Error(String(error))),
    });
    this.#store = store;
    serveBatches(transport, store);
    serveReports(transport, store.reports);
    await store.start();
    if (replaced !== undefined) {
      const { storeId: former, nodeId: formerNode } = replaced;
      gossip.set(gossipKeys.store(former), goneStore(former, formerNode), { ttlMs: 0 });
    }
    this.#membership.become(identity.clusterId, async () => ({
      nodeId: asNodeId(Number(await db.increment(nodeIdCounterKey, 1n))),
      storeId: asStoreId(Number(await db.increment(storeIdCounterKey, 1n))),
      gossip: gossip.exportAll(),
    }));
    this.#metrics = createMetricsRegistry(
      { store: () => this.#store?.metrics(), sql: () => this.#sql?.metrics() ?? {} },
      { node: String(nodeId) },
    );
    if (this.#parts.openSql !== undefined) {
      this.#sql = await this.#parts.openSql({
        env,
        db,
        gossip,
        transport,
        nodeId,
        clusterSettings: this.#clusterSettings,
        reports: new NodeReports({ transport, gossip, log: env.log }),
        zonesChanged: () => store.lookAtAll(),
      });
      store.lookAtAll();
    }
  }

  /** Its replicas are elsewhere, and others take it for gone: this process ends, and so does each one that follows. */
  #leaveWhenDecommissioned(gossip: GossipNode, nodeId: NodeId): void {
    const look = (): void => {
      if (membershipOf(gossip, nodeId) === 'decommissioned') {
        this.#fail(new DecommissionedError(nodeId, this.#parts.storePath));
      }
    };
    gossip.watch(gossipKeys.memberships, look);
    look();
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

  #nodeInfo(nodeId: NodeId): NodeInfo {
    const { env, rpcAddress, sqlAddress, httpAddress, locality, version } = this.#parts;
    return {
      nodeId,
      rpcAddress,
      sqlAddress,
      httpAddress,
      locality,
      version,
      startedAtMicros: env.clock.wallMicros(),
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

  #fail(error: Error): void {
    if (this.#state === 'failed' || this.#state === 'stopped') return;
    this.#state = 'failed';
    // Whatever noticed it: from here on nothing is answered, acknowledged or promised.
    this.#store?.fatal(error);
    if (storeFaultOf(error) !== 'damaged') this.#parts.onFatal(error);
    else void this.#noteDamage(error).then(() => this.#parts.onFatal(error));
  }

  /** What a store has lost it must not be asked for again. */
  async #noteDamage(error: Error): Promise<void> {
    const { env, storePath } = this.#parts;
    if (storeFaultOf(error) === 'damaged') await markDamaged(env, storePath, error.message);
  }
}

function withDisk(env: Env, disk: Disk): Env {
  const { clock, timers, random, log, checks } = env;
  return {
    clock,
    timers,
    random,
    disk,
    log,
    checks,
    sometimes: (percent) => env.sometimes(percent),
  };
}
