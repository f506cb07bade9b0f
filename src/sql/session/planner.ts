/** The plans of a session's statements, kept until the catalog or a setting they depend on has changed. */
import { sqlError } from '../errors.ts';
import { type PreparedPlan } from '../plan/types.ts';
import { PlanCache } from './plan-cache.ts';
import { type PreparedStatement } from './prepared.ts';
import { type Session } from './session.ts';
import { type ResultColumn } from './types.ts';
import { upsertAsInsert } from './upsert.ts';

/** The plan of a template is outdated: its literals may have to be read as other types. Nothing has been done. */
export class OutdatedTemplate extends Error {
  override readonly name = 'OutdatedTemplate';
}

export class StatementPlanner {
  readonly #session: Session;
  readonly #plans: PlanCache;

  constructor(session: Session) {
    this.#session = session;
    this.#plans = new PlanCache(session.services.limits.cachedPlans);
  }

  isCurrent({ plan, planEpoch }: PreparedStatement): boolean {
    const { catalog, settings } = this.#session;
    return plan?.catalogVersion === catalog.version && planEpoch === settings.planEpoch;
  }

  /**
   * The statement's plan, made anew when the catalog or a setting it depends on has changed. Throws OutdatedTemplate instead
   * for a template. No promise for a plan that is there.
   */
  plan(statement: PreparedStatement): PreparedPlan | Promise<PreparedPlan> {
    const known = statement.plan;
    if (known !== undefined) {
      if (this.isCurrent(statement)) return known;
      if (statement.isTemplate) throw new OutdatedTemplate();
    }
    return this.#planAnew(statement);
  }

  async #planAnew(statement: PreparedStatement): Promise<PreparedPlan> {
    const version = this.#session.catalog.version;
    const { planEpoch } = this.#session.settings;
    const plan = await this.#makePlan(statement, version, planEpoch);
    if (statement.isDescribed && !sameColumns(statement.columns, plan.columns)) {
      throw sqlError('featureNotSupported', 'cached plan must not change result type');
    }
    statement.plan = plan;
    statement.planEpoch = planEpoch;
    statement.parameterTypes = plan.parameterTypes;
    statement.columns = plan.columns;
    return plan;
  }

  async #makePlan(
    statement: PreparedStatement,
    version: number,
    planEpoch: number,
  ): Promise<PreparedPlan> {
    const parsed = statement.parsed;
    if (parsed?.statement.kind !== 'postgres') throw sqlError('internalError', 'nothing to plan');
    const types = statement.parameterTypes;
    const cached = this.#plans.get(parsed, types, version, planEpoch);
    if (cached !== undefined) return cached;
    const node = parsed.statement.upsert
      ? await upsertAsInsert(parsed.statement.node, this.#session.catalog)
      : parsed.statement.node;
    this.#session.runner.setClock();
    const { nowReads } = this.#session.eval;
    const plan = await this.#session.services.planStatement({
      statement: node,
      // Once inferred they stay: values were already read as these types.
      parameterTypes: types,
      catalog: this.#session.catalog,
      eval: this.#session.eval,
    });
    // What 'now' stands for is that of this statement alone. Planning may have looked at tables while the catalog moved on.
    const isOfItsTime = this.#session.eval.nowReads !== nowReads;
    if (!isOfItsTime && plan.catalogVersion === this.#session.catalog.version) {
      this.#plans.set(parsed, types, planEpoch, plan);
    }
    return plan;
  }

  /** Forgets the plans of statements that have no name. */
  clear(): void {
    this.#plans.clear();
  }
}

function sameColumns(a: readonly ResultColumn[], b: readonly ResultColumn[]): boolean {
  return (
    a.length === b.length &&
    a.every((column, i) => column.typeOid === b[i]?.typeOid && column.name === b[i].name)
  );
}
