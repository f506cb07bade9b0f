/**
 * The jobs of a node: finds those that nobody works on, works on them, and tells them when they are to pause or end.
 *
 *   a look at system.jobs, every `lookMs` and when something happened here
 *     -> claimed by a living session: somebody else's
 *     -> not due yet (`JobType.dueAt`): nobody's; when it was first seen is noted, then it costs nothing but the look
 *     -> claimed in a transaction that reads row and sessions again, then run
 *   a look at the own running jobs, every `beatMs` while there are any: requests, the session
 *
 * A job may be run again after a crash or an adoption, or because the cluster could not do something at the time: work is
 * repeatable, and whatever it writes about itself is written only while the row still carries its claim.
 */
import { KvFailure, type Db, type Member, type NodeControl, type Txn } from '../../kv/index.ts';
import { type Env, type TimerHandle } from '../../util/index.ts';
import { type CatalogCache, type CatalogSnapshot } from '../catalog/index.ts';
import { type EventLog, type NodeEvents } from '../events/index.ts';
import { timestampOfWall } from '../types/index.ts';
import { changeMembership } from './change-membership.ts';
import {
  createJob,
  deleteJob,
  executionErrorsMax,
  hasEnded,
  jobTime,
  readJob,
  readJobs,
  withExecutionError,
  writeJob,
  type Job,
  type JobSpec,
} from './job.ts';
import { JobSession, liveSessions } from './sessions.ts';

export interface JobType {
  /**
   * Microseconds since 2000 before which there is nothing to do; asked again whenever the catalog has changed. The job has
   * `started`, which is when a node first saw it: not before the commit that made it.
   */
  dueAt?(job: Job, snapshot: CatalogSnapshot): bigint;
  /** What SHOW JOBS says of a job that is not due. */
  readonly waitingFor?: string;
  run(run: JobRun): Promise<void>;
  /** A session waits for it: it does not pause. */
  readonly isOfSession?: boolean;
  /** Takes back what was done; without it the job cannot be cancelled. */
  revert?(run: JobRun): Promise<void>;
}

/** One attempt at a job, seen by its type. */
export interface JobRun {
  readonly job: Job;
  readonly env: Env;
  readonly db: Db;
  readonly cache: CatalogCache;
  readonly control: NodeControl;
  readonly eventLog: EventLog;
  readonly nodeEvents: NodeEvents;
  /** To be called between steps: throws JobStopped when the job is to pause or end, or is somebody else's by now. */
  readonly check: () => void;
  readonly progress: (change: Pick<Job, 'fraction' | 'runningStatus'>) => Promise<void>;
  /** The last step: the job has succeeded if `txn` commits, whatever becomes of this node then. */
  readonly succeedWith: (txn: Txn) => Promise<void>;
}

/** The job goes on elsewhere, later or not at all. */
export class JobStopped extends Error {
  override readonly name = 'JobStopped';
}

const lookMs = 10_000;
const beatMs = 2_000;
const cleanUpMs = 3_600_000;

const success: Partial<Job> = { status: 'succeeded', fraction: 1, runningStatus: null };

interface Running {
  readonly id: bigint;
  readonly claim: string;
  /** Why it must stop: its row asked for it and says what is to become of it, or it is not this node's any more. */
  stop: 'asked' | 'lost' | undefined;
  /** It is being taken back, for which it does not stop. */
  isReverting: boolean;
  /** `succeedWith` was called, and may have committed. */
  isInLastStep: boolean;
}

export interface JobRegistryOptions {
  readonly env: Env;
  readonly db: Db;
  readonly cache: CatalogCache;
  readonly control: NodeControl;
  readonly eventLog: EventLog;
  readonly nodeEvents: NodeEvents;
  readonly types: ReadonlyMap<string, JobType>;
  /** How long jobs that have ended are kept. */
  readonly retentionMs: () => number;
}

