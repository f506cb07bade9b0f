/**
 * Scripts over what a change would lead to and over reports on replication; stores, zones and replicas are written
 * as `words.ts` says. Every range is 10 bytes large.
 *
 *   range 7 1,2,3                      adds or changes a range
 *   zone replicas=5                    the zone of all ranges
 *   decommission 3,4                   what if these nodes were to go?
 *   decommission-stores 3,4 strict     what if these stores were to go? strict: what needs repair already is blocked
 *   what-if replicas=5                 what if the zone were this one?
 *   report                             conformance of all ranges
 *   counted-in 1,2 0 5 demand=5:constraint:+region=eu    ranges with keys of two zones, one of which demands something
 *   counts                             the same zone by zone
 */
import {
  allocatorSettings,
  conformance,
  replicationReport,
  whatIf,
  type ClusterChange,
  type RangeOutline,
  type StorePicture,
} from '../../src/allocator/index.ts';
import {
  asMember,
  asRangeId,
  ClusterSettings,
  type RangeConformance,
  type RangeZones,
  type ReplicationReport,
  type ReportZone,
} from '../../src/kv/index.ts';
import { runScripts, type ScriptCase } from '../script.ts';
import { parseReplicas, parseStore, parseZone } from './words.ts';

const directory = new URL('testdata/feasibility', import.meta.url).pathname;
const sizeBytes = 10;

class Runner {
  readonly #stores = new Map<number, StorePicture>();
  readonly #ranges = new Map<number, RangeOutline>();
  readonly #zonesOf = new Map<number, RangeZones>();
  #zone = parseZone(new Map());

  run({ command, args, options }: ScriptCase): string {
    const ids = (args[0] ?? '').split(',').map(Number);
    switch (command) {
      case 'store':
        for (const id of ids) {
          this.#stores.set(id, parseStore(id, options, this.#stores.get(id)));
        }
        return '';
      case 'range':
        for (const id of ids) {
          const replicas = parseReplicas(args[1] ?? '', this.#stores);
          this.#ranges.set(id, { rangeId: asRangeId(id), replicas, sizeBytes });
        }
        return '';
      case 'zone':
        this.#zone = parseZone(options);
        return '';
      case 'decommission':
      case 'decommission-stores': {
        const kind = command === 'decommission' ? 'node' : 'store';
        const members = ids.map((id) => asMember(kind, id));
        return this.#whatIf({ kind: 'decommission', members, strict: args[1] === 'strict' });
      }
      case 'what-if': {
        const zone = parseZone(options);
        return this.#whatIf({ kind: 'zones', zoneOf: () => zone });
      }
      case 'report':
        return [...this.#conformance()].map(printReport).join('\n');
      case 'counted-in': {
        const [zone = '', type, constraint = ''] = options.get('demand')?.split(':') ?? [];
        const zones: RangeZones = {
          replication: args.slice(1).map(zoneOf),
          constraints:
            type === 'constraint' || type === 'voter_constraint'
              ? [{ ...zoneOf(zone), type, constraint }]
              : [],
        };
        for (const id of ids) this.#zonesOf.set(id, zones);
        return '';
      }
      case 'counts':
        return printCounts(
          replicationReport(
            this.#conformance(),
            ({ rangeId }) => this.#zonesOf.get(rangeId) ?? { replication: [], constraints: [] },
          ),
        );
      default:
        throw new Error(`unknown command ${command}`);
    }
  }

  #conformance(): Iterable<RangeConformance> {
    return conformance([...this.#stores.values()], this.#ranges.values(), () => this.#zone);
  }

  #whatIf(change: ClusterChange<RangeOutline>): string {
    const { moves, blocked } = whatIf(
      {
        stores: [...this.#stores.values()],
        ranges: this.#ranges.values(),
        zoneOf: () => this.#zone,
        settings: allocatorSettings(new ClusterSettings()),
      },
      change,
    );
    return [
      ...moves.map(
        ({ rangeId, role, from, to, bytes }) =>
          `r${rangeId}: ${role} ${from ?? 'none'} -> ${to ?? 'none'}, ${bytes} bytes`,
      ),
      ...blocked.map(({ rangeId, reason }) => `r${rangeId} is blocked: ${reason}`),
    ].join('\n');
  }
}

function printReport(report: RangeConformance): string {
  const found = [
    report.isUnavailable ? 'unavailable' : '',
    report.isUnderReplicated ? 'under-replicated' : '',
    report.isOverReplicated ? 'over-replicated' : '',
    ...report.violations.map(({ type, constraint }) => `${type} ${constraint} violated`),
    report.criticalLocalities.length > 0 ? `critical: ${report.criticalLocalities.join(' ')}` : '',
  ].filter((each) => each !== '');
  return `r${report.rangeId}: ${found.length === 0 ? 'well' : found.join('; ')}`;
}

function zoneOf(text: string): ReportZone {
  const [zoneId, subzoneId] = text.split('/').map(Number);
  return { zoneId: zoneId ?? 0, subzoneId: subzoneId ?? 0 };
}

function printCounts({ stats, constraints, localities }: ReplicationReport): string {
  const at = ({ zoneId, subzoneId }: ReportZone): string => `${zoneId}/${subzoneId}`;
  return [
    ...stats.map(
      (each) =>
        `${at(each)}: ${each.totalRanges} ranges, ${each.unavailableRanges} unavailable, ` +
        `${each.underReplicatedRanges} under-replicated, ${each.overReplicatedRanges} over-replicated`,
    ),
    ...constraints.map(
      (each) => `${at(each)}: ${each.type} ${each.constraint} violated by ${each.violatingRanges}`,
    ),
    ...localities.map((each) => `${at(each)}: ${each.locality} critical for ${each.atRiskRanges}`),
  ].join('\n');
}

runScripts(directory, () => {
  const runner = new Runner();
  return (step) => runner.run(step);
});
