/** The variables of zone configurations: their names, how values are read and written. */
import { sqlError } from '../errors.ts';
import {
  formatConstraints,
  formatLeasePreferences,
  parseConstraints,
  parseLeasePreferences,
} from './constraint-text.ts';
import { type ZoneConfig } from './zones.ts';

export interface ZoneField {
  readonly field: keyof ZoneConfig;
  readonly name: string;
  /** A configuration in which this alone is set. Throws 22023. */
  readonly read: (text: string) => ZoneConfig;
  /** Undefined when it is not set. */
  readonly text: (config: ZoneConfig) => string | undefined;
  /** The text is a string in SQL. */
  readonly isQuoted: boolean;
}

/** In the order in which they are shown. */
export const zoneFields: readonly ZoneField[] = [
  integer('range_min_bytes', 'rangeMinBytes'),
  integer('range_max_bytes', 'rangeMaxBytes'),
  integer('gc.ttlseconds', 'gcTtlSeconds'),
  {
    field: 'globalReads',
    name: 'global_reads',
    read: (text) => ({ globalReads: boolean('global_reads', text) }),
    text: ({ globalReads }) => globalReads?.toString(),
    isQuoted: false,
  },
  integer('num_replicas', 'numReplicas'),
  integer('num_voters', 'numVoters'),
  {
    field: 'constraints',
    name: 'constraints',
    read: (text) => ({ constraints: parseConstraints('constraints', text) }),
    text: ({ constraints }) =>
      constraints === undefined ? undefined : formatConstraints(constraints),
    isQuoted: true,
  },
  {
    field: 'voterConstraints',
    name: 'voter_constraints',
    read: (text) => ({ voterConstraints: parseConstraints('voter_constraints', text) }),
    text: ({ voterConstraints }) =>
      voterConstraints === undefined ? undefined : formatConstraints(voterConstraints),
    isQuoted: true,
  },
  {
    field: 'leasePreferences',
    name: 'lease_preferences',
    read: (text) => ({ leasePreferences: parseLeasePreferences('lease_preferences', text) }),
    text: ({ leasePreferences }) =>
      leasePreferences === undefined ? undefined : formatLeasePreferences(leasePreferences),
    isQuoted: true,
  },
];

type IntegerField =
  | 'rangeMinBytes'
  | 'rangeMaxBytes'
  | 'gcTtlSeconds'
  | 'numReplicas'
  | 'numVoters';

function integer(name: string, field: IntegerField): ZoneField {
  return {
    field,
    name,
    read: (text) => {
      const value = Number(text);
      if (text.trim() !== '' && Number.isSafeInteger(value)) return { [field]: value };
      throw sqlError('invalidParameterValue', `${name} must be an integer, not "${text}"`);
    },
    text: (config) => config[field]?.toString(),
    isQuoted: false,
  };
}

function boolean(name: string, text: string): boolean {
  const value = text.toLowerCase();
  if (['true', 't', 'on', 'yes', '1'].includes(value)) return true;
  if (['false', 'f', 'off', 'no', '0'].includes(value)) return false;
  throw sqlError('invalidParameterValue', `${name} must be a boolean, not "${text}"`);
}
