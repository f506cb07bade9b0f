/** What a store is built from. */
import {
  type ClusterSettings,
  type Db,
  type Gossip,
  type HlcClock,
  type NodeId,
  type RangeEvents,
  type RowProgramCompiler,
  type StoreId,
  type Transport,
  type ZoneConfig,
} from '../../kv/index.ts';
import { type Engine, type RaftLog } from '../../storage/index.ts';
import { type DiskWatch, type Env } from '../../util/index.ts';
import { type KeySender } from '../ports.ts';
import { type ReplicaHost } from '../replica/host.ts';
import { type ClockBoundFile } from './clock-bound.ts';
import { type StoreSettings } from './settings.ts';

export interface StoreDeps {
  readonly env: Env;
  readonly clock: HlcClock;
  readonly engine: Engine;
  readonly raftLog: RaftLog;
  readonly transport: Transport;
  readonly gossip: Gossip;
  readonly sender: KeySender;
  readonly db: Db;
  readonly executorFactory: ReplicaHost['executorFactory'];
  readonly rowPrograms: RowProgramCompiler | undefined;
  readonly nodeId: NodeId;
  readonly storeId: StoreId;
  /** Directory of this store's small files and staged snapshots. */
  readonly directory: string;
  readonly clockBound: ClockBoundFile;
  readonly clusterSettings: ClusterSettings;
  /** What has been under way on the disk for too long: while it lasts the store lets its leases go. */
  readonly diskWatch: Pick<DiskWatch, 'waitingMs'>;
  readonly zoneConfigFor: (key: Buffer) => ZoneConfig;
  /** Where zone configurations change between the two keys, both exclusive: ranges end there. */
  readonly zoneBoundariesIn: (start: Buffer, end: Buffer) => readonly Buffer[];
  /** False while `zoneConfigFor` can only tell the defaults: until then nothing is split, moved or thrown away. */
  readonly zonesKnown: () => boolean;
  /** Whether the job of that id has ended, or never was; absent: nobody knows about jobs. */
  readonly isJobGone?: (id: string) => Promise<boolean>;
  readonly locality?: readonly (readonly [string, string])[];
  /** Processor milliseconds that this process has used so far. */
  readonly usedCpuMs?: () => number;
  /** Of the store and its node: what constraints such as `+ssd` ask for. */
  readonly attributes?: readonly string[];
  /** The store is full at this size; undefined: at the disk's. */
  readonly capacityBytes?: number;
  readonly settings?: Partial<StoreSettings>;
  /** Store liveness has not heard of a node for as long as support lasts, or hears of it again. */
  readonly peerSilent: (node: NodeId, isSilent: boolean) => void;
  /** Told what happens to ranges that are led here. */
  readonly rangeEvents?: RangeEvents;
  /** Called once when the store cannot go on: the process exits with a sentence. */
  readonly onFatal: (error: unknown) => void;
}

export function usedCpuMs({ usedCpuMs: used }: StoreDeps): () => number {
  return used ?? ((): number => 0);
}
