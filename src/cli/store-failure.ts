/** How a node ends whose store cannot go on: one sentence that says what to do, and an exit code that says which kind. */
import { DecommissionedError, ForeignStoreError, ballastName } from '../server/index.ts';
import { storeFaultOf } from '../storage/index.ts';
import { unreachable } from '../util/index.ts';

/** Documented in docs/STORES.md; the numbers are CockroachDB's where it has one. */
export const exitCodes = {
  /** Wrong flags, a port in use, a folder without permission, an unexpected error. */
  failed: 1,
  /** An error of the disk. */
  storeFailed: 7,
  diskFull: 10,
  /**
   * The store is of another cluster, its node was decommissioned, or it is damaged or outdated and must not be used
   * (`skein store quarantine`).
   */
  storeRefused: 11,
} as const;

export interface StoreFailure {
  readonly sentence: string;
  /** Undefined: only a signal ends the process, because an exit waits for the disk. */
  readonly exitCode: number | undefined;
}

export function storeFailure(error: Error, storePath: string): StoreFailure {
  if (error instanceof ForeignStoreError || error instanceof DecommissionedError) {
    return { sentence: error.message, exitCode: exitCodes.storeRefused };
  }
  const fault = storeFaultOf(error);
  switch (fault) {
    case 'full':
      return {
        sentence:
          `the disk of ${storePath} is full (${error.message}). Delete ${storePath}/${ballastName} to have room for a ` +
          `start, start the node again, and free room: drop data, add nodes or enlarge the volume.`,
        exitCode: exitCodes.diskFull,
      };
    case 'stalled':
      return {
        sentence: `${error.message}; this node ends, the others go on. Look at the disk of ${storePath} before you start it again.`,
        exitCode: undefined,
      };
    case 'damaged':
      return {
        sentence:
          `the store in ${storePath} is not used: ${error.message}. ` +
          `To set it aside and get a new one from the other nodes, run ` +
          `"skein store quarantine --store=path=${storePath}" and start this node again.`,
        exitCode: exitCodes.storeRefused,
      };
    case 'failed':
      return {
        sentence: `the store in ${storePath} cannot go on: ${error.message}; this node ends, the others go on.`,
        exitCode: exitCodes.storeFailed,
      };
    default:
      return unreachable(fault);
  }
}
