/** Runs simulations on several processes. */
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type SimResult } from '../sim/index.ts';
import { type SimJob } from './sim-job.ts';
import { type SimAnswer } from './sim-worker.ts';

/** Real time after which a run does not end: a spinning node. */
const stuckMs = 300_000;

export type SimEnd =
  | { readonly kind: 'result'; readonly result: SimResult }
  /** The run ended in an exception, or its process ended or hung. */
  | { readonly kind: 'threw'; readonly seed: number; readonly error: string };

/** Takes jobs from `next` until it has none; `ended` hears of each. */
export async function runPool(options: {
  readonly processes: number;
  readonly next: () => SimJob | undefined;
  readonly ended: (end: SimEnd) => void;
}): Promise<void> {
  const { processes, next, ended } = options;
  const work = async (): Promise<void> => {
    let worker: Worker | undefined;
    for (let job = next(); job !== undefined; job = next()) {
      worker ??= new Worker();
      const answer = await worker.run(job);
      if (answer.kind === 'result') {
        ended(answer);
        continue;
      }
      // Nobody knows what an exception has left behind.
      worker.stop();
      worker = undefined;
      ended({ ...answer, seed: job.seed });
    }
    worker?.stop();
  };
  await Promise.all(Array.from({ length: processes }, work));
}

class Worker {
  readonly #child: ChildProcess;
  #said = '';

  constructor() {
    const path = fileURLToPath(new URL('./sim-worker.js', import.meta.url));
    this.#child = fork(path, [], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#said = (this.#said + chunk.toString()).slice(-4_000);
    });
  }

  run(job: SimJob): Promise<SimAnswer> {
    return new Promise((resolve) => {
      const settle = (answer: SimAnswer): void => {
        clearTimeout(stuck);
        this.#child.removeAllListeners();
        resolve(answer);
      };
      const stuck = setTimeout(() => {
        settle({ kind: 'threw', error: 'the run does not end' });
      }, stuckMs);
      this.#child.once('message', (answer: SimAnswer) => settle(answer));
      this.#child.once('exit', () => {
        settle({ kind: 'threw', error: `the process ended: ${this.#said.trim()}` });
      });
      this.#child.send(job);
    });
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}
