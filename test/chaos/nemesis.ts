/** Carries out a plan of faults, lane by lane, and keeps the journal of it. */
import { setTimeout as pause } from 'node:timers/promises';
import { type Fault, type Target } from './faults/fault.ts';
import { type Plan, type PlannedFault } from './faults/index.ts';

export interface JournalEntry {
  readonly name: string;
  readonly drawn: Fault['drawn'];
  /** All times in milliseconds on the clock of the run. */
  readonly beganMs: number;
  /** What happened, and when. */
  readonly struck: { readonly atMs: number; readonly text: string }[];
  /** Undefined: it never healed. */
  healedMs: number | undefined;
  /** Why it could not be carried out. */
  error: string | undefined;
}

export interface NemesisParts {
  readonly plan: Plan;
  readonly nowMs: () => number;
  readonly target: Pick<Target, 'cluster' | 'tables' | 'sql'>;
}

/** What is no longer waited for keeps no process alive. */
const unref = { ref: false };

export class Nemesis {
  readonly journal: JournalEntry[] = [];
  readonly #parts: NemesisParts;
  readonly #lanes: Promise<void>[];
  readonly #over: Promise<void>;
  #end: () => void = () => {};
  #isOver = false;

  /** Begins at once. */
  constructor(parts: NemesisParts) {
    this.#parts = parts;
    this.#over = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#lanes = parts.plan.lanes.map((lane) => this.#follow(lane));
  }

  /** No new faults. Resolves with whether those under way healed in time. */
  async stop(deadlineMs: number): Promise<boolean> {
    this.#isOver = true;
    this.#end();
    const healed = Promise.all(this.#lanes).then(() => true);
    return Promise.race([healed, pause(deadlineMs, false, unref)]);
  }

  async #follow(lane: readonly PlannedFault[]): Promise<void> {
    for (const { name, afterMs, fault } of lane) {
      await this.#hold(afterMs);
      if (this.#isOver) return;
      await this.#carryOut(name, fault);
    }
  }

  async #carryOut(name: string, fault: Fault): Promise<void> {
    const { nowMs, target } = this.#parts;
    const entry: JournalEntry = {
      name,
      drawn: fault.drawn,
      beganMs: nowMs(),
      struck: [],
      healedMs: undefined,
      error: undefined,
    };
    this.journal.push(entry);
    const isOver = (): boolean => this.#isOver;
    try {
      await fault.run({
        ...target,
        hold: (forMs) => this.#hold(forMs),
        get isOver() {
          return isOver();
        },
        struck: (text) => entry.struck.push({ atMs: nowMs(), text }),
      });
    } catch (error) {
      entry.error = String(error);
    }
    entry.healedMs = nowMs();
  }

  #hold(forMs: number): Promise<void> {
    return Promise.race([pause(forMs, undefined, unref), this.#over]);
  }
}
