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
  isStoreDrainOf,
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
    const leaving = under.find((job) => isDecommissionOf(job, member));
    const draining = under.find((job) => isStoreDrainOf(job, member));
    const jobs = [leaving, draining].filter((job) => job !== undefined);
    for (const { id } of jobs) await requestOfJob(txn, env, jobTypes, id, 'cancel');
    const undo: (() => Promise<void>)[] = [];
    if (membership === 'decommissioning' && leaving === undefined) {
      undo.push(() => context.jobs.recommission(member));
    }
    if (member.kind === 'store' && draining === undefined && isDrained(member.id, context)) {
      undo.push(() => context.control.undrainStore(nodeOf(member.id, context), member.id));
    }
    if (jobs.length + undo.length === 0) {
      throw notNow(`${memberName(member)} is active: nobody has asked it to leave`);
    }
    for (const run of undo) {
      context.ddl.add({ description: `recommission ${memberName(member)}`, run });
    }
    return jobs[0]?.id ?? null;
  },
};

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

function isDrained(storeId: StoreId, context: StatementContext): boolean {
  return published(storeId, context, 'draining') === true;
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
