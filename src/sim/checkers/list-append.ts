/**
 * Checks transactions that append unique elements to lists and read lists. A list tells all its earlier versions,
 * so the order of the writes of each key, and with it who must come before whom, follows from what was
 * read (Kingsbury, Alvaro: "Elle", VLDB 2020). A history is serializable if and only if that
 * relation has no cycle.
 */
import { appendAnomalies } from './append-anomalies.ts';
import { inferDependencies, type KeptOrder } from './append-dependencies.ts';
import { describe, type AppendTransaction } from './append-history.ts';
import { inferVersions } from './append-versions.ts';
import { describeCycle, findCycles } from './dependency-cycles.ts';
import { type Finding } from './history.ts';

/**
 * Every anomaly found, with its transactions; empty when the history is serializable, in an order that agrees
 * with `kept`. No element may be appended twice to a key.
 */
export function checkListAppend(
  history: readonly AppendTransaction[],
  kept: KeptOrder = 'conflicts',
): Finding[] {
  const versions = inferVersions(history);
  const cycles = findCycles(history.length, inferDependencies(history, versions, kept));
  return [
    ...appendAnomalies(history, versions),
    ...cycles.map((cycle) => ({
      anomaly: cycle.anomaly,
      text: describeCycle(cycle, (index) => describe(history, index)),
    })),
  ];
}
