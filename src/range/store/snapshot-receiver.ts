/**
 * Takes a streamed snapshot: chunks go to a file, raft hears of it when all of them are there and
 * durable, and if raft accepts, the state is installed as a whole.
 *
 * INVARIANT: from `begin` until the replica has its descriptor, the key span of a snapshot is reserved: nothing else
 *   comes to life in it (trap R8).
 *
 * Installation (traps R9, R12), each step repeatable after a crash:
 *   1. a checkpoint, so that what the range split off does not need its old state any more, then an installation record
 *      becomes durable: from now on the old state is void, and so are replicas of ranges that this one has absorbed;
 *   2. a checkpoint, so that no other range's replay can write into the span afterwards;
 *   3. the old spans are cleared and the chunks applied; the last batch writes the range state;
 *   4. engine barrier; the raft log begins anew behind the snapshot;
 *   5. the record and the file are removed.
 * A store that finds a record when it opens goes through 2-5 again before the replica lives.
 */
import {
  encodeDescriptor,
  storeMethod,
  type NodeId,
  type Transport,
  type RangeDescriptor,
  type RangeId,
} from '../../kv/index.ts';
import { type HardState, type Ready } from '../../raft/index.ts';
import { rangeSpans, rangeStateKey } from '../../storage/index.ts';
import { assert, must, unreachable, yieldTurn, type TimerHandle } from '../../util/index.ts';
import { type PreparedRight, type ReplicaHost } from '../replica/host.ts';
import { encodeApplied, encodeFloor } from '../replica/range-state.ts';
import { type Replica } from '../replica/replica.ts';
import { type KeySpanOfRange } from './remover.ts';
import {
  decodeChunk,
  decodeHeader,
  decodeInstallRecord,
  encodeInstallRecord,
  type InstallRecord,
  type SnapshotHeader,
  type SubsumedRange,
} from './snapshot-format.ts';
import {
  readRequest,
  refuse,
  snapshotMethod,
  type SnapshotAnswer,
  type SnapshotRequest,
} from './snapshot-protocol.ts';
import { readStaged, StagingFile, type StagedContent } from './snapshot-staging.ts';

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
  /** The replica that a snapshot is for was removed from this store (its tombstone says so). */
  readonly isRemoved: (header: SnapshotHeader) => boolean;
  /** Ranges that the snapshot's one has absorbed; their replicas here go with the state that it replaces. */
  readonly subsumes: (header: SnapshotHeader) => readonly SubsumedRange[];
  readonly drop: (subsumed: readonly SubsumedRange[], by: RangeDescriptor) => void;
  readonly prepareSubsumption: (subsumed: readonly SubsumedRange[]) => PreparedRight;
}

interface Incoming {
  readonly token: number;
  readonly from: NodeId;
  readonly header: SnapshotHeader;
  readonly name: string;
  readonly file: StagingFile;
  /** Fires when the sender has been silent for too long. */
  timer: TimerHandle;
}

interface Staged {
  readonly header: SnapshotHeader;
  readonly name: string;
  readonly content: StagedContent;
}

const receivedAtOnceMax = 8;
const recordName = /^install-\d+$/;

export class SnapshotReceiver {
  readonly #deps: ReceiverDeps;
  readonly #incoming = new Map<number, Incoming>();
  /** Complete, and raft is asked. */
  readonly #staged = new Map<RangeId, Staged>();
  readonly #installing = new Map<RangeId, Pick<InstallRecord, 'header' | 'subsumed'>>();
  #lastToken = 0;
  #stopped = false;

  constructor(deps: ReceiverDeps) {
    this.#deps = deps;
    deps.transport.onCall(storeMethod(snapshotMethod, deps.host.storeId), (payload, from) =>
      this.#serve(payload, from),
    );
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#incoming.values()].map((incoming) => this.#drop(incoming)));
  }

