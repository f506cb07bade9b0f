/**
 * Gossip: cluster-wide facts that spread without consensus. Every entry has a version (the writer's
 * HLC reading, above what it replaces, ties by node id); the larger one wins everywhere, so all nodes end up with the same map.
 *
 * A node tells each peer what changed since the last time that the peer has answered, at most once per `intervalMs` and
 * one telling at a time: what was lost is told again. A peer that is new or restarted is told everything: its answers say
 * which process it is, and it is asked now and then even if there is nothing to tell, because who has restarted and lost its
 * memory may not know whom to tell of it. Peers are all nodes that have an entry `node:*`.
 *
 * Each answer says what the peer's clock shows: so every node, with stores or without, knows where the others' clocks stand.
 */
import {
  type Gossip,
  type HlcClock,
  type NodeId,
  type NodeInfo,
  type Timestamp,
  type Transport,
  compareTimestamps,
  isTimestamp,
  gossipKeys,
  laterTimestamp,
  nextTimestamp,
} from '../kv/index.ts';
import { isCount, type Env, type TimerHandle } from '../util/index.ts';

interface Entry {
  readonly value: unknown;
  readonly version: Timestamp;
  readonly writer: number;
  /** On this node's monotonic clock; Infinity = kept. */
  readonly expiresAtMs: number;
  /** Local sequence number of the change: what a peer knows is remembered as such a number. */
  readonly sequence: number;
}

/** [key, value, version, writer, remaining ttl in ms or 0] */
type WireEntry = readonly [string, unknown, Timestamp, number, number];

export interface GossipOptions {
  readonly env: Env;
  readonly clock: HlcClock;
  readonly nodeId: NodeId;
  readonly transport: Transport;
  readonly intervalMs: number;
}

/** What a peer has been told. */
interface Told {
  /** As its last answer named it. */
  process: unknown;
  /** That process has answered to all changes up to here. */
  sequence: number;
  /** Until then (monotonic clock) an answer is waited for, or the peer is left in peace after a failure. */
  busyUntilMs: number;
  /** When it is told something, new or not. */
  dueMs: number;
}

const method = 'gossip';
/** Told anew when there is no answer for so long, and not sooner: a peer may be gone for good. */
const answerMs = 1_000;
/** A restart that nobody could tell of is found out within so long. */
const askMs = 5_000;

export class GossipNode implements Gossip {
  readonly #options: GossipOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #watchers = new Set<{ prefix: string; fn: (key: string, value: unknown) => void }>();
  readonly #told = new Map<NodeId, Told>();
  #sequence = 0;
  #timer: TimerHandle | undefined;
  #stopped = false;

