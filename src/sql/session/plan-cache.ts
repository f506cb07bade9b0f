/** Plans of statements that are sent as text again and again, least recently used out first. */
import { type ParsedStatement } from '../parse/index.ts';
import { type PreparedPlan } from '../plan/types.ts';

interface Entry {
  readonly plan: PreparedPlan;
  readonly planEpoch: number;
}

export class PlanCache {
  readonly #entries = new Map<string, Entry>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(
    parsed: ParsedStatement,
    types: readonly number[],
    catalogVersion: number,
    planEpoch: number,
  ): PreparedPlan | undefined {
    const key = keyOf(parsed, types);
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    if (entry.plan.catalogVersion !== catalogVersion || entry.planEpoch !== planEpoch)
      return undefined;
    this.#entries.set(key, entry);
    return entry.plan;
  }

  set(
    parsed: ParsedStatement,
    types: readonly number[],
    planEpoch: number,
    plan: PreparedPlan,
  ): void {
    const key = keyOf(parsed, types);
    // Trees that were put together, such as the arguments of EXECUTE, have no text to be known by.
    if (parsed.text === '' || key.length > 16_384) return;
    this.#entries.set(key, { plan, planEpoch });
    if (this.#entries.size <= this.#limit) return;
    for (const [oldest] of this.#entries) {
      this.#entries.delete(oldest);
      break;
    }
  }

  clear(): void {
    this.#entries.clear();
  }
}

function keyOf(parsed: ParsedStatement, types: readonly number[]): string {
  return types.length === 0 ? parsed.text : `${parsed.text}\0${types.join()}`;
}
