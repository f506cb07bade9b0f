/**
 * How scripts write stores, zones and replicas:
 *
 *   store 1,2 ranges=10 leases=3 at=eu/a attrs=ssd,fast status=dead    node=<id> unless it is given
 *   zone replicas=5 voters=3 constraints=2:+region=eu;1:+region=us prefer=+region=eu;+region=us
 *   1,2,3N                                   replicas by store; N non-voter, L learner, O outgoing voter
 */
import { type StorePicture, type StoreStatus } from '../../src/allocator/index.ts';
import {
  asNodeId,
  asReplicaId,
  asStoreId,
  defaultZoneConfig,
  type Constraint,
  type ConstraintGroup,
  type ReplicaDescriptor,
  type ReplicaKind,
  type ZoneConfig,
} from '../../src/kv/index.ts';

const tiers = ['region', 'zone', 'rack'];
const statuses: readonly StoreStatus[] = [
  'live',
  'suspect',
  'dead',
  'draining',
  'decommissioning',
  'decommissioned',
];
const kinds: Readonly<Record<string, ReplicaKind>> = {
  N: 'non-voter',
  L: 'learner',
  O: 'voter-outgoing',
};

export type Options = ReadonlyMap<string, string>;

/** `known`: what the store was before; options that are not given stay. */
export function parseStore(
  id: number,
  options: Options,
  known: StorePicture | undefined,
): StorePicture {
  const number = (name: string, otherwise: number | undefined): number =>
    Number(options.get(name) ?? otherwise ?? 0);
  const at = options.get('at');
  const attributes = options.get('attrs');
  return {
    storeId: asStoreId(id),
    nodeId: asNodeId(number('node', known?.nodeId ?? id)),
    status: statuses.find((each) => each === options.get('status')) ?? known?.status ?? 'live',
    locality: at === undefined ? (known?.locality ?? []) : parseLocality(at),
    attributes: attributes === undefined ? (known?.attributes ?? []) : attributes.split(','),
    rangeCount: number('ranges', known?.rangeCount),
    leaseCount: number('leases', known?.leaseCount),
    qps: number('qps', known?.qps),
    cpuMs: number('cpu', known?.cpuMs),
    usedBytes: number('used', known?.usedBytes),
    availableBytes: number('free', known?.availableBytes),
  };
}

export function parseLocality(text: string): StorePicture['locality'] {
  return text.split('/').map((value, tier) => [tiers[tier] ?? '', value] as const);
}

export function parseZone(options: Options): ZoneConfig {
  const voters = options.get('voters');
  const prefer = options.get('prefer');
  return {
    ...defaultZoneConfig,
    numReplicas: Number(options.get('replicas') ?? 3),
    numVoters: voters === undefined ? undefined : Number(voters),
    constraints: parseGroups(options.get('constraints')),
    voterConstraints: parseGroups(options.get('voter_constraints')),
    leasePreferences: prefer === undefined ? [] : prefer.split(';').map(parseConstraints),
  };
}

function parseGroups(text: string | undefined): ConstraintGroup[] {
  if (text === undefined) return [];
  return text.split(';').map((each) => {
    const [count = '', list] = each.split(':');
    return list === undefined
      ? { replicas: 0, constraints: parseConstraints(count) }
      : { replicas: Number(count), constraints: parseConstraints(list) };
  });
}

function parseConstraints(text: string): Constraint[] {
  return text.split(',').map((each) => {
    const [key = '', value] = each.slice(1).split('=');
    const isRequired = each.startsWith('+');
    return value === undefined
      ? { isRequired, key: undefined, value: key }
      : { isRequired, key, value };
  });
}

export function parseReplicas(
  text: string,
  stores: ReadonlyMap<number, StorePicture>,
): ReplicaDescriptor[] {
  return text.split(',').map((each, at) => {
    const id = Number.parseInt(each, 10);
    return {
      nodeId: stores.get(id)?.nodeId ?? asNodeId(id),
      storeId: asStoreId(id),
      replicaId: asReplicaId(at + 1),
      kind: kinds[each.replace(/\d/g, '')] ?? 'voter',
    };
  });
}
