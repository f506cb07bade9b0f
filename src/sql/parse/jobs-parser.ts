/** Statements about jobs: SHOW JOBS, SHOW JOB, PAUSE, RESUME and CANCEL JOB. */
import { type Node } from '@pgsql/types';
import { expressionPart, queryPart, type Source } from './parts.ts';
import { type ClusterStatement } from './types.ts';

/** One job, or all that a query returns. */
export type JobIds =
  | { readonly kind: 'one'; readonly id: Node }
  | { readonly kind: 'query'; readonly query: Node };

export type JobStatement =
  /** Jobs that run and those of the last hours. */
  | { readonly kind: 'show-jobs'; readonly automatic: boolean }
  /** `wait`: until they have ended (WHEN COMPLETE). */
  | { readonly kind: 'show-job'; readonly ids: JobIds; readonly wait: boolean }
  | {
      readonly kind: 'control-jobs';
      readonly request: 'pause' | 'resume' | 'cancel';
      readonly ids: JobIds;
    };

/** Behind `SHOW`; undefined when it is not about jobs. */
export function showJobs(source: Source): ClusterStatement | undefined {
  const { reader } = source;
  if (reader.take('automatic', 'jobs')) return { kind: 'show-jobs', automatic: true };
  if (reader.take('jobs')) {
    if (reader.take('when', 'complete')) {
      return { kind: 'show-job', ids: jobIds(source), wait: true };
    }
    if (reader.atEnd) return { kind: 'show-jobs', automatic: false };
    return { kind: 'show-job', ids: jobIds(source), wait: false };
  }
  if (!reader.take('job')) return undefined;
  const wait = reader.take('when', 'complete');
  return { kind: 'show-job', ids: jobIds(source), wait };
}

/** PAUSE, RESUME or CANCEL JOB; undefined for anything else. */
export function controlJobs(source: Source): ClusterStatement | undefined {
  const { reader } = source;
  for (const request of ['pause', 'resume', 'cancel'] as const) {
    if (reader.take(request, 'job') || reader.take(request, 'jobs')) {
      return { kind: 'control-jobs', request, ids: jobIds(source) };
    }
  }
  return undefined;
}

/** A number, an expression, a query with or without parentheses around it. */
function jobIds(source: Source): JobIds {
  const { reader } = source;
  const isOpen = reader.peek().value === '(';
  const starts = (ahead: number): boolean =>
    ['select', 'values', 'with'].some((word) => reader.isWord(word, ahead));
  if (!starts(isOpen ? 1 : 0)) return { kind: 'one', id: expressionPart(source) };
  const { start } = reader.peek();
  let end = start;
  while (!reader.atEnd) ({ end } = reader.next());
  return { kind: 'query', query: queryPart(source, start, end) };
}
