export { planStatement } from './statement.ts';
export type { PlanRequest, PlanStatement, PreparedPlan } from './types.ts';