export class JobRegistry {
  readonly #options: JobRegistryOptions;
  readonly #session: JobSession;
  readonly #running = new Map<bigint, Running>();
  /** How attempts of this node ended that could not even write that down. */
  readonly #unwritten = new Map<bigint, string>();
  /** Made by `createOwn` in these transactions, not begun yet: the session has to last. */
  readonly #own = new Map<bigint, Txn>();
  /** Calls of `#withSession` under way. */
  #claiming = 0;
  #lookTimer: TimerHandle | undefined;
  #beatTimer: TimerHandle | undefined;
  #looking: Promise<void> | undefined;
  #lookAgain = false;
  #cleanedUpMs: number;
  #isStopped = false;

  constructor(options: JobRegistryOptions) {
    const { env, db, cache } = options;
    this.#options = options;
    this.#session = new JobSession(env, db, cache.nodeId);
    this.#cleanedUpMs = env.clock.monotonicMs();
  }

  start(): void {
    // A zone, for instance, decides when a job is due.
    this.#options.cache.onChange(() => this.wake());
    this.wake();
  }

  /** Jobs under way are stopped and free for other nodes. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#lookTimer?.cancel();
    this.#beatTimer?.cancel();
    for (const each of this.#running.values()) each.stop = 'lost';
    await this.#session.end();
  }

  /** Writes a job in `txn`; to be followed by `wake` once it has committed. */
  create(txn: Txn, spec: Omit<JobSpec, 'claim'>): Promise<Job> {
    const { db } = this.#options;
    return createJob(db, txn, spec);
  }

  /** A member that no job is about stays after all. */
  recommission(member: Member): Promise<void> {
    return changeMembership(this.#options, member, 'active');
  }

  /** As `create`, for work that the caller does itself with `runHere`: nobody else takes it. */
  createOwn(txn: Txn, spec: Omit<JobSpec, 'claim'>): Promise<Job> {
    return this.#withSession(async (claim) => {
      const job = await createJob(this.#options.db, txn, { ...spec, claim });
      this.#own.set(job.id, txn);
      return job;
    });
  }

