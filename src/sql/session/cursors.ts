/** DECLARE, FETCH, MOVE and CLOSE: forward cursors inside a transaction block. */
import { type DeclareCursorStmt, type FetchStmt } from '@pgsql/types';
import { sqlError } from '../errors.ts';
import { innerStatement } from './inner-statement.ts';
import { makeStatement, type Portal } from './prepared.ts';
import { type Run, type Session } from './session.ts';
import { type ResultColumn } from './types.ts';

// Bits of DeclareCursorStmt.options.
const scroll = 0x0002;
const hold = 0x0020;
const binary = 0x0001;

/** Rows of a portal handed on at a time. */
export const fetchBatchRows = 1024;

export async function declareCursor(
  session: Session,
  node: DeclareCursorStmt,
  text: string,
): Promise<string> {
  const { portalname: name = '', query, options = 0 } = node;
  if (!session.isInBlock) {
    throw sqlError(
      'noActiveSqlTransaction',
      'DECLARE CURSOR can only be used in transaction blocks',
    );
  }
  if ((options & hold) !== 0) {
    throw sqlError('featureNotSupported', 'cursors WITH HOLD are not supported');
  }
  if ((options & scroll) !== 0) {
    throw sqlError('featureNotSupported', 'SCROLL cursors are not supported', {
      hint: 'Cursors move forward only.',
    });
  }
  if (query === undefined) throw sqlError('syntaxError', 'a query is missing');
  if (session.portals.has(name))
    throw sqlError('duplicateCursor', `cursor "${name}" already exists`);
  session.checkPortalCount();
  const statement = makeStatement('', text, innerStatement(query, text), []);
  if (statement.kind !== 'query') {
    throw sqlError('syntaxError', 'a cursor can only be declared for a query');
  }
  const plan = await session.planner.plan(statement);
  const portal: Portal = {
    name,
    statement,
    params: [],
    formats: (options & binary) === 0 ? [] : [1],
    isCursor: true,
    run: undefined,
    isDone: false,
  };
  // It shows what is there now. One that locks rows begins with its first FETCH: DECLARE locks nothing.
  if (plan.isReadOnly) await session.runner.openPortal(portal);
  session.portals.set(name, portal);
  return 'DECLARE CURSOR';
}

function cursor(session: Session, name: string): Portal {
  const portal = session.portals.get(name);
  if (portal !== undefined) return portal;
  throw sqlError('invalidCursorName', `cursor "${name}" does not exist`);
}

export function fetchColumns(session: Session, node: FetchStmt): readonly ResultColumn[] {
  if (node.ismove === true) return [];
  return cursor(session, node.portalname ?? '').statement.columns;
}

export async function fetchFromCursor(
  session: Session,
  node: FetchStmt,
  run: Run,
): Promise<string> {
  const portal = cursor(session, node.portalname ?? '');
  let left = wantedRows(node, portal);
  const isMove = node.ismove === true;
  const skip = node.direction === 'FETCH_ABSOLUTE' || node.direction === 'FETCH_RELATIVE';
  let { run: source, rows } = await session.runner.takeRows(portal, Math.min(left, fetchBatchRows));
  if (!isMove) {
    const formats = portal.formats.length > 0 ? portal.formats : run.formats;
    run.out.beginResult(source.result.columns, formats, run.describe);
  }
  let count = 0;
  for (; rows.length > 0; rows = await source.take(Math.min(left, fetchBatchRows))) {
    left -= rows.length;
    if (skip && left > 0) continue;
    const shown = skip ? rows.slice(-1) : rows;
    count += shown.length;
    if (isMove) continue;
    const wait = run.out.rows(shown);
    if (wait !== undefined) await wait;
  }
  return `${isMove ? 'MOVE' : 'FETCH'} ${count}`;
}

/** How many rows to step forward; for ABSOLUTE and RELATIVE only the last of them is returned. */
function wantedRows(node: FetchStmt, portal: Portal): number {
  const count = Number(node.howMany ?? 0);
  const behind = portal.run?.rowsTaken ?? 0;
  switch (node.direction) {
    case 'FETCH_FORWARD':
      if (count < 0) throw forwardOnly();
      return count === 2147483647 || count > Number.MAX_SAFE_INTEGER
        ? Number.MAX_SAFE_INTEGER
        : count;
    case 'FETCH_RELATIVE':
      if (count < 0) throw forwardOnly();
      return count;
    case 'FETCH_ABSOLUTE':
      if (count < behind) throw forwardOnly();
      return count - behind;
    default:
      if (count === 0) return 0;
      throw forwardOnly();
  }
}

function forwardOnly(): Error {
  return sqlError('objectNotInPrerequisiteState', 'cursor can only scan forward');
}

export async function closeCursors(session: Session, name: string | undefined): Promise<string> {
  if (name === undefined) {
    for (const portal of session.portals.values()) {
      if (portal.isCursor) await session.closePortal(portal.name);
    }
    return 'CLOSE CURSOR ALL';
  }
  cursor(session, name);
  await session.closePortal(name);
  return 'CLOSE CURSOR';
}
