/** pg_advisory_lock() and its relatives (PostgreSQL chapter 9.27.10). */
import { type StatementContext } from '../session/types.ts';
import { type Datum } from '../types/index.ts';
import { lockOf } from './advisory-keys.ts';
import { type AdvisoryLocks } from './advisory-locks.ts';
import { sourceOf } from './build.ts';

export async function callAdvisoryFunction(
  name: string,
  args: readonly Datum[],
  context: StatementContext,
  locks: AdvisoryLocks,
): Promise<Datum> {
  if (name === 'pg_advisory_unlock_all') {
    await locks.releaseAll();
    return '';
  }
  const lock = lockOf(sourceOf(context).databaseId, args);
  const mode = name.endsWith('_shared') ? 'share' : 'update';
  if (name.startsWith('pg_advisory_unlock')) {
    if (await locks.release(lock, mode)) return true;
    const type = mode === 'share' ? 'ShareLock' : 'ExclusiveLock';
    context.notice('WARNING', '01000', `you don't own a lock of type ${type}`);
    return false;
  }
  const wait = !name.startsWith('pg_try');
  const isGranted = await locks.take(lock, {
    mode,
    wait,
    scope: name.includes('_xact_') ? 'transaction' : 'session',
    txn: context.txn,
    checkCanceled: () => context.checkCanceled(),
  });
  return wait ? '' : isGranted;
}
