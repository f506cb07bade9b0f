/** The first question of every start: whose stores are in these folders, and if nobody's, who lets this node in? */
import { type NodeId, type StoreId } from '../kv/index.ts';
import { ForeignStoreError, readIdentity, type StoreIdentity } from './identity.ts';
import { hasLeft } from './left-store.ts';
import { type Membership } from './membership.ts';
import { hasQuarantined, mayStay, readReplaced, refuseDamaged } from './quarantine.ts';
import { type StoreHome } from './store-home.ts';

export interface Arrival {
  readonly clusterId: string;
  readonly nodeId: NodeId;
  readonly kind: 'founded' | 'joined' | 'restarted';
  /** What the member that let this node in knows (GossipNode.exportAll). */
  readonly gossip: unknown;
}

export interface ArrivalOptions {
  /** None: a node that serves SQL only. */
  readonly homes: readonly StoreHome[];
  readonly membership: Membership;
  /** Found a cluster at once when the folders are empty. */
  readonly singleNode: boolean;
  readonly join: readonly string[];
  readonly onWaiting: () => void;
}

/**
 * Fills in `identity`, `hasLeft` and `replaced` of the homes; one without an identity gets its store once the node serves. The
 * identity is written before the store: a start that was cut short never leaves files that nobody knows.
 */
export async function arrive(options: ArrivalOptions): Promise<Arrival> {
  const { homes, membership, singleNode, join } = options;
  for (const home of homes) await look(home);
  const known = sameNode(homes);
  if (known !== undefined) {
    const { clusterId, nodeId } = known;
    return { clusterId, nodeId, kind: 'restarted', gossip: undefined };
  }
  const [first] = homes;
  const aside = await firstQuarantined(homes);
  if (aside !== undefined && join.length === 0) {
    throw new ForeignStoreError(
      `the store that was set aside in ${aside.path} has no other nodes to be rebuilt from; restore a backup into an empty folder.`,
    );
  }
  const mayFound = first !== undefined && aside === undefined;
  if (singleNode && mayFound) {
    const { identity } = membership.foundNow();
    await first.own(identity, false);
    return arrived(identity, 'founded', undefined);
  }
  options.onWaiting();
  const { identity, gossip, founded } = await membership.wait({ mayFound });
  for (const { replaced, path } of homes) {
    if (replaced === undefined || replaced.clusterId === identity.clusterId) continue;
    throw new ForeignStoreError(
      `the nodes named by --join are of cluster ${identity.clusterId}, the store that was set aside in ${path} ` +
        `was of cluster ${replaced.clusterId}; correct --join or choose another folder.`,
    );
  }
  await first?.own(identity, !founded);
  return arrived(identity, founded ? 'founded' : 'joined', gossip);
}

function arrived(
  { clusterId, nodeId }: { readonly clusterId: string; readonly nodeId: NodeId },
  kind: Arrival['kind'],
  gossip: unknown,
): Arrival {
  return { clusterId, nodeId, kind, gossip };
}

async function look(home: StoreHome): Promise<void> {
  const { disk } = home.env;
  try {
    await refuseDamaged(disk, home.path);
    home.identity = await readIdentity(disk, home.path, mayStay);
    home.replaced = await readReplaced(disk, home.path);
    home.hasLeft = await hasLeft(disk, home.path);
  } catch (error) {
    await home.fail(error);
    throw error;
  }
}

/** Whose stores they are; undefined when there are none yet. */
function sameNode(homes: readonly StoreHome[]): StoreIdentity | undefined {
  const [first, ...others] = homes.filter(({ identity }) => identity !== undefined);
  const mine = first?.identity;
  const stores = new Set<StoreId | undefined>([mine?.storeId]);
  for (const { identity, path } of others) {
    const isOurs = identity?.clusterId === mine?.clusterId && identity?.nodeId === mine?.nodeId;
    if (!isOurs || stores.has(identity?.storeId)) {
      throw new ForeignStoreError(
        `the stores in ${first?.path ?? ''} and ${path} are not of one node; name the folders that this node had before, and empty ones.`,
      );
    }
    stores.add(identity?.storeId);
  }
  return mine;
}

async function firstQuarantined(homes: readonly StoreHome[]): Promise<StoreHome | undefined> {
  for (const home of homes) {
    if (await hasQuarantined(home.env.disk, home.path)) return home;
  }
  return undefined;
}
