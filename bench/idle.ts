/** What a three-node cluster costs that does nothing: share of one core and resident memory per node. */
import { startBenchCluster } from './cluster.ts';
import { machineLine, printTable, processUsage } from './process.ts';

const settleMs = 12_000;
const measureMs = 20_000;

export async function runIdleBench(): Promise<void> {
  const skein = await startBenchCluster({});
  try {
    await new Promise((resolve) => setTimeout(resolve, settleMs));
    const pids = skein.ports.map((_, i) => skein.cluster.pid(i) ?? 0);
    const before = await Promise.all(pids.map(processUsage));
    const startMs = performance.now();
    await new Promise((resolve) => setTimeout(resolve, measureMs));
    const seconds = (performance.now() - startMs) / 1000;
    const after = await Promise.all(pids.map(processUsage));
    console.log(`\n${machineLine()}; idle for ${(measureMs / 1000).toFixed(0)} s\n`);
    printTable(
      ['node', 'processor', 'wanted', 'memory', 'wanted'],
      pids.map((_, i) => {
        const cpu = ((after[i]?.cpuSeconds ?? NaN) - (before[i]?.cpuSeconds ?? NaN)) / seconds;
        const rss = (after[i]?.rssBytes ?? NaN) / 1e6;
        return [
          String(i + 1),
          `${(cpu * 100).toFixed(1)} %`,
          '< 3 %',
          `${rss.toFixed(0)} MB`,
          '< 150 MB',
        ];
      }),
    );
  } finally {
    await skein.stop();
  }
}
