/**
 * SegmentedRaftLog: the log of all ranges of a store in one sequence of append-only files.
 *
 * Group commit: records are encoded into the open block the moment they are appended. An idle log writes
 * it at once; while one block is being written and synced the next one fills. Each block is one
 * `writeDurable`, so the busier the store, the more appends share one fdatasync.
 *
 * A file that reaches `segmentBytes` is followed by a new one. Old segments are removed from the oldest on,
 * once no range needs them; when a few slow ranges hold up many segments, their live records are
 * written again at the head of the log. The file `segments` names the first and the last segment, so a
 * missing file is noticed, and says how long the last one was when the log was opened and closed.
 *
 * INVARIANT: at most one write is in flight, and a block is written only when all before it are durable.
 */
import { asRangeId, type RangeId } from '../kv/index.ts';
import { type HardState } from '../raft/index.ts';
import { assert, type DiskFile, type Env } from '../util/index.ts';
import { CorruptionError, StorePoisonedError } from './engine.ts';
import {
  BlockWriter,
  decodeManifest,
  encodeManifest,
  encodeSegmentHeader,
  headerBytes,
  kindReset,
  kindTruncate,
  segmentName,
  segmentNumber,
  type Manifest,
} from './raft-log-format.ts';
import { RangeLogState, emptyHardState } from './raft-log-range.ts';
import { LogRecovery } from './raft-log-recover.ts';
import { type LogAppend, type RaftLog, type RangeLog } from './raft-log-types.ts';

export interface RaftLogOptions {
  readonly env: Pick<Env, 'disk' | 'log'>;
  readonly directory: string;
  /** A segment that reaches this size is followed by a new one. Default 64 MiB. */
  readonly segmentBytes?: number;
  /** With more segments than this, live records of the oldest one are written again. Default 4. */
  readonly segmentsMax?: number;
  /** Called once, when a write fails: the store must not go on. */
  readonly onPoison?: (error: Error) => void;
}

const manifestName = 'segments';
const blockCapacityBytes = 256 * 1024;
/** Larger block buffers are not kept for reuse. */
const keptCapacityBytes = 4 * 1024 * 1024;

/** A block under construction, and everybody who waits for it. */
class Group {
  readonly writer: BlockWriter;
  readonly segment: number;
  readonly durable: Promise<void>;
  resolve: () => void = () => {};
  reject: (error: Error) => void = () => {};

  constructor(writer: BlockWriter, segment: number) {
    this.writer = writer;
    this.segment = segment;
    this.durable = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // Those who wait get the failure themselves; a block that nobody waits for fails by onPoison.
    this.durable.catch(() => {});
  }
}

export class SegmentedRaftLog implements RaftLog {
  readonly #env: RaftLogOptions['env'];
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #segmentsMax: number;
  readonly #onPoison: (error: Error) => void;
  readonly #ranges: Map<number, RangeLogState>;
  #liveBytes = 0;
  #poison: StorePoisonedError | undefined;
  #closed = false;

  /** The segment that blocks are sealed into, and where the next one goes. */
  #firstSegment: number;
  #segment: number;
  #position: number;
  #blocks: number;
  #file: DiskFile;
  /** The manifest on disk ends here; behind `#segment` while a new one is being made. */
  #fileSegment: number;

  #open: Group | undefined;
  #running: Promise<void> | undefined;
  /** Of the latest block: resolves when all blocks are durable. */
  #latest: Promise<void> = Promise.resolve();
  /** Some range may need fewer segments than before. */
  #checkSegments = false;
  readonly #spare: BlockWriter[] = [];

