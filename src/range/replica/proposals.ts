/**
 * The proposals of one replica that are under way, by log index. Each is decided by the entry that is applied at
 * its index, and by nothing else. Most ranges have none most of the time: then nothing is kept.
 */
import { type KvError } from '../../kv/index.ts';
import { type Command, type ProposeOutcome } from '../ports.ts';
import { type SplitEffects } from './command-codec.ts';

export interface PendingProposal {
  readonly term: number;
  readonly command: Command;
  readonly split: SplitEffects | undefined;
  readonly closed: number;
  /** When it was proposed, monotonic. */
  readonly atMs: number;
  readonly resolve: (outcome: ProposeOutcome) => void;
}

export class Proposals {
  #pending: Map<number, PendingProposal> | undefined;

  get size(): number {
    return this.#pending?.size ?? 0;
  }

  add(index: number, proposal: PendingProposal): void {
    this.#pending ??= new Map();
    this.#pending.set(index, proposal);
  }

  /** Removes the proposal at `index`: its fate is decided. */
  take(index: number): PendingProposal | undefined {
    const pending = this.#pending;
    const proposal = pending?.get(index);
    if (pending === undefined || proposal === undefined) return undefined;
    if (pending.size === 1) this.#pending = undefined;
    else pending.delete(index);
    return proposal;
  }

  /** For how long the oldest one has been under way; 0 when none is. */
  waitingMs(nowMs: number): number {
    for (const { atMs } of this.#pending?.values() ?? []) return nowMs - atMs;
    return 0;
  }

  commands(): Command[] {
    return Array.from(this.#pending?.values() ?? [], ({ command }) => command);
  }

  /** Those of earlier terms than `term` will never be applied. */
  refuseBefore(term: number, error: KvError): void {
    for (const [index, proposal] of this.#pending ?? []) {
      if (proposal.term >= term) continue;
      this.take(index);
      proposal.resolve({ kind: 'rejected', error });
    }
  }

  /** What became of those at and before `index` cannot be learnt here. */
  abandon(index: number, reason: string): void {
    for (const [at, proposal] of this.#pending ?? []) {
      if (at > index) continue;
      this.take(at);
      proposal.resolve({ kind: 'ambiguous', reason });
    }
  }
}
