/**
 * Takes a streamed snapshot: chunks go to a file, raft hears of it when all of them are there and
 * durable, and if raft accepts, the state is installed as a whole.
 *
 * Installation (traps R9, R12), each step repeatable after a crash:
 *   1. an installation record becomes durable: from now on the old state is void;
 *   2. a checkpoint, so that no other range's replay can write into the span afterwards;
 *   3. the old spans are cleared and the chunks applied; the last batch writes the range state;
 *   4. engine barrier; the raft log begins anew behind the snapshot;
 *   5. the record and the file are removed.
 * A store that finds a record when it opens goes through 2-5 again before the replica lives.
 */
import {
  encodeDescriptor,
  type NodeId,
  type Transport,
  type RangeDescriptor,
  type RangeId,
} from '../../kv/index.ts';
import { type HardState, type Ready } from '../../raft/index.ts';
import { rangeSpans } from '../../storage/index.ts';
import { assert, must, yieldTurn, type DiskFile } from '../../util/index.ts';
import { type ReplicaHost } from '../replica/host.ts';
import { encodeApplied, encodeFloor, rangeStateKeys } from '../replica/range-state.ts';
import { type Replica } from '../replica/replica.ts';
import {
  chunkChecksum,
  decodeChunk,
  decodeHeader,
  decodeInstallRecord,
  encodeInstallRecord,
  type InstallRecord,
  type SnapshotHeader,
} from './snapshot-format.ts';
import { snapshotMethod } from './snapshot-sender.ts';

export interface ReceiverDeps {
  readonly host: ReplicaHost;
  readonly transport: Transport;
  /** Where files are staged. */
  readonly directory: string;
  /** Why the snapshot cannot be taken now, or undefined; makes the replica when there is none (R8). */
  readonly admit: (header: SnapshotHeader) => string | undefined;
  /** All chunks are durable: tell raft. Returns false when the replica is gone. */
  readonly staged: (header: SnapshotHeader, fromNode: NodeId) => boolean;
  readonly checkpoint: () => Promise<void>;
}

interface Incoming {
  readonly token: number;
  readonly header: SnapshotHeader;
  readonly name: string;
  readonly file: DiskFile;
  position: number;
  sequence: number;
  startedAtMs: number;
}

const receivedAtOnceMax = 8;
const frameHeaderBytes = 8;

export class SnapshotReceiver {
  readonly #deps: ReceiverDeps;
  readonly #incoming = new Map<number, Incoming>();
  readonly #staged = new Map<RangeId, { header: SnapshotHeader; name: string }>();
  #nextToken = 1;
  #stopped = false;

  constructor(deps: ReceiverDeps) {
    this.#deps = deps;
    deps.transport.onCall(snapshotMethod, (payload, from) => this.#serve(payload, from));
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Key spans of snapshots that are on their way in: nobody else may take them. */
  reservedSpans(): { rangeId: RangeId; descriptor: RangeDescriptor }[] {
    return [...this.#incoming.values()].map(({ header }) => ({
      rangeId: header.rangeId,
      descriptor: header.descriptor,
    }));
  }

  /** Removes files that a crash left behind; returns the installations to be finished. */
  async recover(): Promise<InstallRecord[]> {
    const { host, directory } = this.#deps;
    await host.env.disk.mkdir(directory);
    const names = await host.env.disk.list(directory);
    const records: InstallRecord[] = [];
    const keep = new Set<string>();
    for (const name of names.filter((each) => each.startsWith('install-'))) {
      const content = must(await host.env.disk.readFile(`${directory}/${name}`));
      const record = decodeInstallRecord(content);
      const log = host.raftLog.range(record.header.rangeId);
      if (log.firstIndex - 1 >= record.header.meta.index) {
        await host.env.disk.remove(`${directory}/${name}`);
        continue;
      }
      records.push(record);
      keep.add(name).add(record.file);
    }
    for (const name of names) {
      if (keep.has(name) || !name.startsWith('snapshot-')) continue;
      await host.env.disk.remove(`${directory}/${name}`);
    }
    return records;
  }

