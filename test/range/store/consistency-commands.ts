/** Commands of scripts about replicas that differ from each other, and from what their zones want. */
import { type RangeCheck } from '../../../src/kv/index.ts';
import { headKey } from '../../../src/storage/index.ts';
import { must } from '../../../src/util/index.ts';
import { type Cluster } from './cluster.ts';

/** One bit of what one machine holds of `key` turns, and its engine takes it for what was written. */
export function flipNewestValue(cluster: Cluster, id: number, key: Buffer): void {
  const { engine } = cluster.machine(id);
  const at = headKey(key);
  const value = Buffer.from(must(engine.get(at), 'the key is there'));
  value[value.length - 1] = must(value.at(-1)) ^ 1;
  engine.apply([{ key: at, value }]);
}

/** Checksums stand in the order in which they were met: their bytes change with every timestamp. */
export function showChecks(checks: readonly RangeCheck[]): string {
  const names = new Map<string, string>();
  return checks
    .map(({ range, status, detail }) => {
      const told = detail.replace(/\b[0-9a-f]{12}\b/g, (checksum) => {
        const name = names.get(checksum) ?? `checksum ${names.size + 1}`;
        names.set(checksum, name);
        return name;
      });
      const figures = told.replace(/\{[^}]*\}/g, '...');
      return `${range.rangeId} ${status}${figures === '' ? '' : `: ${figures}`}`;
    })
    .join('\n');
}

/** What each live store reports of its ranges. */
export function showConformance(cluster: Cluster): string {
  return cluster
    .live()
    .flatMap(({ id, store }) =>
      store.reports.conformance().map((each) => {
        const words = [
          each.isLed ? 'led' : 'without a leader',
          each.isUnavailable ? 'unavailable' : 'available',
          ...(each.isUnderReplicated ? ['under-replicated'] : []),
          ...(each.isOverReplicated ? ['over-replicated'] : []),
          ...each.violations.map(({ type, constraint }) => `violates ${type} ${constraint}`),
          ...(each.criticalNodes.length > 0 ? [`cannot lose ${each.criticalNodes.join()}`] : []),
        ];
        return `${id}: range ${each.rangeId} ${words.join(', ')}`;
      }),
    )
    .join('\n');
}