  /** Looks for work now. */
  wake(): void {
    if (this.#isStopped) return;
    this.#lookTimer?.cancel();
    this.#lookTimer = this.#options.env.timers.after(lookMs, () => this.wake());
    if (this.#looking !== undefined) {
      this.#lookAgain = true;
      return;
    }
    this.#looking = this.#look()
      .catch((error: unknown) => {
        if (!(error instanceof KvFailure)) throw error;
        this.#options.env.log.debug({ error: error.kvError.kind }, 'jobs cannot be read now');
      })
      .finally(() => {
        this.#looking = undefined;
        if (!this.#lookAgain) return;
        this.#lookAgain = false;
        this.wake();
      });
  }

  /** The caller of `createOwn` does not do its work: should the job stand, it is anybody's. */
  letGo(job: Job): void {
    this.#own.delete(job.id);
  }

  /**
   * Does the work of a job that `createOwn` has made. `work` may be long; the outcome is written down, and an error is
   * thrown again when everything is taken back.
   */
  async runHere(job: Job, work: Pick<JobType, 'run' | 'revert'>): Promise<void> {
    const error = await this.#run(job, { ...work, isOfSession: true });
    if (error !== undefined) throw error;
  }

  // Looking for work.

  async #look(): Promise<void> {
    const { db, cache } = this.#options;
    const { jobs, live } = await db.run({ name: 'jobs' }, async (txn) => ({
      jobs: await readJobs(txn),
      live: await liveSessions(txn, db.clock.physicalMicros()),
    }));
    await this.#cleanUp(jobs);
    for (const job of jobs) {
      if (this.#isStopped) return;
      if (hasEnded(job) || job.status === 'paused') continue;
      if (this.#running.has(job.id) || this.#own.has(job.id)) continue;
      if (this.#isTaken(job, live)) continue;
      const type = this.#options.types.get(job.type);
      if (type === undefined) continue;
      const seen =
        type.dueAt === undefined || job.started !== null ? job : await this.#noteSeen(job.id);
      if (seen === undefined) continue;
      const due = type.dueAt?.(seen, cache.current) ?? 0n;
      if (seen.status === 'running' && due > this.#now) {
        this.#lookAt(due);
        await this.#noteWaiting(seen, type);
        continue;
      }
      await this.#withSession(async (claim) => {
        const mine = await this.#claim(job.id, claim);
        this.#unwritten.delete(job.id);
        if (mine !== undefined) this.#begin(mine, type);
      });
    }
  }

  /** The next look is not later than when something is due. */
  #lookAt(due: bigint): void {
    const waitMs = Number((due - this.#now) / 1000n) + 1;
    if (waitMs >= lookMs) return;
    this.#lookTimer?.cancel();
    this.#lookTimer = this.#options.env.timers.after(waitMs, () => this.wake());
  }

  /** The job as it is then; undefined when it is gone. */
  #noteSeen(id: bigint): Promise<Job | undefined> {
    return this.#options.db.run({ name: 'job seen' }, async (txn) => {
      const job = await readJob(txn, id);
      if (job === undefined || job.started !== null) return job;
      // Whatever the clocks of the nodes say, what this transaction reads was committed by then.
      const started = timestampOfWall(txn.meta.readTimestamp.wall + 1);
      const seen: Job = { ...job, started, modified: this.#now };
      writeJob(txn, seen);
      return seen;
    });
  }

  async #noteWaiting(job: Job, type: JobType): Promise<void> {
    const { waitingFor } = type;
    if (waitingFor === undefined || job.runningStatus === waitingFor) return;
    await this.#options.db.run({ name: 'job waits' }, async (txn) => {
      const now = await readJob(txn, job.id);
      if (now?.status !== 'running' || now.claim !== job.claim) return;
      writeJob(txn, { ...now, runningStatus: waitingFor, modified: this.#now });
    });
  }

