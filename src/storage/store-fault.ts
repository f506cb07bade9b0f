/** Why a store cannot go on or cannot be opened: what is to be done about it depends on this alone. */
import { DiskStalledError } from '../util/index.ts';
import { CorruptionError } from './engine.ts';

/**
 * 'full': no room on the disk. 'stalled': the disk does not answer. 'damaged': something that was stored is gone or
 * changed, so the store must be rebuilt. 'failed': any other error of a write, read or fsync.
 */
export type StoreFault = 'full' | 'stalled' | 'damaged' | 'failed';

/** Looks at the error and what caused it. */
export function storeFaultOf(error: unknown): StoreFault {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof CorruptionError) return 'damaged';
    if (at instanceof DiskStalledError) return 'stalled';
    const code = 'code' in at ? at.code : undefined;
    if (code === 'ENOSPC' || code === 'EDQUOT') return 'full';
  }
  return 'failed';
}
