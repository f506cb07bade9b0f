/**
 * `skein start`: makes the real clock, disk, engine and sockets, builds a node of them and serves
 * until a signal comes. Every way this can fail ends in one sentence and a non-zero exit.
 */
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { createServer as createNetServer, type Server as NetServer, type Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { GrpcTransport } from '../rpc/index.ts';
import {
  ForeignStoreError,
  SkeinNode,
  ballastName,
  defaultBallastBytes,
  inMebibytes,
  openSqlFront,
  type StoreSpec,
} from '../server/index.ts';
import { rowProgramCompiler } from '../sql/index.ts';
import { LevelEngine, StorePoisonedError, storeFaultOf } from '../storage/index.ts';
import { type Logger } from '../util/index.ts';
import { createLogger, type LogFormat } from './log.ts';
import { limitHeapGrowth } from './memory.ts';
import {
  formatAddress,
  parseAddress,
  parseBytes,
  parseLocality,
  parseStoreSpec,
  Settings,
  UsageError,
} from './options.ts';
import { createRealEnv } from './real-env.ts';
import { syncPath } from './real-disk.ts';
import { foreignFiles } from './start-files.ts';
import { exitCodes, storeFailure } from './store-failure.ts';
import { version } from './version.ts';

const defaultPorts = { sql: 26257, rpc: 26357, http: 8080 };

/** A drain that takes longer is given up: the other nodes take over by themselves. */
const stopTimeoutMs = 10_000;

export async function runStart(
  flags: Record<string, unknown>,
  options: { singleNode: boolean },
): Promise<void> {
  try {
    await startNode(new Settings(flags), options);
  } catch (error) {
    const sentence = explain(error);
    if (sentence === undefined) throw error;
    end(sentence, exitCodes.failed);
  }
}

async function startNode(settings: Settings, options: { singleNode: boolean }): Promise<void> {
  const startedMs = performance.now();
  const startedAt = new Date().toISOString();
  limitHeapGrowth();
  if (!settings.flag('insecure')) {
    throw new UsageError(
      'this version speaks neither TLS nor passwords; start with --insecure, in a trusted network only.',
    );
  }
  const specs = settings.isOff('store')
    ? []
    : (settings.list('store') ?? ['path=skein-data']).map(parseStoreSpec);
  if (specs.length === 0 && options.singleNode) {
    throw new UsageError('a cluster of one node needs a store.');
  }
  const listen = {
    rpc: parseAddress(settings.text('listen-addr') ?? '', {
      host: '127.0.0.1',
      port: defaultPorts.rpc,
    }),
    sql: parseAddress(settings.text('sql-addr') ?? '', {
      host: '127.0.0.1',
      port: defaultPorts.sql,
    }),
    http: parseAddress(settings.text('http-addr') ?? '', {
      host: '127.0.0.1',
      port: defaultPorts.http,
    }),
  };
  const ballast = settings.text('ballast-size');
  const joinList = (settings.text('join') ?? '')
    .split(',')
    .map((address) => address.trim())
    .filter((address) => address !== '');
  if (!options.singleNode && joinList.length === 0) {
    throw new UsageError(
      'start needs --join with the addresses of some nodes; for one node alone use start-single-node.',
    );
  }
  const log = await createLogger({
    level: settings.text('log-level') ?? 'info',
    format: (settings.text('log-format') ?? 'auto') as LogFormat,
    file: settings.text('log-file'),
  });
  crashOnStrayErrors(log);
  const env = createRealEnv({ log });
  const stores: StoreSpec[] = [];
  for (const { attrs, sizeBytes, ...spec } of specs) {
    const path = resolve(spec.path);
    if (stores.some((other) => other.path === path)) {
      throw new UsageError(`--store names ${path} twice.`);
    }
    await env.disk.mkdir(path);
    const { totalBytes } = await env.disk.space(path);
    const ballastBytes =
      ballast === undefined ? defaultBallastBytes(totalBytes) : parseBytes(ballast);
    stores.push({
      path,
      attributes: attrs,
      ballastBytes,
      ...(sizeBytes === 0 ? {} : { capacityBytes: sizeBytes }),
    });
  }

  const transport = new GrpcTransport({
    env,
    nodeId: () => node.nodeId,
    clusterId: () => node.clusterId,
    resolve: (id) => node.addressOf(id),
    onForeign: (address) => node.noteForeign(address),
    queueBytesMax: 64 << 20,
    frameBytesMax: 128 << 20,
  });
  const advertised = (bound: number): string =>
    formatAddress(
      parseAddress(settings.text('advertise-addr') ?? '', {
        host: listen.rpc.host === '0.0.0.0' ? '127.0.0.1' : listen.rpc.host,
        port: bound,
      }),
    );

  const http = createHttpServer((request, response) => {
    node
      .http({ method: request.method ?? 'GET', url: request.url ?? '/' })
      .then((answer) => {
        response.writeHead(answer.status, { 'content-type': answer.contentType });
        response.end(answer.body);
      })
      .catch((error: unknown) => {
        log.error({ err: error }, 'an HTTP request failed');
        response.writeHead(500).end();
      });
  });
  const sql = createNetServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    node.serveSql(socket);
  });
  const sockets = new Set<Socket>();

  // The node answers health and join requests while it is still waiting to become part of a cluster.
  const rpcPort = await transport.listen(formatAddress(listen.rpc));
  const httpPort = await listenOn(http, listen.http);
  const sqlPort = await boundPort(sql, listen.sql);
  const node: SkeinNode = new SkeinNode({
    env,
    transport,
    stores,
    openEngine: (directory, hooks) =>
      LevelEngine.open({ env, directory, syncPath, files: foreignFiles, ...hooks }),
    openSql: openSqlFront,
    rowPrograms: rowProgramCompiler,
    rpcAddress: advertised(rpcPort),
    sqlAddress: formatAddress({ ...listen.sql, port: sqlPort }),
    httpAddress: formatAddress({ ...listen.http, port: httpPort }),
    locality: parseLocality(settings.text('locality') ?? ''),
    join: joinList,
    singleNode: options.singleNode,
    version,
    usedCpuMs: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1000;
    },
    maxOffsetMs: settings.integer('max-offset', { min: 1, max: 10_000 }) ?? 500,
    maxSyncMs: settings.integer('max-sync-duration', { min: 5_000, max: 3_600_000 }),
    onFatal: (error, storePath) => {
      log.error({ err: error }, 'the store failed; this node ends, the others go on');
      const { sentence, exitCode } = storeFailure(error, storePath ?? 'this node');
      end(sentence, exitCode);
    },
  });

  let stopping = false;
  const stop = (reason: string): void => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info({ reason }, 'draining');
    setTimeout(() => process.exit(1), stopTimeoutMs).unref();
    sql.close();
    http.close();
    http.closeAllConnections();
    node
      .stop()
      .then(() => {
        for (const socket of sockets) socket.destroy();
        return transport.stop();
      })
      .then(() => process.exit(0))
      .catch((error: unknown) => {
        log.error({ err: error }, 'the stop failed');
        process.exit(1);
      });
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
  // Started by a runner: without it nobody would ever stop this node.
  if (process.send !== undefined) process.on('disconnect', () => stop('the runner ended'));

  try {
    await node.start({ onWaiting: () => report({ kind: 'waiting' }) });
  } catch (error) {
    if (!(error instanceof Error) || !isOfStore(error)) throw error;
    const storePath = node.pathOfFailure(error) ?? 'this node';
    const { sentence, exitCode } = storeFailure(error, storePath);
    end(sentence, exitCode);
  }
  await listenOn(sql, { host: listen.sql.host, port: sqlPort });
  report({ kind: 'ready', nodeId: node.nodeId });
  const took = ((performance.now() - startedMs) / 1000).toFixed(1);
  console.log(
    [
      `skein node starting at ${startedAt} (took ${took}s)`,
      `build:      ${version} (Node ${process.versions.node})`,
      `sql:        postgresql://root@${formatAddress({ ...listen.sql, port: sqlPort })}/defaultdb?sslmode=disable`,
      `http:       http://${formatAddress({ ...listen.http, port: httpPort })}`,
      `rpc:        ${advertised(rpcPort)}`,
      ...(stores.length === 0 ? ['store:      none, SQL only'] : stores.flatMap(describeStore)),
      `clusterID:  ${node.clusterId ?? ''}`,
      `nodeID:     ${node.nodeId}`,
      `status:     ${node.startKind}`,
    ].join('\n'),
  );
}