  /** Undefined when somebody else was faster. */
  #claim(id: bigint, claim: string): Promise<Job | undefined> {
    const { db } = this.#options;
    return db.run({ name: 'claim job' }, async (txn) => {
      const job = await readJob(txn, id);
      if (job === undefined || hasEnded(job) || job.status === 'paused') return undefined;
      const live = await liveSessions(txn, db.clock.physicalMicros());
      if (this.#isTaken(job, live)) return undefined;
      if (job.status === 'pause-requested') {
        writeJob(txn, { ...job, status: 'paused', claim: null, modified: this.#now });
        return undefined;
      }
      const unwritten = this.#unwritten.get(id);
      const mine: Job = {
        ...job,
        claim,
        started: job.started ?? this.#now,
        modified: this.#now,
        executionErrors:
          unwritten === undefined ? job.executionErrors : withExecutionError(job, unwritten),
      };
      writeJob(txn, mine);
      return mine;
    });
  }

  /** A job of this node's session that does not run here was left half done. */
  #isTaken({ claim }: Job, live: ReadonlySet<string>): boolean {
    return claim !== null && live.has(claim) && claim !== this.#session.name;
  }

  #begin(job: Job, type: JobType): void {
    const { env } = this.#options;
    this.#run(job, type).then(
      (error) => {
        // It may have been resumed while it stopped.
        if (error instanceof JobStopped) this.wake();
        else if (error !== undefined)
          env.log.warn({ job: String(job.id), err: error }, 'a job failed');
      },
      (error: unknown) => {
        env.log.warn({ job: String(job.id), err: error }, 'a job was left half done');
        if (!(error instanceof JobStopped)) this.#unwritten.set(job.id, messageOf(error));
        this.wake();
      },
    );
  }

  // Running.

  /** Resolves with the error of a job that failed; rejects when its row cannot be written: somebody adopts it. */
  async #run(job: Job, type: JobType): Promise<Error | undefined> {
    const { id, claim } = job;
    const running: Running = {
      id,
      claim: claim ?? '',
      stop: undefined,
      isReverting: false,
      isInLastStep: false,
    };
    this.#running.set(job.id, running);
    this.#own.delete(job.id);
    this.#beatSoon();
    try {
      const isCanceled = job.status === 'cancel-requested' || job.status === 'reverting';
      if (isCanceled) return await this.#revert(job, type, running, undefined);
      try {
        await type.run(this.#handle(job, running));
      } catch (error) {
        return await this.#interrupted(job, type, running, error);
      }
      if (!(await this.#hasSucceeded(running))) await this.#end(running, success);
      return undefined;
    } finally {
      this.#running.delete(job.id);
    }
  }

  async #interrupted(
    job: Job,
    type: JobType,
    running: Running,
    error: unknown,
  ): Promise<Error | undefined> {
    if (error instanceof JobStopped) {
      if (running.stop !== 'asked') return error;
      const isCanceled = await this.#leave(running);
      return isCanceled ? this.#revert(job, type, running, error) : error;
    }
    if (type.isOfSession !== true && isPassing(error) && mayTryAgain(job)) {
      // Whoever looks next goes on with it.
      const executionErrors = withExecutionError(job, messageOf(error));
      await this.#change(running, { executionErrors, claim: null });
      return undefined;
    }
    const failure = error instanceof Error ? error : new Error(String(error));
    // What it has made is in use: there is nothing to take back.
    if (await this.#hasSucceeded(running)) return failure;
    return this.#revert(job, type, running, failure);
  }

  /** Lets go of a job that was asked to stop, unless it is to be taken back (true): one request may have followed another. */
  async #leave(running: Running): Promise<boolean> {
    const { status } = await this.#change(running, (job) => {
      if (job.status === 'cancel-requested') return {};
      return { status: job.status === 'pause-requested' ? 'paused' : job.status, claim: null };
    });
    return status === 'cancel-requested';
  }

  /** `failure`: what the work ended in; undefined or JobStopped: it was cancelled. */
  async #revert(
    job: Job,
    type: JobType,
    running: Running,
    failure: Error | undefined,
  ): Promise<Error | undefined> {
    const isFailed = failure !== undefined && !(failure instanceof JobStopped);
    if (type.revert !== undefined) {
      running.stop = undefined;
      running.isReverting = true;
      const error = isFailed ? { error: failure.message } : {};
      await this.#change(running, { status: 'reverting', runningStatus: null, ...error });
      await type.revert(this.#handle({ ...job, ...error }, running));
    }
    const failed = isFailed || (failure === undefined && job.error !== null);
    const message = isFailed ? failure.message : job.error;
    await this.#end(running, {
      status: failed ? 'failed' : 'canceled',
      error: message,
      runningStatus: null,
    });
    return failure;
  }

  #handle(job: Job, running: Running): JobRun {
    const { env, db, cache, control, eventLog, nodeEvents } = this.#options;
    const check = (): void => {
      if (running.stop === undefined && this.#session.name === running.claim) return;
      throw new JobStopped(`job ${job.id} does not go on here`);
    };
    return {
      job,
      env,
      db,
      cache,
      control,
      eventLog,
      nodeEvents,
      check,
      progress: async (change) => {
        check();
        await this.#change(running, change);
      },
      succeedWith: async (txn) => {
        running.isInLastStep = true;
        await this.#changeIn(txn, running, this.#ended(success));
      },
    };
  }

  async #end(running: Running, change: Partial<Job>): Promise<void> {
    await this.#change(running, this.#ended(change));
  }

  #ended(change: Partial<Job>): Partial<Job> {
    return { ...change, finished: this.#now, claim: null };
  }

  /** The job as it is then. Throws JobStopped when it is somebody else's by now. */
  #change(running: Running, change: Partial<Job> | ((job: Job) => Partial<Job>)): Promise<Job> {
    const { db } = this.#options;
    return db.run({ name: 'job' }, (txn) => this.#changeIn(txn, running, change));
  }

  async #changeIn(
    txn: Txn,
    { id, claim }: Running,
    change: Partial<Job> | ((job: Job) => Partial<Job>),
  ): Promise<Job> {
    const job = await readJob(txn, id);
    if (job?.claim !== claim) throw new JobStopped(`job ${id} is not this node's any more`);
    const how = typeof change === 'function' ? change(job) : change;
    const changed: Job = { ...job, ...how, modified: this.#now };
    writeJob(txn, changed);
    return changed;
  }

  /** By its last step. */
  async #hasSucceeded({ id, isInLastStep }: Running): Promise<boolean> {
    if (!isInLastStep) return false;
    const job = await this.#options.db.run({ name: 'job' }, (txn) => readJob(txn, id));
    return job?.status === 'succeeded';
  }

  get #now(): bigint {
    return jobTime(this.#options.db);
  }

  // Watching what runs here.

  /** The session, begun if there is none, does not end before `work` has written down for what it is to last. */
  async #withSession<T>(work: (name: string) => Promise<T>): Promise<T> {
    this.#claiming++;
    try {
      const name = this.#session.name ?? (await this.#session.renew());
      this.#beatSoon();
      return await work(name);
    } finally {
      this.#claiming--;
    }
  }

  #beatSoon(): void {
    if (this.#isStopped || this.#beatTimer !== undefined) return;
    this.#beatTimer = this.#options.env.timers.after(beatMs, () => {
      this.#beatTimer = undefined;
      this.#beat().catch((error: unknown) => {
        if (!(error instanceof KvFailure)) throw error;
        this.#options.env.log.debug({ error: error.kvError.kind }, 'jobs cannot be watched now');
        this.#beatSoon();
      });
    });
  }

  async #beat(): Promise<void> {
    for (const [id, { status }] of this.#own) {
      if (status === 'aborted' || status === 'ambiguous') this.#own.delete(id);
    }
    if (this.#running.size + this.#own.size + this.#claiming === 0) {
      await this.#session.end();
      return;
    }
    await this.#session.renew();
    await this.heedRequests();
    this.#beatSoon();
  }

  /** Passes on what was asked of the jobs that run here. */
  async heedRequests(): Promise<void> {
    const ids = [...this.#running.keys()];
    const jobs = await this.#options.db.run({ name: 'jobs here' }, (txn) =>
      Promise.all(ids.map((id) => readJob(txn, id))),
    );
    for (const [at, id] of ids.entries()) {
      const running = this.#running.get(id);
      const job = jobs[at];
      if (running === undefined) continue;
      if (job?.claim !== running.claim) running.stop = 'lost';
      else if (isAskedToStop(job) && !running.isReverting) running.stop ??= 'asked';
    }
  }

  async #cleanUp(jobs: readonly Job[]): Promise<void> {
    const { env, db, retentionMs } = this.#options;
    const nowMs = env.clock.monotonicMs();
    if (nowMs - this.#cleanedUpMs < cleanUpMs) return;
    this.#cleanedUpMs = nowMs;
    const before = this.#now - BigInt(Math.round(retentionMs() * 1000));
    const old = jobs.filter((job) => hasEnded(job) && (job.finished ?? job.modified) < before);
    if (old.length === 0) return;
    await db.run({ name: 'old jobs' }, async (txn) => {
      for (const job of old) deleteJob(txn, job);
    });
  }
}

function isAskedToStop({ status }: Job): boolean {
  return status === 'pause-requested' || status === 'cancel-requested';
}

/** The cluster could not do it at the time, or does not know whether it did. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof KvFailure)) return false;
  const { kind } = error.kvError;
  return kind === 'unavailable' || kind === 'ambiguous-result';
}

function mayTryAgain({ executionErrors }: Job): boolean {
  return executionErrors.length < executionErrorsMax;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
