/** Who a store is: written once into its folder, checked at every start (traps L9, L14). */
import { crc32 } from 'node:zlib';
import { type NodeId, type StoreId, asNodeId, asStoreId } from '../kv/index.ts';
import { CorruptionError } from '../storage/index.ts';
import { type Disk } from '../util/index.ts';

export interface StoreIdentity {
  readonly clusterId: string;
  readonly nodeId: NodeId;
  readonly storeId: StoreId;
}

/** As written: `complete` is false while the founder's store gets its first contents. */
export interface StoredIdentity extends StoreIdentity {
  readonly complete: boolean;
}

const fileName = 'STORE';
/** Of everything in the store's folder; a store of another format is refused. */
const formatVersion = 4;

/** The folder holds something else than a Skein store of this cluster, or one this program cannot read. */
export class ForeignStoreError extends Error {
  override readonly name = 'ForeignStoreError';
}

/** The node was decommissioned: it holds nothing any more, and the cluster goes on without it for good. */
export class DecommissionedError extends Error {
  override readonly name = 'DecommissionedError';

  constructor(nodeId: NodeId, storePath: string) {
    super(
      `node ${nodeId} was decommissioned and is not part of the cluster any more; ` +
        `remove ${storePath} and start again to join as a new node.`,
    );
  }
}

/** Undefined for a folder without a store. `mayStay`: names that a new store may find. Throws CorruptionError when it is damaged. */
export async function readIdentity(
  disk: Disk,
  path: string,
  mayStay: (name: string) => boolean,
): Promise<StoreIdentity | undefined> {
  const identity = await readIdentityFile(disk, `${path}/${fileName}`);
  if (identity === undefined) {
    const others = await disk.list(path);
    if (others.some((name) => !mayStay(name))) {
      throw new ForeignStoreError(
        `${path} holds files that are not of a Skein store; choose another folder.`,
      );
    }
    return undefined;
  }
  if (!identity.complete) {
    throw new ForeignStoreError(
      `the first start in ${path} was interrupted before anything was stored; remove the folder and start again.`,
    );
  }
  const { clusterId, nodeId, storeId } = identity;
  return { clusterId, nodeId, storeId };
}

/** Undefined when there is no such file. */
export async function readIdentityFile(
  disk: Disk,
  path: string,
): Promise<StoredIdentity | undefined> {
  const content = await disk.readFile(path);
  if (content === undefined) return undefined;
  let parsed: unknown;
  try {
    const [text = '', seal, ...rest] = content.toString('utf8').split('\n');
    parsed = JSON.parse(text);
    if (seal !== sealOf(text) || rest.join() !== '') parsed = undefined;
  } catch {
    parsed = undefined;
  }
  if (
    typeof parsed !== 'object' ||
    parsed === null ||
    !('format' in parsed) ||
    !('clusterId' in parsed && typeof parsed.clusterId === 'string') ||
    !('nodeId' in parsed && typeof parsed.nodeId === 'number') ||
    !('storeId' in parsed && typeof parsed.storeId === 'number')
  ) {
    throw new CorruptionError(`${path} is damaged: nobody knows whose store this is`);
  }
  if (parsed.format !== formatVersion) {
    throw new ForeignStoreError(
      `${path} was written by another version of Skein (format ${String(parsed.format)}).`,
    );
  }
  return {
    clusterId: parsed.clusterId,
    nodeId: asNodeId(parsed.nodeId),
    storeId: asStoreId(parsed.storeId),
    complete: !('complete' in parsed && parsed.complete === false),
  };
}

export async function writeIdentity(
  disk: Disk,
  path: string,
  identity: StoredIdentity,
): Promise<void> {
  await disk.mkdir(path);
  await disk.replaceFile(`${path}/${fileName}`, encodeIdentity(identity));
}

/** The content of an identity file. */
export function encodeIdentity(identity: StoreIdentity): Buffer {
  const text = JSON.stringify({ format: formatVersion, ...identity });
  return Buffer.from(`${text}\n${sealOf(text)}\n`, 'utf8');
}

function sealOf(text: string): string {
  return `crc ${crc32(text)}`;
}
