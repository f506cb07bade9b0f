/** The SQL side of a node: catalog, sessions and the wire protocol over the node's Db. */
import {
  asNodeId,
  type ClusterReports,
  type ClusterSettings,
  type Db,
  type Gossip,
  type NodeId,
  type PlacementAdvisor,
  type RangeEvents,
  type ReportedSession,
  type Transport,
  type ZoneConfig,
} from '../kv/index.ts';
import { PgListener, type SocketLike } from '../pgwire/index.ts';
import {
  ClusterLogs,
  createSqlService,
  isJobGone,
  nodeOfBackend,
  type NodeEvents,
  sameZones,
  zoneBoundaries,
  zoneConfigFor,
  zonesOfRange,
} from '../sql/index.ts';
import { sleep, type Env } from '../util/index.ts';
import { nodeControl, serveSignals } from './node-control.ts';
import { ReplicationReporter } from './replication-reporter.ts';

export interface SqlFrontParts {
  readonly env: Env;
  readonly db: Db;
  readonly gossip: Gossip;
  readonly transport: Transport;
  /** Filled by SQL, read by the store. */
  readonly clusterSettings: ClusterSettings;
  readonly nodeId: NodeId;
  /** Of all nodes, for skein_internal. */
  readonly reports: ClusterReports;
  readonly advisor: PlacementAdvisor;
  /** Called when the configuration of some key has changed, or where it changes. */
  readonly zonesChanged: () => void;
}

export interface SqlFront {
  serve(socket: SocketLike): void;
  /** New connections are refused. */
  drain(): void;
  readonly connectionCount: number;
  /** New connections are refused, idle ones are closed, running statements and transactions get a moment to end. */
  stop(): Promise<void>;
  /** Counters, and gauges whose names begin with `open`. */
  metrics(): Readonly<Record<string, number>>;
  /** Those with a transaction. */
  sessions(): readonly ReportedSession[];
  /** Writes down what happens to ranges. */
  readonly rangeEvents: RangeEvents;
  /** Writes down what happens to nodes. */
  readonly nodeEvents: NodeEvents;
  /** The job of that id has ended, or never was. */
  isJobGone(id: string): Promise<boolean>;
  /** The zone configuration that holds for a key. */
  zoneConfigFor(key: Buffer): ZoneConfig;
  /** Where the configuration changes between `start` and `end`, both exclusive. */
  zoneBoundariesIn(start: Buffer, end: Buffer): readonly Buffer[];
}

const cancelTimeoutMs = 2_000;
/** How long running statements and transactions may go on when the node stops. */
const graceMs = 500;
const gracePollMs = 20;
/** How long the node may take to say goodbye. */
const leaveMs = 1_000;

export async function openSqlFront(parts: SqlFrontParts): Promise<SqlFront> {
  const { env, db, gossip, transport, nodeId, clusterSettings, reports, advisor, zonesChanged } =
    parts;
  const logs = new ClusterLogs({ env, db, nodeId, settings: clusterSettings });
  const service = await createSqlService({
    env,
    db,
    nodeId,
    gossip,
    transport,
    clusterSettings,
    reports,
    advisor,
    logs,
    control: nodeControl(transport),
  });
  logs.start();
  const { catalogCache } = service.services;
  const reporter = new ReplicationReporter({
    env,
    db,
    nodeId,
    settings: clusterSettings,
    reports,
    zonesOf: (range) => zonesOfRange(catalogCache.current, range),
  });
  let zonesOf = catalogCache.current;
  catalogCache.onChange((snapshot) => {
    const isSame = sameZones(zonesOf, snapshot);
    zonesOf = snapshot;
    if (!isSame) zonesChanged();
    reporter.heedSettings();
  });
  reporter.heedSettings();
  // A cancel request may arrive at any node; the session's number tells where it belongs.
  transport.onCall('cancel', async (payload) => {
    const { pid, secret } = payload as { pid: number; secret: number };
    return service.cancel(pid, secret);
  });
  serveSignals(transport, (signal) => service.signal(signal));
  const listener = new PgListener({
    env,
    service,
    forwardCancel: (pid, secret) => {
      const owner = asNodeId(nodeOfBackend(pid));
      if (owner === nodeId) return;
      transport
        .call(owner, 'cancel', { pid, secret }, { timeoutMs: cancelTimeoutMs, traffic: 'system' })
        .catch((error: unknown) => env.log.debug({ err: error }, 'a cancel request got lost'));
    },
  });
  return {
    serve: (socket) => listener.serve(socket),
    drain: () => listener.drain(),
    get connectionCount() {
      return listener.connectionCount;
    },
    async stop() {
      listener.drain();
      for (
        let waited = 0;
        waited < graceMs && listener.connectionCount > 0;
        waited += gracePollMs
      ) {
        await sleep(env, gracePollMs);
      }
      listener.close();
      reporter.stop();
      // Courtesies: other nodes notice by themselves who has left the catalog's protocol, and events may get lost.
      const left = Promise.all([logs.stop(), service.stop()]).catch((error: unknown) => {
        env.log.debug({ err: error }, 'SQL was not left in order');
      });
      await Promise.race([left, sleep(env, leaveMs)]);
    },
    sessions: () => service.openTransactions(),
    metrics: () => ({
      ...service.metrics(),
      openConnections: listener.connectionCount,
      eventsDropped: logs.dropped,
    }),
    rangeEvents: logs.ranges,
    nodeEvents: logs.nodes,
    isJobGone: (id) => db.run({ name: 'look for a job' }, (txn) => isJobGone(txn, id)),
    zoneConfigFor: (key) => zoneConfigFor(catalogCache.current, key),
    zoneBoundariesIn: (start, end) => zoneBoundaries(catalogCache.current, start, end),
  };
}
