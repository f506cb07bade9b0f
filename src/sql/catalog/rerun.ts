/** The node's own reads and registrations in the catalog are idempotent: what failed for a while is done again. */
import { type KvError, KvFailure } from '../../kv/index.ts';
import { type Env, sleep } from '../../util/index.ts';

const pauseMs = 100;

/** Runs idempotent `work` again for as long as it fails with one of these kinds. */
export async function rerun<T>(
  env: Pick<Env, 'log' | 'timers'>,
  kinds: readonly KvError['kind'][],
  work: () => Promise<T>,
): Promise<T> {
  while (true) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof KvFailure) || !kinds.includes(error.kvError.kind)) throw error;
      env.log.info({ reason: error.message }, 'the catalog is asked again');
    }
    await sleep(env, pauseMs);
  }
}