  private constructor(
    options: RaftLogOptions,
    recovered: {
      readonly ranges: Map<number, RangeLogState>;
      readonly first: number;
      readonly last: number;
      readonly position: number;
      readonly blocks: number;
      readonly file: DiskFile;
    },
  ) {
    this.#env = options.env;
    this.#directory = options.directory;
    this.#segmentBytes = options.segmentBytes ?? 64 * 1024 * 1024;
    this.#segmentsMax = options.segmentsMax ?? 4;
    this.#onPoison = options.onPoison ?? (() => {});
    this.#ranges = recovered.ranges;
    for (const range of this.#ranges.values()) this.#liveBytes += range.sizeBytes;
    this.#firstSegment = recovered.first;
    this.#segment = recovered.last;
    this.#fileSegment = recovered.last;
    this.#position = recovered.position;
    this.#blocks = recovered.blocks;
    this.#file = recovered.file;
  }

  /** Recovers the log in `directory`, or starts one. Throws CorruptionError when something durable is missing. */
  static async open(options: RaftLogOptions): Promise<SegmentedRaftLog> {
    const { env, directory } = options;
    const { disk } = env;
    await disk.mkdir(directory);
    const found: number[] = [];
    for (const name of await disk.list(directory)) {
      const number = segmentNumber(name);
      if (number !== undefined) found.push(number);
    }
    const content = await disk.readFile(`${directory}/${manifestName}`);
    if (content === undefined) {
      await refuseStrays(options, found, 0);
      const file = await createSegment(options, 1);
      await writeManifest(options, { first: 1, last: 1, endBytes: headerBytes });
      const ranges = new Map<number, RangeLogState>();
      return new SegmentedRaftLog(options, {
        ranges,
        first: 1,
        last: 1,
        position: headerBytes,
        blocks: 0,
        file,
      });
    }
    const manifest = decodeManifest(content);
    if (manifest === undefined)
      throw new CorruptionError('the raft log has a damaged segment list');
    const { first, last, endBytes } = manifest;
    await refuseStrays(options, found, last);
    const recovery = new LogRecovery();
    let end = { sizeBytes: 0, blocks: 0 };
    let lastBytes: Buffer = Buffer.alloc(0);
    for (let segment = first; segment <= last; segment++) {
      const bytes = await disk.readFile(segmentPath(options, segment));
      if (bytes === undefined) throw new CorruptionError(`raft log segment ${segment} is missing`);
      end = recovery.segment(segment, bytes, segment === last);
      lastBytes = bytes;
      if (end.sizeBytes < bytes.length) {
        env.log.warn(
          { segment, bytes: bytes.length - end.sizeBytes },
          'cut a torn write off the raft log',
        );
      }
    }
    recovery.finish();
    if (end.sizeBytes < endBytes) {
      throw new CorruptionError(
        `raft log segment ${last} has lost its end: ${end.sizeBytes} bytes of ${endBytes} are left`,
      );
    }
    // What was read may be in the page cache only, where an fsync that failed has left it as if it were written
    // (trap L7): another fsync would prove nothing. What is acknowledged from here on rests on a new file.
    if (end.sizeBytes > endBytes) {
      await disk.replaceFile(segmentPath(options, last), lastBytes.subarray(0, end.sizeBytes));
      await writeManifest(options, { first, last, endBytes: end.sizeBytes });
    }
    const file = await disk.open(segmentPath(options, last));
    if ((await file.sizeBytes()) > end.sizeBytes) await file.truncate(end.sizeBytes);
    await file.sync();
    for (const segment of found) {
      if (segment < first) await disk.remove(segmentPath(options, segment));
    }
    return new SegmentedRaftLog(options, {
      ranges: recovery.ranges,
      first,
      last,
      position: end.sizeBytes,
      blocks: end.blocks,
      file,
    });
  }

  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Number of segment files: for metrics and tests. */
  get segmentCount(): number {
    return this.#segment - this.#firstSegment + 1;
  }

  rangeIds(): RangeId[] {
    return [...this.#ranges.keys()].map(asRangeId);
  }

  range(rangeId: RangeId): RangeLog {
    return this.#ranges.get(rangeId) ?? new AbsentRange(this.#ranges, rangeId);
  }

  append(appends: readonly LogAppend[]): Promise<void> {
    if (this.#unusable !== undefined) return Promise.reject(this.#unusable);
    let group: Group | undefined;
    for (const append of appends) {
      const { entries, hardState } = append;
      if (entries.length === 0 && hardState === undefined) continue;
      group ??= this.#group();
      const range = this.#rangeForWrite(append.rangeId, group);
      const before = range.sizeBytes;
      for (const entry of entries) {
        assert(entry.index > range.baseIndex, 'an entry at or below the base is not replaced');
        assert(entry.index <= range.lastIndex + 1, 'the entries of a log are contiguous');
        const previous = range.checksum(entry.index - 1);
        const checksum = group.writer.entry(append.rangeId, entry, previous);
        range.push(entry, checksum, group.segment);
      }
      if (hardState !== undefined) {
        group.writer.hardState(append.rangeId, hardState);
        range.hardState = hardState;
      }
      this.#liveBytes += range.sizeBytes - before;
    }
    if (group === undefined) return this.#allDurable();
    this.#start();
    return group.durable;
  }

  truncate(rangeId: RangeId, upTo: { readonly index: number; readonly term: number }): void {
    if (this.#unusable !== undefined) throw this.#unusable;
    const range = this.#ranges.get(rangeId);
    if (range === undefined || upTo.index <= range.baseIndex) return;
    assert(range.term(upTo.index) === upTo.term, 'a log is truncated at an entry that it has');
    const before = range.sizeBytes;
    range.truncate(upTo.index);
    this.#liveBytes += range.sizeBytes - before;
    const group = this.#group();
    this.#writeBase(kindTruncate, range, group);
  }

  reset(
    rangeId: RangeId,
    at: { readonly index: number; readonly term: number },
    hardState: HardState,
  ): Promise<void> {
    if (this.#unusable !== undefined) return Promise.reject(this.#unusable);
    const group = this.#group();
    const range = this.#rangeForWrite(rangeId, group);
    this.#liveBytes -= range.sizeBytes;
    range.reset({ index: at.index, term: at.term, previous: 0 });
    range.hardState = hardState;
    this.#writeBase(kindReset, range, group);
    this.#start();
    return group.durable;
  }

  remove(rangeId: RangeId): Promise<void> {
    if (this.#unusable !== undefined) return Promise.reject(this.#unusable);
    const range = this.#ranges.get(rangeId);
    if (range === undefined) return this.#allDurable();
    this.#liveBytes -= range.sizeBytes;
    this.#ranges.delete(rangeId);
    // Views that were handed out show an empty log from now on.
    range.reset({ index: 0, term: 0, previous: 0 });
    range.hardState = emptyHardState;
    const group = this.#group();
    group.writer.remove(rangeId);
    this.#checkSegments = true;
    this.#start();
    return group.durable;
  }

  /** Writes what is waiting, then closes the file. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#start();
    await this.#running;
    await this.#file.close();
    if (this.#poison === undefined) await this.#writeManifest();
  }

  get #unusable(): StorePoisonedError | undefined {
    if (this.#closed) return this.#poison ?? new StorePoisonedError('the raft log is closed');
    return this.#poison;
  }

  /** The open block; decides its segment when it makes a new one. */
  #group(): Group {
    if (this.#open !== undefined) return this.#open;
    const full = this.#position >= this.#segmentBytes;
    const writer = this.#spare.pop() ?? new BlockWriter(blockCapacityBytes);
    const group = new Group(writer, full ? this.#segment + 1 : this.#segment);
    this.#open = group;
    this.#latest = group.durable;
    if (full) this.#copyForward(group);
    return group;
  }

  /** For a call that changes nothing: what it relies on may still be on its way to the disk. */
  #allDurable(): Promise<void> {
    this.#start();
    return this.#latest;
  }

  /** The state of a range; a new one begins with a base record. */
  #rangeForWrite(rangeId: RangeId, group: Group): RangeLogState {
    let range = this.#ranges.get(rangeId);
    if (range === undefined) {
      range = new RangeLogState(rangeId);
      this.#ranges.set(rangeId, range);
      this.#writeBase(kindReset, range, group);
    }
    return range;
  }

  #writeBase(
    kind: typeof kindReset | typeof kindTruncate,
    range: RangeLogState,
    group: Group,
  ): void {
    const base = {
      index: range.baseIndex,
      term: range.baseTerm,
      previous: range.basePrevious,
      last: kind === kindReset ? range.baseIndex : range.lastIndex,
    };
    group.writer.base(kind, range.rangeId, base, range.hardState);
    range.baseSegment = group.segment;
    this.#checkSegments = true;
  }

  /** Too many segments: writes the live records that hold the oldest one once more, unless they are many. */
  #copyForward(group: Group): void {
    const oldest = this.#firstSegment;
    if (group.segment - oldest < this.#segmentsMax) return;
    const holders: RangeLogState[] = [];
    let bytes = 0;
    for (const range of this.#ranges.values()) {
      if ((range.firstSegment ?? group.segment) > oldest) continue;
      holders.push(range);
      bytes += range.sizeBytes + 128;
    }
    if (bytes > this.#segmentBytes / 2) return;
    for (const range of holders) {
      this.#writeBase(kindReset, range, group);
      let previous = range.basePrevious;
      for (let index = range.firstIndex; index <= range.lastIndex; index++) {
        const [entry] = range.entries(index, index + 1, 0);
        assert(entry !== undefined, 'a live entry is in memory');
        previous = group.writer.entry(range.rangeId, entry, previous);
      }
      range.moveTo(group.segment);
    }
  }

  /** The open block is written now, or right behind the one that is under way. */
  #start(): void {
    if (this.#open !== undefined && this.#running === undefined) this.#running = this.#run();
  }

  async #run(): Promise<void> {
    while (this.#open !== undefined && this.#poison === undefined) {
      const group = this.#open;
      this.#open = undefined;
      try {
        await this.#write(group);
        group.resolve();
      } catch (error) {
        this.#fail(group, error);
      }
    }
    // In the same turn as the last look at #open: an append behind it starts the writer again.
    this.#running = undefined;
  }

  async #write(group: Group): Promise<void> {
    if (group.segment !== this.#segment) {
      this.#segment = group.segment;
      this.#position = headerBytes;
      this.#blocks = 0;
      this.#checkSegments = true;
    }
    const block = group.writer.finish(group.segment, this.#blocks);
    const position = this.#position;
    this.#position += block.length;
    this.#blocks++;
    // Taken now: what later records make superfluous is needed until those are durable.
    const needed = this.#neededSegment();
    if (this.#fileSegment !== group.segment) await this.#nextFile(group.segment);
    await this.#file.writeDurable(position, [block]);
    if (group.writer.capacityBytes <= keptCapacityBytes) {
      group.writer.reset();
      this.#spare.push(group.writer);
    }
    if (needed > this.#firstSegment) await this.#removeBefore(needed);
  }

  async #nextFile(segment: number): Promise<void> {
    const options = { env: this.#env, directory: this.#directory };
    await this.#file.close();
    this.#file = await createSegment(options, segment);
    await writeManifest(options, {
      first: this.#firstSegment,
      last: segment,
      endBytes: headerBytes,
    });
    this.#fileSegment = segment;
  }

  /** All blocks so far are durable. */
  #writeManifest(): Promise<void> {
    return writeManifest(
      { env: this.#env, directory: this.#directory },
      { first: this.#firstSegment, last: this.#fileSegment, endBytes: this.#position },
    );
  }

  /** The oldest segment that some range needs. */
  #neededSegment(): number {
    if (!this.#checkSegments || this.#firstSegment === this.#segment) return this.#firstSegment;
    this.#checkSegments = false;
    let needed = this.#segment;
    for (const range of this.#ranges.values()) {
      needed = Math.min(needed, range.firstSegment ?? needed);
    }
    return needed;
  }

  async #removeBefore(needed: number): Promise<void> {
    const options = { env: this.#env, directory: this.#directory };
    const first = this.#firstSegment;
    this.#firstSegment = needed;
    await this.#writeManifest();
    for (let segment = first; segment < needed; segment++) {
      await this.#env.disk.remove(segmentPath(options, segment));
    }
  }

  #fail(group: Group, error: unknown): void {
    const cause = error instanceof Error ? error : new Error(String(error));
    const poison = new StorePoisonedError(`the raft log failed: ${cause.message}`, { cause });
    this.#poison = poison;
    group.reject(poison);
    this.#open?.reject(poison);
    this.#open = undefined;
    this.#env.log.error({ err: cause }, 'the raft log failed');
    this.#onPoison(poison);
  }
}

/** A range without a log, until it gets one. */
class AbsentRange implements RangeLog {
  readonly #ranges: ReadonlyMap<number, RangeLogState>;
  readonly #rangeId: RangeId;
  readonly #empty: RangeLogState;

  constructor(ranges: ReadonlyMap<number, RangeLogState>, rangeId: RangeId) {
    this.#ranges = ranges;
    this.#rangeId = rangeId;
    this.#empty = new RangeLogState(rangeId);
  }

  get #log(): RangeLogState {
    return this.#ranges.get(this.#rangeId) ?? this.#empty;
  }

  get hardState(): HardState {
    return this.#log.hardState;
  }

  get sizeBytes(): number {
    return this.#log.sizeBytes;
  }

  get firstIndex(): number {
    return this.#log.firstIndex;
  }

  get lastIndex(): number {
    return this.#log.lastIndex;
  }

  term(index: number): number | undefined {
    return this.#log.term(index);
  }

  entries(from: number, to: number, maxBytes: number): ReturnType<RangeLog['entries']> {
    return this.#log.entries(from, to, maxBytes);
  }
}

type Place = Pick<RaftLogOptions, 'env' | 'directory'>;

function segmentPath(place: Place, segment: number): string {
  return `${place.directory}/${segmentName(segment)}`;
}

async function createSegment(place: Place, segment: number): Promise<DiskFile> {
  const file = await place.env.disk.open(segmentPath(place, segment));
  await file.truncate(0);
  await file.writeDurable(0, [encodeSegmentHeader(segment)]);
  await place.env.disk.syncDir(place.directory);
  return file;
}

function writeManifest(place: Place, manifest: Manifest): Promise<void> {
  return place.env.disk.replaceFile(`${place.directory}/${manifestName}`, encodeManifest(manifest));
}

/** A segment behind the last one listed was being made when the store stopped: it is empty, or the list is old. */
async function refuseStrays(place: Place, found: readonly number[], last: number): Promise<void> {
  for (const segment of found) {
    if (segment <= last) continue;
    const file = await place.env.disk.open(segmentPath(place, segment));
    const size = await file.sizeBytes();
    await file.close();
    if (segment > last + 1 || size > headerBytes) {
      throw new CorruptionError(`raft log segment ${segment} is not in the list of segments`);
    }
    await place.env.disk.remove(segmentPath(place, segment));
  }
}
