/** The `skein` program: reads the command line, hands over to one file per command. */
import { Command, Option } from 'commander';
import { UsageError } from './options.ts';
import { version } from './version.ts';

const program = new Command('skein')
  .description('A distributed SQL database that speaks PostgreSQL')
  .version(version, '--version')
  .showHelpAfterError('(skein --help shows all commands)')
  .addHelpText(
    'after',
    `
Examples:
  skein demo                                             three nodes on this machine
  skein start-single-node --store=path=data --insecure   one node
  skein sql -e 'SELECT 1'                                a statement on a running node`,
  );

const nodeFlags = (command: Command): Command =>
  command
    .option(
      '--store <spec>',
      'where the data lies: path=DIR[,attrs=a:b][,size=20GB]; once for each disk',
      (spec: string, before: string[] | undefined) => [...(before ?? []), spec],
    )
    .option('--no-store', 'serve SQL only: the data lies on other nodes')
    .option('--listen-addr <addr>', 'address for other nodes (default 127.0.0.1:26357)')
    .option('--sql-addr <addr>', 'address for PostgreSQL clients (default 127.0.0.1:26257)')
    .option('--http-addr <addr>', 'address for health and metrics (default 127.0.0.1:8080)')
    .option('--advertise-addr <addr>', 'address told to other nodes (default: --listen-addr)')
    .option('--locality <tiers>', 'where the node stands: region=eu,zone=a')
    .option('--max-offset <ms>', 'largest clock difference between nodes in milliseconds')
    .option(
      '--ballast-size <size>',
      'a file to delete when the disk is full: 256MiB, 0 = none (default 1% of the volume, at most 256MiB)',
    )
    .option(
      '--max-sync-duration <ms>',
      'a disk that does not answer for so long ends the node (default 20000)',
    )
    .option('--insecure', 'no TLS and no passwords: trusted networks only')
    .option('--config <file>', 'YAML or JSON file with the same names as the flags')
    .option('--log-level <level>', 'debug, info, warn or error (default info)')
    .addOption(new Option('--log-format <format>').choices(['auto', 'json', 'pretty']))
    .option('--log-file <file>', 'write the log to a file instead of standard error');

nodeFlags(program.command('start'))
  .description('start a node and join it to a cluster')
  .option('--join <addrs>', 'addresses of some nodes of the cluster, separated by commas')
  .action(async (flags: Record<string, unknown>) => {
    const { runStart } = await import('./start.ts');
    await runStart(flags, { singleNode: false });
  });

nodeFlags(program.command('start-single-node'))
  .description('start a cluster of one node')
  .action(async (flags: Record<string, unknown>) => {
    const { runStart } = await import('./start.ts');
    await runStart(flags, { singleNode: true });
  });

program
  .command('init')
  .description('make a new cluster of the nodes that wait for one; once per cluster')
  .option('--host <addr>', 'node-to-node address of any of them (default 127.0.0.1:26357)')
  .option('--if-needed', 'succeed when the cluster is there already')
  .option('--insecure', 'the cluster runs without TLS')
  .action(async (flags: Record<string, unknown>) => {
    const { runInit } = await import('./init.ts');
    await runInit(flags);
  });

program
  .command('demo')
  .description('run a cluster of several nodes on this machine')
  .option('--nodes <n>', 'number of nodes (default 3)')
  .option('--data <dir>', 'where the data lies (default .skein/demo)')
  .option('--fresh', 'remove the data of an earlier demo first')
  .option('--sql-port <port>', 'SQL port of the first node (default 26257)')
  .option('--rpc-port <port>', 'node-to-node port of the first node (default 26357)')
  .option('--http-port <port>', 'HTTP port of the first node (default 8080)')
  .action(async (flags: Record<string, unknown>) => {
    const { runDemo } = await import('./demo.ts');
    await runDemo(flags);
  });

program
  .command('sql')
  .description('run statements, or open a shell')
  .option('-e, --execute <statement...>', 'run these statements and exit')
  .option('--url <url>', 'postgresql://user@host:port/database')
  .option('--host <addr>', 'SQL address of a node (default 127.0.0.1:26257)')
  .option('-d, --database <name>', 'database (default defaultdb)')
  .option('-u, --user <name>', 'user (default root)')
  .option('--insecure', 'no TLS')
  .action(async (flags: Record<string, unknown>) => {
    const { runSql } = await import('./sql-shell.ts');
    await runSql(flags);
  });

const clientFlags = (command: Command): Command =>
  command
    .option('--url <url>', 'postgresql://user@host:port/database')
    .option('--host <addr>', 'SQL address of a node (default 127.0.0.1:26257)')
    .option('--insecure', 'no TLS');

