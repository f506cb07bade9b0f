/**
 * Streams a range's state to a follower whose next log entry is gone. The state, the applied index and
 * the descriptor are read in one moment; the stream then reads from an engine snapshot while the range
 * goes on. One call per chunk, at the pace of all snapshots of this store, few at once. One that fails is not
 * resumed: the state has moved on meanwhile, and raft asks for a new one.
 */
import { crc32 } from 'node:zlib';
import { asReplicaId, storeMethod, type RangeId, type Transport } from '../../kv/index.ts';
import { type ChangePurpose } from '../../allocator/index.ts';
import { rangeSpans, type EngineSnapshot } from '../../storage/index.ts';
import { sleep } from '../../util/index.ts';
import { type ReplicaHost } from '../replica/host.ts';
import { type PeerAddress, type Replica } from '../replica/replica.ts';
import { ChunkBuilder, encodeHeader, type SnapshotHeader } from './snapshot-format.ts';
import { type SnapshotPace } from './snapshot-pace.ts';
import { readAnswer, snapshotMethod, type SnapshotRequest } from './snapshot-protocol.ts';

const rowsPerPage = 256;
const retryPauseMs = 500;

interface Outgoing {
  readonly rangeId: RangeId;
  /** The log behind this index must stay: the follower continues there. */
  index: number;
  /** Monotonic milliseconds of the last chunk that arrived; Infinity while it waits for its turn. */
  advancedAtMs: number;
}

export class SnapshotSender {
  readonly #host: ReplicaHost;
  readonly #transport: Transport;
  readonly #pace: SnapshotPace;
  readonly #outgoing = new Map<string, Outgoing>();
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(host: ReplicaHost, transport: Transport, pace: SnapshotPace) {
    this.#host = host;
    this.#transport = transport;
    this.#pace = pace;
  }

  /** The oldest index that a snapshot under way ends at: the log behind it must stay. */
  pin(rangeId: RangeId): number | undefined {
    let oldest: number | undefined;
    for (const { rangeId: of, index } of this.#outgoing.values()) {
      if (of === rangeId) oldest = oldest === undefined ? index : Math.min(oldest, index);
    }
    return oldest;
  }

  /** A snapshot to this replica waits for its turn, or got ahead within the last `withinMs`. */
  advances(rangeId: RangeId, to: number, withinMs: number): boolean {
    const outgoing = this.#outgoing.get(`${rangeId}/${to}`);
    if (outgoing === undefined) return false;
    return outgoing.advancedAtMs + withinMs > this.#host.env.clock.monotonicMs();
  }

  /** Starts a stream unless one to this replica is under way; the raft core learns how it ended. */
  send(replica: Replica, to: number): void {
    const { rangeId, applier } = replica;
    const name = `${rangeId}/${to}`;
    if (this.#outgoing.has(name)) return;
    const outgoing = { rangeId, index: applier.appliedIndex, advancedAtMs: Infinity };
    this.#outgoing.set(name, outgoing);
    this.#run(replica, to, outgoing)
      .finally(() => this.#outgoing.delete(name))
      .then(
        (ok) => {
          // A later replica of the range here may wait for this one to end: it asked while it was under way.
          const asked = replica.destroyed ? this.#host.replicaOf(rangeId) : replica;
          asked?.raft.snapshotSent(to, { ok, index: ok ? outgoing.index : 0 });
          asked?.activate();
        },
        (error: unknown) => this.#host.fatal(error),
      );
  }

  async #run(replica: Replica, to: number, outgoing: Outgoing): Promise<boolean> {
    if (this.#running < this.#host.settings.snapshotsAtOnce) this.#running++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    outgoing.advancedAtMs = -Infinity;
    let ok: boolean;
    try {
      ok = await this.#stream(replica, to, outgoing);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
    if (ok) this.#host.counters.snapshotsSent++;
    else await sleep(this.#host.env, retryPauseMs);
    return ok;
  }

  async #stream(replica: Replica, to: number, outgoing: Outgoing): Promise<boolean> {
    const address = replica.address(to);
    if (address === undefined || replica.destroyed || !replica.isLeader) return false;
    // One moment: no await between these reads.
    const snapshot = this.#host.engineSnapshot();
    const { applier, descriptor } = replica;
    const header: SnapshotHeader = {
      rangeId: replica.rangeId,
      to: asReplicaId(to),
      from: replica.replicaId,
      term: replica.raft.term,
      meta: {
        index: applier.appliedIndex,
        term: applier.appliedTerm,
        configuration: applier.configuration,
      },
      descriptor,
      stats: applier.stats,
      closed: replica.closedTimestamp,
    };
    outgoing.index = header.meta.index;
    const purpose = purposeOf(replica, to);
    try {
      const token = await this.#call(address, { kind: 'begin', header: encodeHeader(header) });
      let chunks = 0;
      let whole = 0;
      for await (const data of this.#chunks(snapshot, header)) {
        await this.#pace.take(purpose, data.length);
        if (replica.destroyed) throw new SnapshotRefused('the sending replica is gone');
        const checksum = crc32(data);
        whole = crc32(data, whole);
        await this.#call(address, { kind: 'chunk', token, sequence: chunks++, checksum, data });
        outgoing.advancedAtMs = this.#host.env.clock.monotonicMs();
        this.#host.counters.snapshotBytesSent += data.length;
      }
      await this.#call(address, { kind: 'end', token, chunks, checksum: whole });
      return true;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#host.env.log.info(
        { range: replica.rangeId, to: address.storeId, reason },
        'a snapshot was not delivered and is tried again',
      );
      return false;
    } finally {
      snapshot.close();
    }
  }

  async *#chunks(snapshot: EngineSnapshot, header: SnapshotHeader): AsyncGenerator<Buffer> {
    const builder = new ChunkBuilder(this.#host.settings.snapshotChunkBytes);
    for (const span of rangeSpans(header.descriptor)) {
      const iterator = snapshot.iterate(span);
      try {
        for (;;) {
          const rows = await iterator.next(rowsPerPage);
          if (rows.length === 0) break;
          for (const [key, value] of rows) {
            const chunk = builder.add(key, value);
            if (chunk !== undefined) yield chunk;
          }
        }
      } finally {
        await iterator.close();
      }
    }
    const rest = builder.take();
    if (rest !== undefined) yield rest;
  }

  /** The token. Throws unless the receiver agrees. */
  async #call({ nodeId, storeId }: PeerAddress, request: SnapshotRequest): Promise<number> {
    const answer = readAnswer(
      await this.#transport.call(nodeId, storeMethod(snapshotMethod, storeId), request, {
        timeoutMs: this.#host.settings.snapshotTimeoutMs,
        traffic: 'bulk',
      }),
    );
    if (!answer.ok) throw new SnapshotRefused(answer.reason);
    return answer.token;
  }
}

/** A voter without its log is a copy too few; why a learner comes is known to the change that adds it. */
function purposeOf(replica: Replica, to: number): ChangePurpose {
  const member = replica.descriptor.replicas.find((each) => each.replicaId === to);
  return (member?.kind === 'learner' ? replica.admin.copiesFor : undefined) ?? 'recovery';
}

class SnapshotRefused extends Error {
  override readonly name = 'SnapshotRefused';
}
