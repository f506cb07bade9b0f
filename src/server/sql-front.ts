/** The SQL side of a node as `node.ts` sees it. */
import { type Duplex } from 'node:stream';
import { type Db, type Gossip, type NodeId, type Transport } from '../kv/index.ts';
import { type ZoneConfig } from '../allocator/index.ts';
import { type Env } from '../util/index.ts';

export interface SqlFrontParts {
  readonly env: Env;
  readonly db: Db;
  readonly gossip: Gossip;
  readonly transport: Transport;
  readonly nodeId: NodeId;
}

export interface SqlFront {
  serve(socket: Duplex): void;
  /** New connections are refused, idle ones are closed, running statements get a moment to end. */
  stop(): Promise<void>;
  /** Counters, and gauges whose names begin with `open`. */
  metrics(): Readonly<Record<string, number>>;
  /** The zone configuration that holds for a key. */
  zoneConfigFor(key: Buffer): ZoneConfig;
}
