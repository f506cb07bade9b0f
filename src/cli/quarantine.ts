/** `skein store quarantine`: sets a store aside that a start has refused. */
import { resolve } from 'node:path';
import { NotDamagedError, quarantineStore } from '../server/index.ts';
import { parseStoreSpec, Settings, UsageError } from './options.ts';
import { realDisk } from './real-disk.ts';

export async function runQuarantine(flags: Record<string, unknown>): Promise<void> {
  const settings = new Settings(flags);
  const path = resolve(parseStoreSpec(settings.text('store') ?? 'path=skein-data').path);
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  try {
    const { folder, identity } = await quarantineStore(realDisk, path, time);
    const whose = identity === undefined ? 'a store' : `store ${identity.storeId}`;
    console.log(
      `${whose} was set aside in ${folder}. Start the node again, with --join: it joins as a new node, unless it has other stores.`,
    );
  } catch (error) {
    if (error instanceof NotDamagedError) throw new UsageError(error.message);
    throw error;
  }
}