  constructor(options: GossipOptions) {
    this.#options = options;
    const process = options.env.random.bytes(8).toString('hex');
    options.transport.onCall(method, async (payload) => {
      this.merge(payload);
      return { process, shown: options.clock.machine.shownMicros() };
    });
    options.transport.onCall('gossip-pull', async () => this.#export(0));
  }

  start(): void {
    this.#tick();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  get(key: string): unknown {
    const entry = this.#entries.get(key);
    if (entry === undefined || this.#expired(entry)) return undefined;
    return entry.value;
  }

  list(prefix: string): readonly (readonly [string, unknown])[] {
    const found: [string, unknown][] = [];
    for (const [key, entry] of this.#entries) {
      if (key.startsWith(prefix) && !this.#expired(entry)) found.push([key, entry.value]);
    }
    return found.sort(([a], [b]) => (a < b ? -1 : 1));
  }

  set(key: string, value: unknown, { ttlMs }: { ttlMs: number }): void {
    const now = this.#options.clock.now();
    // What is replaced may have been written by a clock that is ahead: others would keep it.
    const known = this.#entries.get(key)?.version;
    const version = known === undefined ? now : laterTimestamp(now, nextTimestamp(known));
    this.#store(key, value, version, this.#options.nodeId, ttlMs);
  }

  watch(prefix: string, fn: (key: string, value: unknown) => void): () => void {
    const watcher = { prefix, fn };
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Takes over everything another node knows, e.g. what a join answer carried. */
  merge(wire: unknown): void {
    for (const [key, value, version, writer, ttlMs] of decode(wire)) {
      const known = this.#entries.get(key);
      if (known !== undefined && !newer({ version, writer }, known)) continue;
      this.#store(key, value, version, writer, ttlMs);
    }
  }

  /** All entries, in the form `merge` takes. */
  exportAll(): unknown {
    return this.#export(0);
  }

  #store(key: string, value: unknown, version: Timestamp, writer: number, ttlMs: number): void {
    const expiresAtMs = ttlMs === 0 ? Infinity : this.#options.env.clock.monotonicMs() + ttlMs;
    this.#entries.set(key, { value, version, writer, expiresAtMs, sequence: ++this.#sequence });
    for (const watcher of this.#watchers) {
      if (key.startsWith(watcher.prefix)) watcher.fn(key, value);
    }
  }

  #tick(): void {
    if (this.#stopped) return;
    const nowMs = this.#options.env.clock.monotonicMs();
    for (const [key, entry] of this.#entries) if (this.#expired(entry)) this.#entries.delete(key);
    for (const [key, info] of this.list(gossipKeys.nodePrefix)) {
      const node = info as NodeInfo | null | undefined;
      // What a node says of itself stands under its own id; anything else has nobody to be told.
      if (node?.nodeId === undefined || key !== gossipKeys.node(node.nodeId)) continue;
      if (node.nodeId === this.#options.nodeId) continue;
      this.#tell(node.nodeId, nowMs);
    }
    this.#timer = this.#options.env.timers.after(this.#options.intervalMs, () => this.#tick());
  }

  #tell(nodeId: NodeId, nowMs: number): void {
    let told = this.#told.get(nodeId);
    if (told === undefined) {
      told = { process: undefined, sequence: 0, busyUntilMs: 0, dueMs: 0 };
      this.#told.set(nodeId, told);
    }
    if (nowMs < told.busyUntilMs || (told.sequence === this.#sequence && nowMs < told.dueMs))
      return;
    told.busyUntilMs = nowMs + answerMs;
    told.dueMs = nowMs + askMs;
    const { transport, env, clock } = this.#options;
    const sequence = this.#sequence;
    const peer = told;
    transport
      .call(nodeId, method, this.#export(told.sequence), { timeoutMs: answerMs, traffic: 'system' })
      .then(
        (answer) => {
          const { process, shown } = decodeAnswer(answer);
          if (shown > 0) clock.machine.note(nodeId, shown, nowMs);
          const isAnother = peer.process !== undefined && peer.process !== process;
          peer.process = process;
          peer.sequence = isAnother ? 0 : sequence;
          peer.busyUntilMs = 0;
        },
        (error: unknown) => env.log.debug({ to: nodeId, err: error }, 'gossip was not answered'),
      );
  }

  #export(since: number): WireEntry[] {
    const nowMs = this.#options.env.clock.monotonicMs();
    const wire: WireEntry[] = [];
    for (const [key, entry] of this.#entries) {
      if (entry.sequence <= since || this.#expired(entry)) continue;
      const ttlMs =
        entry.expiresAtMs === Infinity ? 0 : Math.max(1, Math.round(entry.expiresAtMs - nowMs));
      wire.push([key, entry.value, entry.version, entry.writer, ttlMs]);
    }
    return wire;
  }

  #expired(entry: Entry): boolean {
    return entry.expiresAtMs <= this.#options.env.clock.monotonicMs();
  }
}

function newer(
  a: { version: Timestamp; writer: number },
  b: { version: Timestamp; writer: number },
): boolean {
  const order = compareTimestamps(a.version, b.version);
  return order > 0 || (order === 0 && a.writer > b.writer);
}

function decodeAnswer(answer: unknown): { readonly process: unknown; readonly shown: number } {
  if (typeof answer !== 'object' || answer === null) return { process: undefined, shown: 0 };
  const shown: unknown = Reflect.get(answer, 'shown');
  return { process: Reflect.get(answer, 'process'), shown: isCount(shown) ? shown : 0 };
}

function decode(wire: unknown): WireEntry[] {
  if (!Array.isArray(wire)) return [];
  return wire.filter(
    (entry: unknown): entry is WireEntry =>
      Array.isArray(entry) &&
      typeof entry[0] === 'string' &&
      isTimestamp(entry[2]) &&
      isCount(entry[3]) &&
      isCount(entry[4]),
  );
}