function describeStore({ path, ballastBytes = 0 }: StoreSpec, index: number): string[] {
  const ballast =
    ballastBytes === 0 ? 'none' : `${inMebibytes(ballastBytes)} in ${join(path, ballastName)}`;
  return [`store[${index}]:   path=${path} storage engine: leveldb`, `ballast:    ${ballast}`];
}

/** The last words. Without a code only a signal ends the process: an exit waits for what its threads wait for. */
function end(sentence: string, exitCode: number | undefined): never {
  report({ kind: 'failed', message: sentence });
  console.error(`skein: ${sentence}`);
  if (exitCode === undefined) process.kill(process.pid, 'SIGKILL');
  process.exit(exitCode);
}

/** Tells the runner, when there is one. */
function report(message: { kind: string; message?: string; nodeId?: number }): void {
  process.send?.(message);
}

function listenOn(
  server: NetServer | HttpServer,
  address: { host: string; port: number },
): Promise<number> {
  return new Promise((resolvePort, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, () => {
      server.off('error', reject);
      const bound = server.address();
      resolvePort(typeof bound === 'object' && bound !== null ? bound.port : address.port);
    });
  });
}

/** Finds out that the SQL port is free (or draws one for port 0) before the store is touched; it opens once the node is ready. */
async function boundPort(
  server: NetServer,
  address: { host: string; port: number },
): Promise<number> {
  const port = await listenOn(server, address);
  await new Promise<void>((resolveClosed) => server.close(() => resolveClosed()));
  return port;
}

function crashOnStrayErrors(log: Logger): void {
  const crash = (error: unknown): void => {
    log.error({ err: error }, 'an unexpected error; this node ends');
    console.error(error);
    process.exit(1);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
}

function isOfStore(error: Error): boolean {
  const isDiskError = 'code' in error && error.code === 'EIO';
  return (
    isDiskError ||
    error instanceof ForeignStoreError ||
    error instanceof StorePoisonedError ||
    storeFaultOf(error) !== 'failed'
  );
}

/** One sentence for the failures that a user can do something about. */
function explain(error: unknown): string | undefined {
  if (error instanceof UsageError) return error.message;
  if (!(error instanceof Error)) return undefined;
  const code = 'code' in error ? error.code : undefined;
  const cause = error.cause instanceof Error ? error.cause : undefined;
  if (
    code === 'EADDRINUSE' ||
    /EADDRINUSE|address already in use|No address added/i.test(error.message)
  ) {
    return `a port is in use already: ${error.message}`;
  }
  if (code === 'EADDRNOTAVAIL') return `an address is not of this machine: ${error.message}`;
  if (code === 'EACCES' || code === 'EROFS') return `no permission: ${error.message}`;
  const locked = [error, cause].some(
    (e) => e !== undefined && 'code' in e && e.code === 'LEVEL_LOCKED',
  );
  if (locked) return 'another process uses this data folder already.';
  return undefined;
}