  /** Key spans of snapshots that are on their way in: nobody else may take them. */
  reservedSpans(): { rangeId: RangeId; descriptor: KeySpanOfRange }[] {
    const installing = [...this.#installing.values()];
    const headers = [...this.#incoming.values(), ...this.#staged.values(), ...installing].map(
      ({ header }) => header,
    );
    return [
      ...headers.map(({ rangeId, descriptor }) => ({ rangeId, descriptor })),
      // What one of them held beyond the snapshot goes only now.
      ...installing.flatMap(({ header: { rangeId }, subsumed }) =>
        subsumed.map((descriptor) => ({ rangeId, descriptor })),
      ),
    ];
  }

  /** Removes files that a crash left behind; returns the installations to be finished. */
  async recover(): Promise<InstallRecord[]> {
    const { host, directory } = this.#deps;
    await host.env.disk.mkdir(directory);
    const names = await host.env.disk.list(directory);
    const records: InstallRecord[] = [];
    const keep = new Set<string>();
    for (const name of names.filter((each) => recordName.test(each))) {
      const content = must(await host.env.disk.readFile(`${directory}/${name}`));
      const record = decodeInstallRecord(content);
      const { header } = record;
      const log = host.raftLog.range(header.rangeId);
      // Done, but a crash brought the record back; a replica that was removed since has no log any more (trap R6).
      if (log.firstIndex - 1 >= header.meta.index || this.#deps.isRemoved(header)) {
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
    if (!installing) this.forget(replica);
  }

  /** The replica has no use for what was staged for it, or is removed before it was asked. */
  forget({ rangeId }: Replica): void {
    const staged = this.#staged.get(rangeId);
    if (staged === undefined) return;
    this.#staged.delete(rangeId);
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
    this.#installing.set(replica.rangeId, { header: staged.header, subsumed: [] });
    try {
      await this.#installStaged(replica, ready, staged);
    } finally {
      this.#installing.delete(replica.rangeId);
    }
  }

  async #installStaged(replica: Replica, ready: Ready, staged: Staged): Promise<void> {
    const { meta } = staged.header;
    const { host } = this.#deps;
    const known = ready.hardState ?? host.raftLog.range(replica.rangeId).hardState;
    const hardState: HardState = { ...known, commit: meta.index };
    // The old state is the only source of right sides that it split off and no barrier has covered yet.
    await this.#deps.checkpoint();
    const record: InstallRecord = {
      header: staged.header,
      hardState,
      file: staged.name,
      content: staged.content,
      before: replica.initialised
        ? { startKey: replica.descriptor.startKey, endKey: replica.descriptor.endKey }
        : undefined,
      subsumed: this.#deps.subsumes(staged.header),
    };
    this.#installing.set(replica.rangeId, record);
    // No floor is captured any more: the old state is about to become void.
    replica.replaced = true;
    replica.endFeed({ kind: 'data-replaced' });
    await host.env.disk.replaceFile(this.#recordPath(record), encodeInstallRecord(record));
    this.#deps.drop(record.subsumed, staged.header.descriptor);
    await this.finish(record);
    replica.abandonProposals(meta.index);
    replica.setDescriptor(staged.header.descriptor);
    replica.replaced = false;
    replica.applier.reset(
      { index: meta.index, term: meta.term, configuration: meta.configuration },
      staged.header.stats,
    );
    replica.closed.learn(staged.header.closed);
    host.descriptorChanged(replica, false);
    if (ready.entries.length > 0) {
      await host.raftLog.append([
        { rangeId: replica.rangeId, hardState: undefined, entries: ready.entries },
      ]);
    }
    host.counters.snapshotsReceived++;
  }

  /** Steps 2 to 5. */
  async finish(record: InstallRecord): Promise<void> {
    const { host, checkpoint } = this.#deps;
    const { header, hardState } = record;
    await checkpoint();
    const spans = rangeSpans(header.descriptor);
    if (record.before !== undefined) spans.push(...rangeSpans(record.before));
    for (const each of record.subsumed) spans.push(...rangeSpans(each));
    for (const span of spans) await host.engine.clear(span.start, span.end);
    await this.#applyChunks(record);
    const { index, term, configuration } = header.meta;
    const subsumption = this.#deps.prepareSubsumption(record.subsumed);
    host.engine.apply([
      ...subsumption.writes,
      {
        key: rangeStateKey(header.rangeId, 'descriptor'),
        value: encodeDescriptor(header.descriptor),
      },
      {
        key: rangeStateKey(header.rangeId, 'applied'),
        value: encodeApplied(index, term, header.stats),
      },
      {
        key: rangeStateKey(header.rangeId, 'floor'),
        value: encodeFloor({ index, term, configuration }),
      },
    ]);
    subsumption.finish();
    await host.engine.barrier();
    await host.raftLog.reset(header.rangeId, { index, term }, hardState);
    await host.env.disk.remove(this.#recordPath(record));
    await host.env.disk.remove(`${this.#deps.directory}/${record.file}`);
  }

  async #applyChunks(record: InstallRecord): Promise<void> {
    const { host, directory } = this.#deps;
    const path = `${directory}/${record.file}`;
    await readStaged(host.env.disk, path, record.content, async (chunk) => {
      await host.engine.waitForRoom();
      host.engine.apply(decodeChunk(chunk));
      await yieldTurn(host.env);
    });
  }

  async #serve(payload: unknown, from: NodeId): Promise<SnapshotAnswer> {
    if (this.#stopped) return refuse('the store is stopping');
    const request = readRequest(payload);
    if (request === undefined) return refuse('an unknown snapshot message');
    if (request.kind === 'begin') return this.#begin(decodeHeader(request.header), from);
    const incoming = this.#incoming.get(request.token);
    if (incoming === undefined || incoming.from !== from) return refuse('no such snapshot');
    try {
      const refused = await this.#goOn(incoming, request);
      if (refused === undefined) return { ok: true, token: request.token };
      await this.#drop(incoming);
      return refuse(refused);
    } catch (error) {
      // A disk that cannot stage costs nothing but this snapshot.
      await this.#drop(incoming);
      throw error;
    }
  }

  #begin(header: SnapshotHeader, from: NodeId): SnapshotAnswer {
    const { host, directory } = this.#deps;
    const { rangeId } = header;
    for (const other of this.#incoming.values()) {
      // A sender that begins anew has given up what it began before.
      if (other.header.rangeId === rangeId) this.#forget(other);
    }
    if (this.#incoming.size >= receivedAtOnceMax) return refuse('too many snapshots at once');
    if (this.#staged.has(rangeId) || this.#installing.has(rangeId)) {
      return refuse('a snapshot is being installed');
    }
    const reason = this.#deps.admit(header);
    if (reason !== undefined) return refuse(reason);
    // Never one of an earlier life of this store: its clock does not go back.
    this.#lastToken = Math.max(this.#lastToken + 1, host.clock.now().wall);
    const token = this.#lastToken;
    const name = `snapshot-${rangeId}-${token}`;
    const file = new StagingFile(host.env.disk, `${directory}/${name}`);
    this.#incoming.set(token, { token, from, header, name, file, timer: this.#patience(token) });
    return { ok: true, token };
  }

  /** A chunk or the end. Undefined when it was taken, otherwise why this snapshot is of no use any more. */
  async #goOn(
    incoming: Incoming,
    request: Exclude<SnapshotRequest, { kind: 'begin' }>,
  ): Promise<string | undefined> {
    incoming.timer.cancel();
    incoming.timer = this.#patience(incoming.token);
    switch (request.kind) {
      case 'chunk':
        return incoming.file.add(request.sequence, request.checksum, request.data);
      case 'end':
        return this.#end(incoming, { chunks: request.chunks, checksum: request.checksum });
      default:
        return unreachable(request);
    }
  }

  async #end(incoming: Incoming, content: StagedContent): Promise<string | undefined> {
    const { host, directory, admit, staged } = this.#deps;
    const { header, name, file, token, timer, from } = incoming;
    const refused = await file.complete(content);
    if (refused !== undefined) return refused;
    await host.env.disk.syncDir(directory);
    if (this.#incoming.get(token) !== incoming) return 'the snapshot was given up';
    const reason = this.#stopped ? 'the store is stopping' : admit(header);
    if (reason !== undefined) return reason;
    timer.cancel();
    this.#incoming.delete(token);
    this.#staged.set(header.rangeId, { header, name, content });
    // Raft decides; see `turned`.
    if (staged(header, from)) return undefined;
    this.#staged.delete(header.rangeId);
    return 'the replica is gone';
  }

  #patience(token: number): TimerHandle {
    const { env, settings } = this.#deps.host;
    return env.timers.after(settings.snapshotTimeoutMs, () => {
      const incoming = this.#incoming.get(token);
      if (incoming !== undefined) this.#forget(incoming);
    });
  }

  #forget(incoming: Incoming): void {
    this.#drop(incoming).catch((error: unknown) => this.#deps.host.fatal(error));
  }

  #drop(incoming: Incoming): Promise<void> {
    incoming.timer.cancel();
    this.#incoming.delete(incoming.token);
    return incoming.file.discard();
  }

  #recordPath(record: InstallRecord): string {
    return `${this.#deps.directory}/install-${record.header.rangeId}`;
  }
}
