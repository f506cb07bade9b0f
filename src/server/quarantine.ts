/**
 * A store that must not be used again: it has lost something it promised, or is an older copy of itself. It could not
 * know any more whom it voted for or what it acknowledged, so it never takes part again; its data comes back as
 * new replicas of a new store.
 *
 *   DAMAGED            why, one sentence: written when the damage is found; no start gets past it
 *   quarantined-TIME   what `skein store quarantine` has set aside; nothing is ever deleted
 *   REPLACES           who the store was (as STORE): the next start joins the same cluster with ids of its own, and
 *                      tells the others that the former store is gone
 *
 * The folder itself stays where it is: it may be the root of a volume.
 */
import { CorruptionError } from '../storage/index.ts';
import { sleep, type Disk, type Env } from '../util/index.ts';
import { ballastName } from './ballast.ts';
import { encodeIdentity, readIdentityFile, type StoreIdentity } from './identity.ts';

const damagedName = 'DAMAGED';
const replacesName = 'REPLACES';
const asidePrefix = 'quarantined-';
/** What the new store may find in its folder, and what stays there for it. */
const staying = new Set([replacesName, ballastName]);
/** The process ends anyway, with or without the mark. */
const markTimeoutMs = 2_000;

/** Never rejects: the mark saves a second look at a damaged store, no more. */
export async function markDamaged(env: Env, storePath: string, reason: string): Promise<void> {
  const mark = async (): Promise<void> => {
    const path = `${storePath}/${damagedName}`;
    if ((await env.disk.readFile(path)) !== undefined) return;
    await env.disk.replaceFile(path, Buffer.from(`${reason}\n`, 'utf8'));
  };
  const marked = mark().catch((error: unknown) => {
    env.log.error({ err: error }, 'a damaged store could not be marked');
  });
  await Promise.race([marked, sleep(env, markTimeoutMs)]);
}

/** Throws CorruptionError when the store was found damaged before. */
export async function refuseDamaged(disk: Disk, storePath: string): Promise<void> {
  const reason = await disk.readFile(`${storePath}/${damagedName}`);
  if (reason !== undefined) throw new CorruptionError(reason.toString('utf8').trim());
}

export class NotDamagedError extends Error {
  override readonly name = 'NotDamagedError';
}

/**
 * Sets a store aside that a start has refused: a running store has no mark, so none is taken away. `time` names the folder;
 * interrupted half-way, it can be called again. Returns the folder, and the former identity when it could be read.
 */
export async function quarantineStore(
  disk: Disk,
  storePath: string,
  time: string,
): Promise<{ readonly folder: string; readonly identity: StoreIdentity | undefined }> {
  if ((await disk.readFile(`${storePath}/${damagedName}`)) === undefined) {
    throw new NotDamagedError(
      `no start has refused the store in ${storePath}; a store is set aside only when its own node does not use it.`,
    );
  }
  const own = await readIdentityFile(disk, `${storePath}/STORE`).catch(() => undefined);
  if (own !== undefined) {
    await disk.replaceFile(`${storePath}/${replacesName}`, encodeIdentity(own));
  }
  const identity = own ?? (await readReplaced(disk, storePath).catch(() => undefined));
  const folder = `${storePath}/${asidePrefix}${time}`;
  await disk.mkdir(folder);
  // What cannot be read would be refused again.
  const goes = (name: string): boolean =>
    name === replacesName ? identity === undefined : !mayStay(name);
  const names = (await disk.list(storePath)).filter(goes);
  // The mark goes last: until then the folder is refused.
  for (const name of [...names.filter((each) => each !== damagedName), damagedName]) {
    await disk.rename(`${storePath}/${name}`, `${folder}/${name}`);
  }
  await disk.syncDir(folder);
  await disk.syncDir(storePath);
  return { folder, identity };
}

/** True for what does not make a folder a store. */
export function mayStay(name: string): boolean {
  return staying.has(name) || name.startsWith(asidePrefix);
}

/** A store was set aside here: what it held is found at the other nodes, so this one never founds a cluster. */
export async function hasQuarantined(disk: Disk, storePath: string): Promise<boolean> {
  return (await disk.list(storePath)).some((name) => name.startsWith(asidePrefix));
}

/** The store that was set aside here. */
export function readReplaced(disk: Disk, storePath: string): Promise<StoreIdentity | undefined> {
  return readIdentityFile(disk, `${storePath}/${replacesName}`);
}
