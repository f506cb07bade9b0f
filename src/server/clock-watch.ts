/**
 * Says when this node stops serving because its clock is too far from the others', and when it serves again: once per change,
 * in the log and to whoever wants to tell other nodes. What follows from it is done where it matters: by the stores
 * (leases, batches) and by SQL, each of which asks the clock itself.
 */
import { type HlcClock } from '../kv/index.ts';
import { type Env, type TimerHandle } from '../util/index.ts';

const intervalMs = 200;

export class ClockWatch {
  readonly #env: Env;
  readonly #clock: HlcClock;
  readonly #changed: () => void;
  #problem: string | undefined;
  #timer: TimerHandle | undefined;

  constructor(env: Env, clock: HlcClock, changed: () => void) {
    this.#env = env;
    this.#clock = clock;
    this.#changed = changed;
  }

  /** What was said last: why the node does not serve. */
  get problem(): string | undefined {
    return this.#problem;
  }

  start(): void {
    this.#timer = this.#env.timers.after(intervalMs, () => {
      this.#look();
      this.start();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #look(): void {
    const problem = this.#clock.complaint();
    const isWrong = problem !== undefined;
    const wasWrong = this.#problem !== undefined;
    if (isWrong === wasWrong) return;
    this.#problem = problem;
    const { log } = this.#env;
    if (isWrong) log.error({ problem }, 'the node does not serve until its clock is right again');
    else log.info({}, 'the clock agrees with those of the other nodes again: the node serves');
    this.#changed();
  }
}
