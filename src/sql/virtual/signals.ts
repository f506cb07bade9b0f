/** pg_cancel_backend and pg_terminate_backend: sessions of any node (PostgreSQL 9.27.2). */
import { type SignalOutcome } from '../../kv/index.ts';
import { sleep } from '../../util/index.ts';
import { sqlError } from '../errors.ts';
import { type StatementContext } from '../session/types.ts';

const pollMs = 100;
const refusals = {
  cancel: {
    'not-superuser': 'must be a superuser to cancel superuser query',
    'not-member':
      'must be a member of the role whose query is being canceled or member of pg_signal_backend',
  },
  terminate: {
    'not-superuser': 'must be a superuser to terminate superuser process',
    'not-member':
      'must be a member of the role whose process is being terminated or member of pg_signal_backend',
  },
} as const;

/** True when it was asked for; with `waitMs`, when the session has ended within that time. */
export async function signalSession(
  context: StatementContext,
  kind: 'cancel' | 'terminate',
  pid: number,
  waitMs = 0,
): Promise<boolean> {
  if (waitMs < 0) throw sqlError('numericValueOutOfRange', '"timeout" must not be negative');
  const { control, env } = context;
  const send = (): Promise<SignalOutcome> =>
    control.signal({ kind, pid, by: context.eval.currentUser });
  const outcome = await send();
  if (outcome === 'gone') {
    context.notice('WARNING', '01000', `PID ${pid} is not a PostgreSQL backend process`);
    return false;
  }
  if (outcome !== 'sent') throw sqlError('insufficientPrivilege', refusals[kind][outcome]);
  if (waitMs === 0) return true;
  const endMs = env.clock.monotonicMs() + waitMs;
  for (let restMs = waitMs; restMs > 0; restMs = endMs - env.clock.monotonicMs()) {
    await sleep(env, Math.min(pollMs, restMs));
    context.checkCanceled();
    if ((await send()) === 'gone') return true;
  }
  const text = `backend with PID ${pid} did not terminate within ${waitMs} milliseconds`;
  context.notice('WARNING', '01000', text);
  return false;
}
