/** Who a store is: written once into its folder, checked at every start (traps L9, L14). */
import { crc32 } from 'node:zlib';
import { type NodeId, type StoreId, asNodeId, asStoreId } from '../kv/index.ts';
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
/** Format 1 was the same without the second line, the checksum of the first. */
const formatVersion = 2;

/** The folder holds something else than a Skein store, or one this program cannot read. */
export class ForeignStoreError extends Error {
  override readonly name = 'ForeignStoreError';
}

/** Undefined for an empty or absent folder: a new store. */
export async function readIdentity(disk: Disk, path: string): Promise<StoreIdentity | undefined> {
  const content = await disk.readFile(`${path}/${fileName}`);
  if (content === undefined) {
    const others = await disk.list(path);
    if (others.length > 0) {
      throw new ForeignStoreError(
        `${path} holds files that are not of a Skein store; choose another folder.`,
      );
    }
    return undefined;
  }
  let parsed: unknown;
  try {
    const [text = '', seal, ...rest] = content.toString('utf8').split('\n');
    parsed = JSON.parse(text);
    const format =
      typeof parsed === 'object' && parsed !== null && 'format' in parsed && parsed.format;
    const isOld = format === 1 && seal === '' && rest.length === 0;
    if (!isOld && (seal !== sealOf(text) || rest.join() !== '')) parsed = undefined;
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
    throw new ForeignStoreError(
      `${path}/${fileName} is damaged; this store cannot be used: remove the folder and start again, as a new node.`,
    );
  }
  if (parsed.format !== formatVersion && parsed.format !== 1) {
    throw new ForeignStoreError(
      `${path} was written by another version of Skein (format ${String(parsed.format)}).`,
    );
  }
  if ('complete' in parsed && parsed.complete === false) {
    throw new ForeignStoreError(
      `the first start in ${path} was interrupted before anything was stored; remove the folder and start again.`,
    );
  }
  return {
    clusterId: parsed.clusterId,
    nodeId: asNodeId(parsed.nodeId),
    storeId: asStoreId(parsed.storeId),
  };
}

export async function writeIdentity(
  disk: Disk,
  path: string,
  identity: StoredIdentity,
): Promise<void> {
  const text = JSON.stringify({ format: formatVersion, ...identity });
  const content = `${text}\n${sealOf(text)}\n`;
  await disk.mkdir(path);
  await disk.replaceFile(`${path}/${fileName}`, Buffer.from(content, 'utf8'));
}

function sealOf(text: string): string {
  return `crc ${crc32(text)}`;
}
