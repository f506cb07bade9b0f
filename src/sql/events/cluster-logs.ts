/** The logs of one node, and who writes and cleans them. */
import { type ClusterSettings, type Db, type NodeId } from '../../kv/index.ts';
import { type Env } from '../../util/index.ts';
import { EventLog } from './event-log.ts';
import { EventQueue } from './event-queue.ts';
import { LogCleaner } from './log-cleaner.ts';
import { NodeLog } from './node-events.ts';
import { RangeLog } from './range-log.ts';

export class ClusterLogs {
  readonly events: EventLog;
  readonly nodes: NodeLog;
  readonly ranges: RangeLog;
  readonly #queue: EventQueue;
  readonly #cleaner: LogCleaner;

  constructor(parts: {
    readonly env: Env;
    readonly db: Db;
    readonly nodeId: NodeId;
    readonly settings: ClusterSettings;
  }) {
    const { env, db, nodeId, settings } = parts;
    const { clock } = env;
    this.#queue = new EventQueue(env, db);
    this.#cleaner = new LogCleaner(env, db, settings);
    this.events = new EventLog(clock, nodeId, settings);
    this.nodes = new NodeLog(this.events, this.#queue, settings);
    this.ranges = new RangeLog({ clock, nodeId, settings, queue: this.#queue });
  }

  /** Events that got lost. */
  get dropped(): number {
    return this.#queue.dropped;
  }

  start(): void {
    this.#cleaner.start();
  }

  /** Writes what waits, once. */
  async stop(): Promise<void> {
    this.#cleaner.stop();
    await this.#queue.stop();
  }
}
