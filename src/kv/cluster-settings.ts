/**
 * Cluster settings: values that SET CLUSTER SETTING changes for all nodes at once. This file says what a setting
 * is, lists those that layers below SQL obey, and holds what one node knows of their values.
 *
 *     SET CLUSTER SETTING -> system.settings -> catalog of every node -> ClusterSettings -> store
 *
 * A reader asks at each use, so a change takes effect with the next one; it reaches every node with the catalog:
 * at once where the node can be told, otherwise with the next renewal of its catalog lease. Until a node has read the
 * catalog for the first time the defaults hold.
 */

/** b boolean, i integer, f float, z bytes, d duration, e enumeration, s string. */
export type SettingType = 'b' | 'i' | 'f' | 'z' | 'd' | 'e' | 's';

export interface ClusterSetting<T extends string | number | boolean = string | number | boolean> {
  readonly name: string;
  readonly type: SettingType;
  /** z in bytes, d in milliseconds. */
  readonly defaultValue: T;
  readonly description: string;
  /** Values of an enumeration in order of their numbers. */
  readonly choices?: readonly string[];
  readonly min?: number;
  /** Old name that still works. */
  readonly alias?: string;
}

const mib = 1 << 20;

function bytes(
  name: string,
  defaultValue: number,
  min: number,
  description: string,
): ClusterSetting<number> {
  return { name, type: 'z', defaultValue, min, description };
}

/** Only what is obeyed stands here: whoever adds a setting adds its reader. In the order of their names. */
export const kvSettings = {
  snapshotRebalanceMaxRate: bytes(
    'kv.snapshot_rebalance.max_rate',
    32 * mib,
    mib,
    'bytes per second that a store sends in snapshots which only move replicas',
  ),
  snapshotRecoveryMaxRate: bytes(
    'kv.snapshot_recovery.max_rate',
    32 * mib,
    mib,
    'bytes per second that a store sends in snapshots for ranges which lack a replica',
  ),
} as const;

/** The value of a stored text; undefined stands for the default. */
export function settingValue<T extends string | number | boolean>(
  setting: ClusterSetting<T>,
  stored: string | undefined,
): T {
  if (stored === undefined) return setting.defaultValue;
  switch (typeof setting.defaultValue) {
    case 'number':
      return Number(stored) as T;
    case 'boolean':
      return (stored === 'true') as T;
    default:
      return stored as T;
  }
}

/** The settings in force, as one node knows them. */
export class ClusterSettings {
  /** Texts of those that differ from their default, by name. */
  #stored: ReadonlyMap<string, string> = new Map();

  get<T extends string | number | boolean>(setting: ClusterSetting<T>): T {
    return settingValue(setting, this.#stored.get(setting.name));
  }

  /** Takes over all stored values, checked by whoever stored them. */
  update(stored: ReadonlyMap<string, string>): void {
    this.#stored = stored;
  }
}
