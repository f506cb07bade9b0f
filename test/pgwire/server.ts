/** A SQL service over an in-memory Db, and the wire protocol on top of it, in this process. */
import { createServer, type AddressInfo, type Server } from 'node:net';
import { asNodeId, ClusterSettings, HlcClock, LocalDb } from '../../src/kv/index.ts';
import { createRealEnv } from '../../src/cli/real-env.ts';
import { type ConnectionLimits, PgListener } from '../../src/pgwire/index.ts';
import {
  createSqlService,
  rowProgramCompiler,
  type SqlService,
  type SessionLimits,
} from '../../src/sql/index.ts';
import { type Env, silentLogger } from '../../src/util/index.ts';

export interface TestService {
  readonly env: Env;
  readonly db: LocalDb;
  readonly service: SqlService;
  /** What the layers below SQL would see. */
  readonly clusterSettings: ClusterSettings;
  stop(): Promise<void>;
}

export async function startService(limits: Partial<SessionLimits> = {}): Promise<TestService> {
  const env = createRealEnv({ log: silentLogger, checks: true });
  const nodeId = asNodeId(1);
  const db = new LocalDb({
    clock: new HlcClock(env.clock, { maxOffsetMicros: 500_000 }),
    nodeId,
    timers: env.timers,
    rowPrograms: rowProgramCompiler,
  });
  const clusterSettings = new ClusterSettings();
  const service = await createSqlService({ env, db, nodeId, limits, clusterSettings });
  return { env, db, service, clusterSettings, stop: () => service.stop() };
}

export interface TestServer extends TestService {
  readonly port: number;
  readonly listener: PgListener;
}

export async function startServer(limits: Partial<ConnectionLimits> = {}): Promise<TestServer> {
  const started = await startService();
  const listener = new PgListener({ env: started.env, service: started.service, limits });
  const server = createServer((socket) => listener.serve(socket));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    ...started,
    listener,
    port: portOf(server),
    stop: async () => {
      listener.close();
      await new Promise((resolve) => {
        server.close(resolve);
      });
      await started.stop();
    },
  };
}

function portOf(server: Server): number {
  const address = server.address() as AddressInfo;
  return address.port;
}
