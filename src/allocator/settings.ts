/** The cluster settings that placement obeys, as one plain value. */
import { kvSettings, type ClusterSettings } from '../kv/index.ts';
import { type AllocatorSettings, type LoadMoves } from './types.ts';

/** `loadBandMin.qps` is `requestsMin`; default 100. */
export function allocatorSettings(from: ClusterSettings, requestsMin = 100): AllocatorSettings {
  return {
    rangeThreshold: from.get(kvSettings.rangeRebalanceThreshold),
    leaseThreshold: from.get(kvSettings.leaseRebalanceThreshold),
    loadThreshold: from.get(kvSettings.qpsRebalanceThreshold),
    loadObjective: from.get(kvSettings.loadBasedObjective) === 'cpu' ? 'cpu' : 'qps',
    loadMoves: loadMoves(from),
    loadBandMin: { qps: requestsMin, cpu: 50 },
  };
}

/** Load is where the lease is: without moving leases, moving replicas would change nothing. */
function loadMoves(from: ClusterSettings): LoadMoves {
  if (!from.get(kvSettings.loadBasedLeaseRebalancing)) return 'nothing';
  switch (from.get(kvSettings.loadBasedRebalancing)) {
    case 'off':
      return 'nothing';
    case 'leases':
      return 'leases';
    default:
      return 'leases and replicas';
  }
}