  /** Called for each turn of a replica: drops what was staged for it when raft had no use for it. */
  turned(replica: Replica, installing: boolean): void {
    if (this.#staged.size === 0 || installing) return;
    const staged = this.#staged.get(replica.rangeId);
    if (staged === undefined) return;
    this.#staged.delete(replica.rangeId);
    const { host, directory } = this.#deps;
    host.env.disk
      .remove(`${directory}/${staged.name}`)
      .catch((error: unknown) => host.fatal(error));
  }

  /** Raft accepted the snapshot of `ready`: see the steps above. */
  async install(replica: Replica, ready: Ready): Promise<void> {
    const meta = must(ready.snapshot);
    const staged = must(this.#staged.get(replica.rangeId), 'raft accepts only what is staged');
    assert(staged.header.meta.index === meta.index, 'raft accepts what was staged last');
    this.#staged.delete(replica.rangeId);
    const { host } = this.#deps;
    const known = ready.hardState ?? host.raftLog.range(replica.rangeId).hardState;
    const hardState: HardState = { ...known, commit: meta.index };
    const record: InstallRecord = {
      header: staged.header,
      hardState,
      file: staged.name,
      before: replica.initialised
        ? { startKey: replica.descriptor.startKey, endKey: replica.descriptor.endKey }
        : undefined,
    };
    await host.env.disk.replaceFile(this.#recordPath(record), encodeInstallRecord(record));
    await this.finish(record);
    replica.abandonProposals(meta.index);
    replica.setDescriptor(staged.header.descriptor);
    replica.applier.reset(
      { index: meta.index, term: meta.term, configuration: meta.configuration },
      staged.header.stats,
    );
    if (ready.entries.length > 0) {
      await host.raftLog.append([
        { rangeId: replica.rangeId, hardState: undefined, entries: ready.entries },
      ]);
    }
    host.counters.snapshotsReceived++;
    host.descriptorChanged(replica, false);
  }

  /** Steps 2 to 5. */
  async finish(record: InstallRecord): Promise<void> {
    const { host, checkpoint } = this.#deps;
    const { header, hardState } = record;
    await checkpoint();
    const spans = rangeSpans(header.descriptor);
    if (record.before !== undefined) spans.push(...rangeSpans(record.before));
    for (const span of spans) await host.engine.clear(span.start, span.end);
    await this.#applyChunks(record);
    const keys = rangeStateKeys(header.rangeId);
    const { index, term, configuration } = header.meta;
    host.engine.apply([
      { key: keys.descriptor, value: encodeDescriptor(header.descriptor) },
      { key: keys.applied, value: encodeApplied(index, term, header.stats) },
      { key: keys.floor, value: encodeFloor({ index, term, configuration }) },
    ]);
    await host.engine.barrier();
    await host.raftLog.reset(header.rangeId, { index, term }, hardState);
    await host.env.disk.remove(this.#recordPath(record));
    await host.env.disk.remove(`${this.#deps.directory}/${record.file}`);
  }

  async #applyChunks(record: InstallRecord): Promise<void> {
    const { host, directory } = this.#deps;
    const file = await host.env.disk.open(`${directory}/${record.file}`);
    try {
      const size = await file.sizeBytes();
      for (let at = 0; at < size;) {
        const head = await file.read(at, frameHeaderBytes);
        const length = head.readUInt32BE(0);
        const data = await file.read(at + frameHeaderBytes, length);
        if (data.length !== length || chunkChecksum(data) !== head.readUInt32BE(4)) {
          throw new RangeError(`${record.file}: a staged snapshot chunk failed its checksum`);
        }
        host.engine.apply(decodeChunk(data));
        at += frameHeaderBytes + length;
        await yieldTurn(host.env);
      }
    } finally {
      await file.close();
    }
  }

  async #serve(payload: unknown, from: NodeId): Promise<unknown> {
    if (this.#stopped) return refuse('the store is stopping');
    const field = (name: string): unknown =>
      typeof payload === 'object' && payload !== null ? Reflect.get(payload, name) : undefined;
    const token = field('token');
    switch (field('kind')) {
      case 'begin': {
        const header = field('header');
        if (!Buffer.isBuffer(header)) return refuse('a snapshot without a header');
        return this.#begin(decodeHeader(header));
      }
      case 'chunk': {
        const incoming = this.#incoming.get(Number(token));
        const data = field('data');
        if (incoming === undefined || !Buffer.isBuffer(data)) return refuse('no such snapshot');
        return this.#chunk(incoming, Number(field('sequence')), Number(field('checksum')), data);
      }
      case 'end': {
        const incoming = this.#incoming.get(Number(token));
        if (incoming === undefined) return refuse('no such snapshot');
        return this.#end(incoming, Number(field('chunks')), from);
      }
      default:
        return refuse('an unknown snapshot message');
    }
  }

  async #begin(header: SnapshotHeader): Promise<unknown> {
    const { host, directory } = this.#deps;
    const nowMs = host.env.clock.monotonicMs();
    for (const other of this.#incoming.values()) {
      const stale = nowMs - other.startedAtMs > host.settings.snapshotTimeoutMs * 2;
      // A sender that begins anew has given up what it began before.
      if (stale || other.header.rangeId === header.rangeId) await this.#drop(other);
    }
    if (this.#incoming.size >= receivedAtOnceMax) return refuse('too many snapshots at once');
    if (this.#staged.has(header.rangeId)) return refuse('a snapshot is being installed');
    const reason = this.#deps.admit(header);
    if (reason !== undefined) return refuse(reason);
    const token = this.#nextToken++;
    const name = `snapshot-${header.rangeId}-${token}`;
    const path = `${directory}/${name}`;
    await host.env.disk.remove(path).catch(() => undefined);
    const file = await host.env.disk.open(path);
    this.#incoming.set(token, {
      token,
      header,
      name,
      file,
      position: 0,
      sequence: 0,
      startedAtMs: nowMs,
    });
    return { ok: true, token };
  }

  async #chunk(
    incoming: Incoming,
    sequence: number,
    checksum: number,
    data: Buffer,
  ): Promise<unknown> {
    if (sequence !== incoming.sequence || chunkChecksum(data) !== checksum) {
      await this.#drop(incoming);
      return refuse('a chunk is missing or damaged');
    }
    const head = Buffer.alloc(frameHeaderBytes);
    head.writeUInt32BE(data.length, 0);
    head.writeUInt32BE(checksum, 4);
    const at = incoming.position;
    incoming.position += frameHeaderBytes + data.length;
    incoming.sequence++;
    incoming.startedAtMs = this.#deps.host.env.clock.monotonicMs();
    await incoming.file.write(at, [head, data]);
    return { ok: true };
  }

  async #end(incoming: Incoming, chunks: number, from: NodeId): Promise<unknown> {
    if (chunks !== incoming.sequence) {
      await this.#drop(incoming);
      return refuse('chunks are missing');
    }
    await incoming.file.sync();
    await incoming.file.close();
    await this.#deps.host.env.disk.syncDir(this.#deps.directory);
    this.#incoming.delete(incoming.token);
    const { header } = incoming;
    const reason = this.#stopped ? 'the store is stopping' : this.#deps.admit(header);
    if (reason === undefined) {
      this.#staged.set(header.rangeId, { header, name: incoming.name });
      // Raft decides; see `turned`.
      if (this.#deps.staged(header, from)) return { ok: true };
      this.#staged.delete(header.rangeId);
    }
    await this.#deps.host.env.disk.remove(`${this.#deps.directory}/${incoming.name}`);
    return reason === undefined ? { ok: true } : refuse(reason);
  }

  async #drop(incoming: Incoming): Promise<void> {
    this.#incoming.delete(incoming.token);
    await incoming.file.close();
    await this.#deps.host.env.disk.remove(`${this.#deps.directory}/${incoming.name}`);
  }

  #recordPath(record: InstallRecord): string {
    return `${this.#deps.directory}/install-${record.header.rangeId}`;
  }
}

function refuse(reason: string): { ok: false; reason: string } {
  return { ok: false, reason };
}
