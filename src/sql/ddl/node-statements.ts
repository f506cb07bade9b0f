/** ALTER NODE ... DECOMMISSION, RECOMMISSION and DRAIN: each a job but the second, which ends one. */
import { type NodeId } from '../../kv/index.ts';
import { sqlError } from '../errors.ts';
import {
  hasEnded,
  isDecommissionOf,
  nodeDecommissionType,
  nodeDrainType,
  readJobs,
  replicasOn,
  requestOfJob,
  jobTypes,
  type NodeDecommissionPayload,
  type NodeDrainPayload,
} from '../jobs/index.ts';
import { type NodeStatement } from '../parse/index.ts';
import { type StatementContext, type StatementResult } from '../session/types.ts';
import { oids, type Row } from '../types/index.ts';
import { adviceFor, nodesNamed } from './advice.ts';
import { resultColumn, rowsResult } from './context.ts';

/** So many of the ranges in the way are named. */
const namedMax = 10;

export const nodeColumns = [resultColumn('node_id', oids.int8), resultColumn('job_id', oids.int8)];

export async function alterNodes(
  { action, nodes, checks }: NodeStatement,
  context: StatementContext,
): Promise<StatementResult> {
  if (context.readOnly) {
    throw sqlError(
      'readOnlySqlTransaction',
      'cannot execute ALTER NODE in a read-only transaction',
    );
  }
  const ids = nodesNamed(nodes, context);
  switch (action) {
    case 'decommission':
      return decommission(ids, checks, context);
    case 'recommission':
      return recommission(ids, context);
    case 'drain':
      return drain(ids, context);
  }
}

async function decommission(
  nodes: readonly NodeId[],
  checks: boolean,
  context: StatementContext,
): Promise<StatementResult> {
  const memberships = await context.db.nodeMemberships();
  for (const node of nodes) {
    if (memberships.get(node) !== 'decommissioned') continue;
    throw notNow(`node ${node} is decommissioned for good`);
  }
  if (checks) await refuseBlocked(nodes, context);
  const under = (await readJobs(context.txn)).filter((job) => !hasEnded(job));
  const rows: Row[] = [];
  for (const node of nodes) {
    const known = under.find((job) => isDecommissionOf(job, node));
    const id = known?.id ?? (await beginDecommission(node, context));
    rows.push([BigInt(node), id]);
  }
  return begun(rows, context);
}

async function beginDecommission(node: NodeId, context: StatementContext): Promise<bigint> {
  const payload: NodeDecommissionPayload = {
    nodeId: node,
    replicas: await replicasOn(context.db, node),
  };
  const { id } = await context.jobs.create(context.txn, {
    type: nodeDecommissionType,
    description: `decommission of node ${node}`,
    user: context.eval.currentUser,
    runningStatus: null,
    payload,
  });
  return id;
}

async function refuseBlocked(nodes: readonly NodeId[], context: StatementContext): Promise<void> {
  const { blocked } = await adviceFor({ kind: 'decommission', nodes }, context);
  if (blocked.length === 0) return;
  const named = blocked.slice(0, namedMax).map(({ rangeId, reason }) => `r${rangeId}: ${reason}`);
  const more = blocked.length > namedMax ? [`and ${blocked.length - namedMax} more`] : [];
  throw sqlError(
    'objectNotInPrerequisiteState',
    `node ${nodes.join(', ')} cannot be decommissioned: ${blocked.length} ranges could not move`,
    {
      detail: [...named, ...more].join('\n'),
      hint: `EXPLAIN ALTER NODE ${nodes.join(', ')} DECOMMISSION shows all of them. Add nodes, or change zone configurations.`,
    },
  );
}

async function recommission(
  nodes: readonly NodeId[],
  context: StatementContext,
): Promise<StatementResult> {
  const { db, env, txn, jobs } = context;
  const memberships = await db.nodeMemberships();
  const under = (await readJobs(txn)).filter((job) => !hasEnded(job));
  const rows: Row[] = [];
  for (const node of nodes) {
    const job = under.find((each) => isDecommissionOf(each, node));
    const membership = memberships.get(node) ?? 'active';
    if (membership === 'decommissioned') throw notNow(`node ${node} is decommissioned for good`);
    if (membership === 'active' && job === undefined) {
      throw notNow(`node ${node} is active: nobody has asked it to leave`);
    }
    if (job !== undefined) await requestOfJob(txn, env, jobTypes, job.id, 'cancel');
    else {
      context.ddl.add({
        description: `recommission node ${node}`,
        run: () => db.setNodeMembership(node, 'active'),
      });
    }
    rows.push([BigInt(node), job?.id ?? null]);
  }
  context.ddl.add({ description: 'stop decommissioning', run: () => jobs.heedRequests() });
  return begun(rows, context);
}

async function drain(
  nodes: readonly NodeId[],
  context: StatementContext,
): Promise<StatementResult> {
  const rows: Row[] = [];
  for (const nodeId of nodes) {
    const payload: NodeDrainPayload = { nodeId };
    const { id } = await context.jobs.create(context.txn, {
      type: nodeDrainType,
      description: `drain of node ${nodeId}`,
      user: context.eval.currentUser,
      runningStatus: null,
      payload,
    });
    rows.push([BigInt(nodeId), id]);
  }
  return begun(rows, context);
}

function begun(rows: readonly Row[], context: StatementContext): StatementResult {
  context.ddl.add({ description: 'look for jobs', run: async () => context.jobs.wake() });
  return rowsResult(nodeColumns, rows);
}

function notNow(message: string): Error {
  return sqlError('objectNotInPrerequisiteState', message);
}