const node = program
  .command('node')
  .description('look at the nodes of a cluster, let them drain, leave and stay');
clientFlags(node.command('status'))
  .description('list the nodes: addresses, liveness')
  .option('--ranges', 'and their leases and replicas')
  .option('--stats', 'and the sizes of their replicas')
  .option('--decommission', 'and who is to leave, or has left')
  .option('--all', 'and all of it')
  .action(async (flags: Record<string, unknown>) => {
    const { runNodeStatus } = await import('./node-status.ts');
    await runNodeStatus(flags);
  });

const store = program
  .command('store')
  .description(
    'look at the stores of a cluster, let them drain, leave and stay; set a damaged one aside',
  );

/** What nodes and stores can be asked for. */
function membershipCommands(parent: Command, what: 'node' | 'store'): void {
  clientFlags(parent.command('decommission'))
    .description(`let ${what}s leave the cluster: their replicas move to others first`)
    .argument('<ids...>', `${what} ids`)
    .addOption(new Option('--wait <until>', 'all: until they have left').choices(['all', 'none']))
    .addOption(
      new Option(
        '--checks <checks>',
        'strict: not while a range needs repair already; skip: also where ranges could not move',
      ).choices(['enabled', 'strict', 'skip']),
    )
    .option('--dry-run', 'print the moves, their bytes and what is in the way, and do nothing')
    .action(async (ids: string[], flags: Record<string, unknown>) => {
      const { runDecommission } = await import('./membership-commands.ts');
      await runDecommission(what, ids, flags);
    });

  clientFlags(parent.command('recommission'))
    .description(
      what === 'node'
        ? 'let nodes stay that were leaving'
        : 'let stores stay that were leaving, or drained',
    )
    .argument('<ids...>', `${what} ids`)
    .action(async (ids: string[], flags: Record<string, unknown>) => {
      const { runRecommission } = await import('./membership-commands.ts');
      await runRecommission(what, ids, flags);
    });

  clientFlags(parent.command('drain'))
    .description(
      what === 'node'
        ? 'hand over all leases and refuse clients, so that a stop interrupts nobody'
        : 'hand over all leases and take none, until a recommission or a restart',
    )
    .argument('<ids...>', `${what} ids`)
    .action(async (ids: string[], flags: Record<string, unknown>) => {
      const { runDrain } = await import('./membership-commands.ts');
      await runDrain(what, ids, flags);
    });
}

membershipCommands(node, 'node');
membershipCommands(store, 'store');

clientFlags(store.command('status'))
  .description('list the stores: where they are, what they hold, who is to leave')
  .argument('[ids...]', 'store ids')
  .action(async (ids: string[], flags: Record<string, unknown>) => {
    const { runStoreStatus } = await import('./membership-commands.ts');
    await runStoreStatus(ids, flags);
  });

store
  .command('quarantine')
  .description(
    'set a store aside that its node refused: the next start gets a new one from the other nodes',
  )
  .option('--store <spec>', 'where the data lies: path=DIR')
  .action(async (flags: Record<string, unknown>) => {
    const { runQuarantine } = await import('./quarantine.ts');
    await runQuarantine(flags);
  });

program
  .command('sim')
  .description('run a simulated cluster under faults in virtual time')
  .option('--seed <n>', 'replays exactly this run (default: drawn)')
  .option('--nodes <n>', 'number of nodes (default 5)')
  .option('--seconds <n>', 'simulated seconds under faults (default 60)')
  .option(
    '--workload <name>',
    'what the clients do (default: drawn), or your own: a JavaScript module or SQL script (docs/SIMULATION.md)',
  )
  .option('--faults <names>', 'classes of faults that may happen (default: drawn)')
  .option('--only-faults <numbers>', 'only these faults of the run: 3,7/4,12')
  .option('--shrink', 'find the smallest part of a failing run that fails')
  .option('--runs <n>', 'so many runs, with the seeds that follow')
  .option('--hours <n>', 'runs until the time is over')
  .option('--jobs <n>', 'processes for many runs (default: one per core)')
  .option('--trace', 'print what happens; of many runs, the hash of each')
  .option('--verbose', 'print the logs of the nodes too')
  .action(async (flags: Record<string, unknown>) => {
    const { runSim } = await import('./sim.ts');
    await runSim(flags);
  });

program
  .command('version')
  .description('print the version')
  .action(() => console.log(`skein ${version} (Node ${process.versions.node})`));

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`skein: ${error.message}`);
  process.exitCode = 1;
}
