/** `skein demo`: the local runner with a face. It stays in the foreground; Ctrl-C stops all nodes. */
import { resolve } from 'node:path';
import { LocalCluster } from './local-cluster.ts';
import { Settings } from './options.ts';

export async function runDemo(flags: Record<string, unknown>): Promise<void> {
  const settings = new Settings(flags);
  const port = { min: 1024, max: 65_000 };
  const nodes = settings.integer('nodes', { min: 1, max: 16 }) ?? 3;
  const data = resolve(settings.text('data') ?? '.skein/demo');
  const cluster = new LocalCluster({
    nodes,
    data,
    sqlPort: settings.integer('sql-port', port) ?? 26257,
    rpcPort: settings.integer('rpc-port', port) ?? 26357,
    httpPort: settings.integer('http-port', port) ?? 8080,
    fresh: settings.flag('fresh'),
    say: (line) => console.log(line),
  });

  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    console.log('\nstopping ...');
    cluster.stop().then(
      () => {
        console.log('stopped; the data is kept for the next start');
        process.exit(0);
      },
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);

  console.log(`skein demo: ${nodes} ${nodes === 1 ? 'node' : 'nodes'}, data in ${data}`);
  await cluster.start();
  console.log(`ready: ${cluster.url(0)}`);
}
