/**
 * Scripts over nodes that gossip with each other:
 *
 *   nodes 3                    starts nodes 1 to 3, which know each other
 *   set 1 key value ttl=500    what a node says; ttl in ms
 *   ahead 2 400                the clock of node 2 is ahead by so many ms
 *   lose 1 2                   what goes from node 1 to node 2 is lost, until `find`
 *   lose-answers 1 2           what node 2 answers to node 1
 *   find                       nothing is lost any more
 *   restart 2                  node 2 begins anew, and says that it has
 *   restart 2 knows=1          it has forgotten all others but node 1
 *   run 400                    virtual milliseconds
 *   get key                    what each node knows
 */
import { asNodeId, gossipKeys, HlcClock } from '../../src/kv/index.ts';
import { GossipNode, LocalNetwork } from '../../src/rpc/index.ts';
import { must } from '../../src/util/index.ts';
import { runScripts, type ScriptCase } from '../script.ts';
import { VirtualEnv } from '../txn/virtual-env.ts';

const directory = new URL('testdata', import.meta.url).pathname;

interface Peer {
  readonly gossip: GossipNode;
  readonly clock: HlcClock;
  readonly close: () => void;
}

class Runner {
  readonly #env = new VirtualEnv();
  readonly #lost = new Set<string>();
  readonly #peers = new Map<number, Peer>();
  readonly #network = new LocalNetwork(this.#env, ({ from, to, kind }) =>
    this.#lost.has(`${kind} ${from} ${to}`) ? 'drop' : 1,
  );

  async run({ command, args, options }: ScriptCase): Promise<string> {
    const [first = '', second = '', value = ''] = args;
    switch (command) {
      case 'nodes':
        for (let id = 1; id <= Number(first); id++) this.#start(id, Number(first));
        return '';
      case 'set': {
        const { gossip } = must(this.#peers.get(Number(first)));
        gossip.set(second, value, { ttlMs: Number(options.get('ttl') ?? 0) });
        return '';
      }
      case 'ahead': {
        const wall = this.#env.clock.wallMicros() + Number(second) * 1000;
        must(this.#peers.get(Number(first))).clock.observe({ wall, logical: 0 });
        return '';
      }
      case 'lose':
        this.#lost.add(`call ${first} ${second}`);
        return '';
      case 'lose-answers':
        this.#lost.add(`answer ${second} ${first}`);
        return '';
      case 'find':
        this.#lost.clear();
        return '';
      case 'restart': {
        const { gossip, close } = must(this.#peers.get(Number(first)));
        gossip.stop();
        close();
        const knows = options.get('knows');
        this.#start(Number(first), this.#peers.size, knows?.split(',').map(Number));
        return '';
      }
      case 'run':
        await this.#env.runFor(Number(first));
        return '';
      case 'get':
        return [...this.#peers]
          .map(([id, { gossip }]) => `${id}: ${textOf(gossip.get(first))}`)
          .join('\n');
      default:
        throw new Error(`unknown command ${command}`);
    }
  }

  #start(id: number, nodes: number, known?: readonly number[]): void {
    const nodeId = asNodeId(id);
    const transport = this.#network.endpoint(this.#env, `n${id}`);
    transport.bind(nodeId);
    const clock = new HlcClock(this.#env.clock, { maxOffsetMicros: 500_000 });
    const gossip = new GossipNode({ env: this.#env, clock, nodeId, transport, intervalMs: 200 });
    for (let each = 1; each <= nodes; each++) {
      if (each !== id && known?.includes(each) === false) continue;
      const startedAtMicros = each === id ? this.#env.clock.wallMicros() : 0;
      gossip.set(gossipKeys.node(asNodeId(each)), { nodeId: each, startedAtMicros }, { ttlMs: 0 });
    }
    gossip.start();
    this.#peers.set(id, { gossip, clock, close: () => transport.close('reset') });
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : 'nothing';
}

runScripts(directory, () => {
  const runner = new Runner();
  return (step) => runner.run(step);
});
