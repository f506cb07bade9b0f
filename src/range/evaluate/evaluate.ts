/** The function of each kind of request. */
import { isAdminRequest, type KvRequest } from '../../kv/index.ts';
import { unreachable } from '../../util/index.ts';
import { invalid, type EvaluationContext, type Outcome } from './context.ts';
import { evaluateEndTxn } from './end-txn.ts';
import { evaluateGet, evaluateRefresh, evaluateScan } from './reads.ts';
import {
  evaluateHeartbeat,
  evaluatePush,
  evaluateQueryIntent,
  evaluateQueryKey,
  evaluateQueryTxn,
  evaluateQueryWait,
  evaluateRecover,
  evaluateAnnouncement,
  evaluateRelease,
  evaluateResolve,
} from './txn-requests.ts';
import { evaluateClearRange, evaluateIncrement, evaluateWrite } from './writes.ts';

/** Its effects and side effects collect in `ctx`; nothing is visible yet. */
export function evaluate(ctx: EvaluationContext, request: KvRequest): Outcome | Promise<Outcome> {
  switch (request.kind) {
    case 'get':
      return evaluateGet(ctx, request);
    case 'scan':
      return evaluateScan(ctx, request);
    case 'put':
    case 'insert':
    case 'delete':
    case 'conditional-put':
      return evaluateWrite(ctx, request);
    case 'increment':
      return evaluateIncrement(ctx, request);
    case 'refresh':
      return evaluateRefresh(ctx, request);
    case 'end-txn':
      return evaluateEndTxn(ctx, request);
    case 'heartbeat-txn':
      return evaluateHeartbeat(ctx, request);
    case 'push-txn':
      return evaluatePush(ctx, request);
    case 'query-txn':
      return evaluateQueryTxn(ctx, request);
    case 'query-wait':
      return evaluateQueryWait(ctx, request);
    case 'query-intent':
      return evaluateQueryIntent(ctx, request);
    case 'query-key':
      return evaluateQueryKey(ctx, request);
    case 'recover-txn':
      return evaluateRecover(ctx, request);
    case 'resolve-locks':
      return evaluateResolve(ctx, request);
    case 'release-locks':
      return evaluateRelease(ctx, request);
    case 'announce-commit':
      return evaluateAnnouncement(ctx, request);
    case 'clear-range':
      return evaluateClearRange(ctx, request);
    default:
      if (isAdminRequest(request)) {
        return invalid('an administrative request has no place in the executor');
      }
      return unreachable(request);
  }
}
