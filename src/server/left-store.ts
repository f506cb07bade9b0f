/**
 * A store that was decommissioned alone, without its node. It holds nothing any more and gets nothing; until the node is
 * stopped it goes on empty, from the next start on it is left out, and its disk can be taken away.
 *
 *   DECOMMISSIONED     one sentence: written when the node hears of it
 */
import { type Disk, type Env } from '../util/index.ts';

export const leftMarkName = 'DECOMMISSIONED';

/** What operators are told at each start. */
export function leftSentence(storeId: number, storePath: string): string {
  return `store ${storeId} in ${storePath} was decommissioned and is left out; empty the folder to have a new store there, or start without it`;
}

/** Never rejects: without the mark the store is opened once more, empty, and marked then. */
export async function markLeft(env: Env, storePath: string, storeId: number): Promise<void> {
  try {
    const sentence = Buffer.from(`${leftSentence(storeId, storePath)}\n`, 'utf8');
    await env.disk.replaceFile(`${storePath}/${leftMarkName}`, sentence);
  } catch (error) {
    env.log.error({ err: error, path: storePath }, 'a decommissioned store could not be marked');
  }
}

export async function hasLeft(disk: Disk, storePath: string): Promise<boolean> {
  return (await disk.readFile(`${storePath}/${leftMarkName}`)) !== undefined;
}
