/** The first question of every start: whose store is in this folder, and if nobody's, who lets this node in? */
import { type Disk } from '../util/index.ts';
import { ForeignStoreError, readIdentity, writeIdentity, type StoreIdentity } from './identity.ts';
import { type Membership } from './membership.ts';
import { hasQuarantined, mayStay, readReplaced, refuseDamaged } from './quarantine.ts';

export interface Arrival {
  readonly identity: StoreIdentity;
  readonly kind: 'founded' | 'joined' | 'restarted';
  /** What the member that let this node in knows (GossipNode.exportAll). */
  readonly gossip: unknown;
  /** The store that was set aside in this folder. */
  readonly replaced: StoreIdentity | undefined;
}

export interface ArrivalOptions {
  readonly disk: Disk;
  readonly storePath: string;
  readonly membership: Membership;
  /** Found a cluster at once when the folder is empty. */
  readonly singleNode: boolean;
  readonly join: readonly string[];
  readonly onWaiting: () => void;
}

/** The identity is written before the store: a start that was cut short never leaves files that nobody knows. */
export async function arrive(options: ArrivalOptions): Promise<Arrival> {
  const { disk, storePath, membership, singleNode, join } = options;
  await refuseDamaged(disk, storePath);
  const known = await readIdentity(disk, storePath, mayStay);
  const replaced = await readReplaced(disk, storePath);
  if (known !== undefined) {
    return { identity: known, kind: 'restarted', gossip: undefined, replaced };
  }
  const mayFound = !(await hasQuarantined(disk, storePath));
  if (!mayFound && join.length === 0) {
    throw new ForeignStoreError(
      `the store that was set aside in ${storePath} has no other nodes to be rebuilt from; restore a backup into an empty folder.`,
    );
  }
  if (singleNode && mayFound) {
    const { identity } = membership.foundNow();
    await writeIdentity(disk, storePath, { ...identity, complete: false });
    return { identity, kind: 'founded', gossip: undefined, replaced };
  }
  options.onWaiting();
  const { identity, gossip, founded } = await membership.wait({ mayFound });
  if (replaced !== undefined && replaced.clusterId !== identity.clusterId) {
    throw new ForeignStoreError(
      `the nodes named by --join are of cluster ${identity.clusterId}, the store that was set aside in ${storePath} ` +
        `was of cluster ${replaced.clusterId}; correct --join or choose another folder.`,
    );
  }
  await writeIdentity(disk, storePath, { ...identity, complete: !founded });
  return { identity, kind: founded ? 'founded' : 'joined', gossip, replaced };
}
