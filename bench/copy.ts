/** Rows per second loaded by COPY FROM STDIN: one client, and one per node. */
import { skeinSql, startBenchCluster } from './cluster.ts';
import { machineLine, median, mustRun, printTable } from './process.ts';

const rows = 200_000;

export async function runCopyBench(): Promise<void> {
  const skein = await startBenchCluster({});
  try {
    const figures: Record<string, number[]> = { '1': [], '3': [] };
    const text = Array.from(
      { length: rows },
      (_, i) => `${i}\t${i % 1000}\tname-${i}\t${(i * 7919) % 100_000}.25`,
    ).join('\n');
    for (let round = 0; round < 3; round++) {
      for (const clients of [1, 3]) {
        const tables = Array.from({ length: clients }, (_, i) => `load_${clients}_${round}_${i}`);
        for (const table of tables) {
          await skeinSql(
            skein.ports[0] ?? 0,
            `CREATE TABLE ${table} (id int8 PRIMARY KEY, grp int4, name text, amount numeric(12,2))`,
          );
        }
        const startMs = performance.now();
        await Promise.all(
          tables.map((table, i) =>
            mustRun(
              'psql',
              [
                '-h',
                '127.0.0.1',
                '-p',
                String(skein.ports[i % skein.ports.length]),
                '-U',
                'root',
                '-d',
                'defaultdb',
                '-v',
                'ON_ERROR_STOP=1',
                '-X',
                '-q',
                '-c',
                `COPY ${table} FROM STDIN`,
              ],
              { input: `${text}\n` },
            ),
          ),
        );
        const seconds = (performance.now() - startMs) / 1000;
        figures[String(clients)]?.push((rows * clients) / seconds);
        const count = await skeinSql(
          skein.ports[1] ?? 0,
          `SELECT count(*) FROM ${tables[0] ?? ''}`,
        );
        if (Number(count) !== rows) throw new Error(`COPY lost rows: ${count.trim()} of ${rows}`);
      }
    }
    console.log(`\n${machineLine()}; COPY of ${rows} rows, medians of 3 runs\n`);
    printTable(
      ['clients', 'rows/s', 'wanted'],
      Object.entries(figures).map(([clients, values]) => [
        clients,
        median(values).toFixed(0),
        '30000',
      ]),
    );
  } finally {
    await skein.stop();
  }
}
