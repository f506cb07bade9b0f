/** Reports of all nodes: answers for this one, asks the others (`kv/reports.ts`). */
import {
  gossipKeys,
  type ClusterReports,
  type CollectedReport,
  type Gossip,
  type NodeId,
  type NodeInfo,
  type ReportName,
  type ReportRows,
  type Transport,
} from '../kv/index.ts';
import { type Logger } from '../util/index.ts';

const timeoutMs = 2_000;

/** From now on this node answers for itself: `report` throws for what is none. */
export function serveReports(
  transport: Transport,
  report: (name: ReportName) => readonly unknown[],
): void {
  transport.onCall('report', async (payload) => {
    // An unknown name is refused by the stores.
    return report(payload as ReportName);
  });
}

export class NodeReports implements ClusterReports {
  readonly #transport: Transport;
  readonly #gossip: Gossip;
  readonly #log: Logger;

  constructor(parts: {
    readonly transport: Transport;
    readonly gossip: Gossip;
    readonly log: Logger;
  }) {
    this.#transport = parts.transport;
    this.#gossip = parts.gossip;
    this.#log = parts.log;
  }

  async collect<K extends ReportName>(name: K): Promise<CollectedReport<K>> {
    const nodes = this.#gossip
      .list(gossipKeys.nodePrefix)
      .map(([, info]) => (info as NodeInfo).nodeId);
    const answers = await Promise.all(nodes.map((nodeId) => this.#ask(nodeId, name)));
    return {
      rows: answers.flatMap(({ nodeId, rows }) => (rows ?? []).map((row) => ({ nodeId, row }))),
      missing: answers.filter(({ rows }) => rows === undefined).map(({ nodeId }) => nodeId),
    };
  }

  async #ask<K extends ReportName>(
    nodeId: NodeId,
    name: K,
  ): Promise<{ readonly nodeId: NodeId; readonly rows: readonly ReportRows[K][] | undefined }> {
    try {
      const options = { timeoutMs, traffic: 'system' } as const;
      const answer = await this.#transport.call(nodeId, 'report', name, options);
      // Made by the provider of the same name on a node of the same version of the wire format.
      return { nodeId, rows: Array.isArray(answer) ? (answer as ReportRows[K][]) : undefined };
    } catch (error) {
      this.#log.debug({ node: nodeId, report: name, err: error }, 'a node does not report');
      return { nodeId, rows: undefined };
    }
  }
}
