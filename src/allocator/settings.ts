/** The cluster settings that placement obeys, as one plain value. */
import { kvSettings, type ClusterSettings } from '../kv/index.ts';
import { type AllocatorSettings } from './types.ts';

export function allocatorSettings(from: ClusterSettings): AllocatorSettings {
  const mode = from.get(kvSettings.loadBasedRebalancing);
  return {
    rangeThreshold: from.get(kvSettings.rangeRebalanceThreshold),
    leaseThreshold: from.get(kvSettings.leaseRebalanceThreshold),
    loadThreshold: from.get(kvSettings.qpsRebalanceThreshold),
    loadObjective: from.get(kvSettings.loadBasedObjective) === 'cpu' ? 'cpu' : 'qps',
    loadMovesLeases: mode !== 'off' && from.get(kvSettings.loadBasedLeaseRebalancing),
    loadMovesReplicas: mode === 'leases and replicas',
  };
}
