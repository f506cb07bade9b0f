/** SHOW as a table of a query (`FROM [SHOW ...]`, see `parse/show-sources.ts`): cluster statements and settings. */
import { type VirtualTable } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { showSchema } from '../parse/index.ts';
import { shownSetting } from './control.ts';
import { type Session } from './session.ts';

/** `text` begins with SHOW. Throws what the statement would throw when it is parsed. */
export function showTable(session: Session, text: string): VirtualTable {
  const [parsed] = session.services.parser.parse(text);
  const statement = parsed?.statement;
  const shown =
    statement?.kind === 'cluster'
      ? session.services.shownBy(statement.statement)
      : statement !== undefined && 'VariableShowStmt' in statement.node
        ? shownSetting(session, statement.node.VariableShowStmt.name ?? '')
        : undefined;
  if (shown === undefined) throw sqlError('syntaxError', `"${text}" shows nothing`);
  return {
    oid: 0,
    schema: showSchema,
    name: text,
    columns: shown.columns,
    indexedColumns: [],
    rows: async (context) => shown.rows(context),
  };
}
