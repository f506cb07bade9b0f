/** ALTER {NODE | STORE} ... DECOMMISSION, RECOMMISSION and DRAIN: each a job but the second, which ends one. */
import {
  asNodeId,
  gossipKeys,
  memberName,
  membershipOf,
  type Member,
  type Membership,
  type NodeId,
  type StoreId,
} from '../../kv/index.ts';
import { sqlError } from '../errors.ts';
import {
  decommissionTypes,
  drainTypes,
  hasEnded,
  isDecommissionOf,
  isDrainOf,
  jobTypes,
  readJobs,
  replicasOn,
  requestOfJob,
  type DecommissionPayload,
  type Job,
  type MemberPayload,
} from '../jobs/index.ts';
import { type MembershipStatement } from '../parse/index.ts';
import {
  type ResultColumn,
  type StatementContext,
  type StatementResult,
} from '../session/types.ts';
import { oids, type Row } from '../types/index.ts';
import { adviceFor, membersNamed } from './advice.ts';
import { resultColumn, rowsResult } from './context.ts';

/** So many of the ranges in the way are named. */
const namedMax = 10;

export function memberColumns({ what }: Pick<MembershipStatement, 'what'>): ResultColumn[] {
  return [resultColumn(`${what}_id`, oids.int8), resultColumn('job_id', oids.int8)];
}

export async function alterMembers(
  statement: MembershipStatement,
  context: StatementContext,
): Promise<StatementResult> {
  const { what, action } = statement;
  if (context.readOnly) {
    throw sqlError(
      'readOnlySqlTransaction',
      `cannot execute ALTER ${what.toUpperCase()} in a read-only transaction`,
    );
  }
  const members = membersNamed(statement, context);
  if (action === 'decommission') await refuseDecommission(statement, members, context);
  const under = (await readJobs(context.txn)).filter((job) => !hasEnded(job));
  const rows: Row[] = [];
  for (const member of members) {
    rows.push([BigInt(member.id), await begin[action](member, under, context)]);
  }
  context.ddl.add({ description: 'look for jobs', run: () => lookForJobs(context) });
  return rowsResult(memberColumns(statement), rows);
}

async function lookForJobs({ jobs }: StatementContext): Promise<void> {
  await jobs.heedRequests();
  jobs.wake();
}

/** The id of the job; null where none is needed. */
type Begin = (
  member: Member,
  /** Jobs that have not ended. */
  under: readonly Job[],
  context: StatementContext,
) => Promise<bigint | null>;

const begin: Readonly<Record<MembershipStatement['action'], Begin>> = {
  async decommission(member, under, context) {
    const known = under.find((job) => isDecommissionOf(job, member));
    if (known !== undefined) return known.id;
    const payload: DecommissionPayload = {
      ...payloadOf(member, context),
      replicas: await replicasOn(context.db, member),
    };
    return create(context, member, 'decommission', payload);
  },

  async drain(member, _under, context) {
    return create(context, member, 'drain', payloadOf(member, context));
  },

  async recommission(member, under, context) {
    const { db, env, txn } = context;
    const membership = membershipOf(await db.memberships(), member);
    refuseGone(member, membership);
    const begun = under.filter((job) => isDecommissionOf(job, member) || isDrainOf(job, member));
    const [job] = begun;
    for (const { id } of begun) await requestOfJob(txn, env, jobTypes, id, 'cancel');
    if (job !== undefined) return job.id;
    const undo = undoWithoutJob(member, membership, context);
    if (undo === undefined) {
      throw notNow(`${memberName(member)} is active: nobody has asked it to leave`);
    }
    context.ddl.add({ description: `recommission ${memberName(member)}`, run: undo });
    return null;
  },
};

/** Undefined: there is nothing to undo. */
function undoWithoutJob(
  member: Member,
  membership: Membership,
  context: StatementContext,
): (() => Promise<void>) | undefined {
  const { control, jobs } = context;
  if (membership === 'decommissioning') return () => jobs.recommission(member);
  if (member.kind === 'node' || published(member.id, context, 'draining') !== true)
    return undefined;
  return () => control.undrainStore(nodeOf(member.id, context), member.id);
}

async function create(
  context: StatementContext,
  member: Member,
  action: 'decommission' | 'drain',
  payload: MemberPayload,
): Promise<bigint> {
  const types = action === 'drain' ? drainTypes : decommissionTypes;
  const { id } = await context.jobs.create(context.txn, {
    type: types[member.kind],
    description: `${action} of ${memberName(member)}`,
    user: context.eval.currentUser,
    runningStatus: null,
    payload,
  });
  return id;
}

function payloadOf(member: Member, context: StatementContext): MemberPayload {
  return member.kind === 'node'
    ? { nodeId: member.id }
    : { nodeId: nodeOf(member.id, context), storeId: member.id };
}

function nodeOf(storeId: StoreId, context: StatementContext): NodeId {
  return asNodeId(Number(published(storeId, context, 'nodeId')));
}

/** What a store tells of itself. */
function published(storeId: StoreId, { gossip }: StatementContext, field: string): unknown {
  return Reflect.get(Object(gossip?.get(gossipKeys.store(storeId))), field);
}

async function refuseDecommission(
  statement: MembershipStatement,
  members: readonly Member[],
  context: StatementContext,
): Promise<void> {
  const memberships = await context.db.memberships();
  for (const member of members) refuseGone(member, membershipOf(memberships, member));
  if (statement.checks === 'skip') return;
  const { blocked } = await adviceFor(statement, context);
  if (blocked.length === 0) return;
  const named = blocked.slice(0, namedMax).map(({ rangeId, reason }) => `r${rangeId}: ${reason}`);
  const more = blocked.length > namedMax ? [`and ${blocked.length - namedMax} more`] : [];
  const { what, checks } = statement;
  const strictly = checks === 'strict' ? ' WITH STRICT CHECKS' : '';
  const ids = statement.ids.join(', ');
  throw sqlError(
    'objectNotInPrerequisiteState',
    `${what} ${ids} cannot be decommissioned: ${blocked.length} ranges are in the way`,
    {
      detail: [...named, ...more].join('\n'),
      hint: `EXPLAIN ALTER ${what.toUpperCase()} ${ids} DECOMMISSION${strictly} shows all of them. Add ${what}s, or change zone configurations.`,
    },
  );
}

function refuseGone(member: Member, membership: Membership): void {
  if (membership !== 'decommissioned') return;
  throw notNow(`${memberName(member)} is decommissioned for good`);
}

function notNow(message: string): Error {
  return sqlError('objectNotInPrerequisiteState', message);
}
