/**
 * Streams a range's state to a follower whose next log entry is gone. The state, the applied index and
 * the descriptor are read in one moment; the stream then reads from an engine snapshot while the range
 * goes on. One call per chunk, at a bounded rate, few at once.
 */
import { type NodeId, type RangeId, type Transport } from '../../kv/index.ts';
import { rangeSpans, type EngineSnapshot } from '../../storage/index.ts';
import { sleep } from '../../util/index.ts';
import { type ReplicaHost } from '../replica/host.ts';
import { type Replica } from '../replica/replica.ts';
import { asReplicaId } from '../../kv/index.ts';
import {
  ChunkBuilder,
  chunkChecksum,
  encodeHeader,
  type SnapshotHeader,
} from './snapshot-format.ts';

export const snapshotMethod = 'range-snapshot';

/** Answers are `{ok: true, token}` or `{ok: false, reason}`. */
export type SnapshotRequest =
  | { readonly kind: 'begin'; readonly header: Buffer }
  | {
      readonly kind: 'chunk';
      readonly token: number;
      readonly sequence: number;
      readonly checksum: number;
      readonly data: Buffer;
    }
  | { readonly kind: 'end'; readonly token: number; readonly chunks: number };

const rowsPerPage = 256;
const retryPauseMs = 500;

export class SnapshotSender {
  readonly #host: ReplicaHost;
  readonly #transport: Transport;
  readonly #active = new Map<string, number>();
  readonly #waiting: (() => void)[] = [];

  constructor(host: ReplicaHost, transport: Transport) {
    this.#host = host;
    this.#transport = transport;
  }

  /** The oldest index that a snapshot under way ends at: the log behind it must stay. */
  pin(rangeId: RangeId): number | undefined {
    let oldest: number | undefined;
    for (const [name, index] of this.#active) {
      if (!name.startsWith(`${rangeId}/`)) continue;
      oldest = oldest === undefined ? index : Math.min(oldest, index);
    }
    return oldest;
  }

  /** Starts a stream unless one to this replica is under way; the raft core learns how it ended. */
  send(replica: Replica, to: number): void {
    const name = `${replica.rangeId}/${to}`;
    if (this.#active.has(name)) return;
    this.#active.set(name, replica.applier.appliedIndex);
    this.#run(replica, to, name).then(
      () => undefined,
      (error: unknown) => this.#host.fatal(error),
    );
  }

  async #run(replica: Replica, to: number, name: string): Promise<void> {
    let result = { ok: false, index: 0 };
    try {
      if (this.#active.size > this.#host.settings.snapshotsAtOnce) {
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
      result = await this.#stream(replica, to, name);
      if (result.ok) this.#host.counters.snapshotsSent++;
      else await sleep(this.#host.env, retryPauseMs);
    } finally {
      this.#active.delete(name);
      this.#waiting.shift()?.();
    }
    if (replica.destroyed) return;
    replica.raft.snapshotSent(to, result);
    replica.activate();
  }

  async #stream(
    replica: Replica,
    to: number,
    name: string,
  ): Promise<{ ok: boolean; index: number }> {
    const address = replica.address(to);
    const failed = { ok: false, index: 0 };
    if (address === undefined || replica.destroyed || !replica.isLeader) return failed;
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
    };
    this.#active.set(name, header.meta.index);
    try {
      await this.#transfer(snapshot, header, address.nodeId, () => replica.destroyed);
      return { ok: true, index: header.meta.index };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#host.env.log.info(
        { range: replica.rangeId, to: address.storeId, reason },
        'a snapshot was not delivered and is tried again',
      );
      return failed;
    } finally {
      snapshot.close();
    }
  }

  async #transfer(
    snapshot: EngineSnapshot,
    header: SnapshotHeader,
    node: NodeId,
    cancelled: () => boolean,
  ): Promise<void> {
    const { env, settings } = this.#host;
    const begun = await this.#call(node, { kind: 'begin', header: encodeHeader(header) });
    const token = begun.token;
    const builder = new ChunkBuilder(settings.snapshotChunkBytes);
    const startMs = env.clock.monotonicMs();
    let sequence = 0;
    let bytes = 0;
    const ship = async (data: Buffer): Promise<void> => {
      if (cancelled()) throw new SnapshotRefused('the sending replica is gone');
      const checksum = chunkChecksum(data);
      await this.#call(node, { kind: 'chunk', token, sequence: sequence++, checksum, data });
      bytes += data.length;
      const dueMs = (bytes / settings.snapshotBytesPerSecond) * 1000;
      const aheadMs = dueMs - (env.clock.monotonicMs() - startMs);
      if (aheadMs > 1) await sleep(env, aheadMs);
    };
    for (const span of rangeSpans(header.descriptor)) {
      const iterator = snapshot.iterate(span);
      try {
        for (;;) {
          const rows = await iterator.next(rowsPerPage);
          if (rows.length === 0) break;
          for (const [key, value] of rows) {
            const chunk = builder.add(key, value);
            if (chunk !== undefined) await ship(chunk);
          }
        }
      } finally {
        await iterator.close();
      }
    }
    const rest = builder.take();
    if (rest !== undefined) await ship(rest);
    await this.#call(node, { kind: 'end', token, chunks: sequence });
  }

  async #call(node: NodeId, request: SnapshotRequest): Promise<{ token: number }> {
    const answer = await this.#transport.call(node, snapshotMethod, request, {
      timeoutMs: this.#host.settings.snapshotTimeoutMs,
      traffic: 'bulk',
    });
    if (typeof answer === 'object' && answer !== null && 'ok' in answer && answer.ok === true) {
      const token = 'token' in answer && typeof answer.token === 'number' ? answer.token : 0;
      return { token };
    }
    const reason: unknown =
      typeof answer === 'object' && answer !== null ? Reflect.get(answer, 'reason') : undefined;
    throw new SnapshotRefused(typeof reason === 'string' ? reason : 'refused');
  }
}

class SnapshotRefused extends Error {
  override readonly name = 'SnapshotRefused';
}
