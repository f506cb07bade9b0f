/**
 * The network between real nodes: a proxy for each ordered pair of them, impaired as the simulated network is
 * (`src/sim/links.ts`). A connection carries both ways, so what a says to b passes one proxy on its way there and another
 * one on its way back.
 */
import { type Impairment, type Link, Links, linksBetween } from '../../../src/sim/links.ts';
import { Proxy } from './proxy.ts';

export class Network {
  readonly #links = new Links();
  readonly #proxies = new Map<number, Proxy>();
  readonly #size: number;

  private constructor(size: number) {
    this.#size = size;
  }

  /** `ports`: where the nodes listen. */
  static async open(ports: readonly number[], draw: () => number): Promise<Network> {
    const network = new Network(ports.length);
    const nodes = ports.map((_, node) => node);
    for (const [from, to] of linksBetween(nodes, nodes, 'one-way')) {
      const proxy = await Proxy.open({
        targetPort: ports[to] ?? 0,
        there: () => network.#links.state(from, to),
        back: () => network.#links.state(to, from),
        draw,
      });
      network.#proxies.set(network.#at(from, to), proxy);
    }
    return network;
  }

  /** The port that node `from` has to dial instead of the one of node `to`. */
  port(from: number, to: number): number | undefined {
    return this.#proxies.get(this.#at(from, to))?.port;
  }

  /** Until the returned function is called. Links lead from who speaks to who listens. */
  impair(links: readonly Link[], impairment: Impairment): () => void {
    const restore = this.#links.impair(links, impairment);
    return () => {
      restore();
      this.#pump();
    };
  }

  heal(): void {
    this.#links.heal();
    this.#pump();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#proxies.values()].map((proxy) => proxy.close()));
  }

  #at(from: number, to: number): number {
    return from * this.#size + to;
  }

  #pump(): void {
    for (const proxy of this.#proxies.values()) proxy.pump();
  }
}
