/**
 * What a store must remember about time across a crash, in one small file:
 *
 *   upperBound     no timestamp above it was ever issued or served (trap T12)
 *   noVotesBefore  no promise of support reaches beyond it
 *
 * While the store runs the bound is kept ahead of the clock; a promise is only made up to
 * `upperBound + supportDuration`, so that is what the file says about promises. A clean shutdown writes
 * the real values instead, and a restart need not wait. The state engine cannot hold this: its writes
 * are not synced. What was heard of other stores' clocks is written along (see `incarnations.ts`).
 *
 * INVARIANT: the file on disk never says less than `upperBound` and `noVotesBefore` of this object.
 */
import { crc32 } from 'node:zlib';
import { asStoreId, type HlcClock } from '../../kv/index.ts';
import { CorruptionError } from '../../storage/index.ts';
import { isCount, sleep, type Env } from '../../util/index.ts';
import { Incarnations, type Heard, type Life } from './incarnations.ts';

/** Wall microseconds. */
export interface ClockBounds {
  readonly upperBound: number;
  readonly noVotesBefore: number;
  readonly heard: readonly Heard[];
}

export interface ClockBoundFile {
  /** Undefined for a new store. */
  load(): Promise<ClockBounds | undefined>;
  /** Durable when it resolves. */
  persist(bounds: ClockBounds): Promise<void>;
}

/** `isNew`: the store holds nothing yet, so there need not be a file. */
export function clockBoundOnDisk(
  env: Pick<Env, 'disk'>,
  path: string,
  options: { readonly isNew: boolean },
): ClockBoundFile {
  return {
    async load() {
      const content = await env.disk.readFile(path);
      if (content === undefined && options.isNew) return undefined;
      if (content === undefined) {
        throw new CorruptionError(`${path} is missing, and with it what this store promised`);
      }
      const parsed = parseSealed(content.toString('utf8'));
      if (
        typeof parsed !== 'object' ||
        parsed === null ||
        !('upperBound' in parsed && typeof parsed.upperBound === 'number') ||
        !('noVotesBefore' in parsed && typeof parsed.noVotesBefore === 'number')
      ) {
        // Without it promises of support may be broken: the store must not vote again.
        throw new CorruptionError(`${path} is damaged, and with it what this store promised`);
      }
      const heard = 'heard' in parsed ? decodeHeard(parsed.heard) : [];
      return { upperBound: parsed.upperBound, noVotesBefore: parsed.noVotesBefore, heard };
    },
    async persist(bounds) {
      const { upperBound, noVotesBefore } = bounds;
      const heard = bounds.heard.map((each) => [each.storeId, each.incarnation, each.wall]);
      const text = JSON.stringify({ format: 2, upperBound, noVotesBefore, heard });
      await env.disk.replaceFile(path, Buffer.from(`${text}\n${sealOf(text)}\n`, 'utf8'));
    },
  };
}

/** Whatever has another shape is left out: to have heard nothing is safe. */
function decodeHeard(value: unknown): Heard[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((entry: unknown): Heard[] => {
    const [storeId, incarnation, wall]: unknown[] = Array.isArray(entry) ? entry : [];
    if (!isCount(storeId) || !isCount(incarnation) || !isCount(wall)) return [];
    return [{ storeId: asStoreId(storeId), incarnation, wall }];
  });
}

/** Two lines, the second is the checksum of the first. Older files have neither it nor a `format`. */
function parseSealed(content: string): unknown {
  const [text = '', seal, ...rest] = content.split('\n');
  try {
    const parsed: unknown = JSON.parse(text);
    const isOld = seal === '' && rest.length === 0;
    if (isOld)
      return typeof parsed === 'object' && parsed !== null && 'format' in parsed
        ? undefined
        : parsed;
    return seal === sealOf(text) && rest.join() === '' ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function sealOf(text: string): string {
  return `crc ${crc32(text)}`;
}

export interface ClockBoundOptions {
  readonly supportMicros: number;
  /** How far ahead of the clock the bound is set; renewed when less than half of it is left. */
  readonly marginMicros: number;
}

export class ClockBound {
  /** Of the other stores. */
  readonly incarnations = new Incarnations();
  readonly #env: Env;
  readonly #clock: HlcClock;
  readonly #file: ClockBoundFile;
  readonly #options: ClockBoundOptions;
  #upperBound = 0;
  #noVotesBefore = 0;
  #life: Life = { incarnation: 0, resumedFrom: 0 };
  #renewal: Promise<void> | undefined;
  #closed = false;

  constructor(env: Env, clock: HlcClock, file: ClockBoundFile, options: ClockBoundOptions) {
    this.#env = env;
    this.#clock = clock;
    this.#file = file;
    this.#options = options;
  }

  /** Nothing at or above this wall time may be served or issued. */
  get upperBound(): number {
    return this.#upperBound;
  }

  /** Of this store, since `start`. */
  get life(): Life {
    return this.#life;
  }

  /** Votes are refused until the clock has passed this: promises made before a restart may reach so far. */
  get noVotesBefore(): number {
    return this.#noVotesBefore;
  }

  /** The latest expiration that may be promised: the file covers it. */
  get promiseLimit(): number {
    return this.#closed ? 0 : this.#upperBound + this.#options.supportMicros;
  }

  /** Moves the clock behind everything the store issued before, then makes the first bound durable. */
  async start(): Promise<void> {
    const before = await this.#file.load();
    if (before !== undefined) {
      // Peers refuse clocks that are further ahead than clocks may differ: wait for real time instead.
      const ahead =
        before.upperBound - this.#clock.physicalMicros() - this.#clock.maxOffsetMicros / 2;
      if (ahead > 0) {
        if (ahead > this.#options.marginMicros) {
          this.#env.log.warn(
            { aheadMs: Math.ceil(ahead / 1000) },
            "this machine's clock stands before the time of the last shutdown",
          );
        }
        await sleep(this.#env, Math.ceil(Math.min(ahead, this.#options.marginMicros) / 1000));
      }
      this.#clock.observe({ wall: before.upperBound, logical: 0 });
      this.#noVotesBefore = before.noVotesBefore;
      this.incarnations.restore(before.heard);
    }
    await this.#extend();
    this.#life = { incarnation: this.#upperBound, resumedFrom: before?.upperBound ?? 0 };
  }

  /** Called from the heartbeat loop; at most one renewal at a time. */
  async renew(): Promise<void> {
    if (this.#closed || this.#renewal !== undefined) return this.#renewal;
    const left = this.#upperBound - this.#clock.now().wall;
    if (left > this.#options.marginMicros / 2) return;
    this.#renewal = this.#extend();
    try {
      await this.#renewal;
    } finally {
      this.#renewal = undefined;
    }
  }

  /** A clean shutdown: nothing is served or promised any more. Both times: HLC wall microseconds, perhaps ahead of the clock. */
  async close(maxPromised: number, servedUpTo: number): Promise<void> {
    this.#closed = true;
    await this.#renewal;
    await this.#file.persist({
      upperBound: Math.max(this.#clock.now().wall, servedUpTo) + 1,
      noVotesBefore: Math.max(maxPromised, this.#noVotesBefore),
      heard: this.incarnations.all(),
    });
  }

  async #extend(): Promise<void> {
    const upperBound = this.#clock.now().wall + this.#options.marginMicros;
    const promised = upperBound + this.#options.supportMicros;
    await this.#file.persist({
      upperBound,
      noVotesBefore: Math.max(promised, this.#noVotesBefore),
      heard: this.incarnations.all(),
    });
    if (this.#closed) return;
    this.#upperBound = Math.max(this.#upperBound, upperBound);
  }
}
