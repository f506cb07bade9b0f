/** SHOW of objects of the catalog: databases, tables, columns, jobs, ... */
import { type TokenReader } from './scanner.ts';
import { type ClusterStatement, type NameParts } from './types.ts';

type ShowObjects = Extract<ClusterStatement, { kind: 'show-objects' }>;

/** Behind `SHOW`; undefined when it is PostgreSQL's own SHOW. */
export function showObjects(reader: TokenReader): ClusterStatement | undefined {
  const show = (what: ShowObjects['what'], of?: NameParts): ShowObjects => ({
    kind: 'show-objects',
    what,
    of,
  });
  const from = (): NameParts | undefined => (reader.take('from') ? reader.name() : undefined);
  const fromTable = (): NameParts => {
    reader.expect('from');
    reader.take('table');
    return reader.name();
  };
  if (reader.take('databases')) return show('databases');
  if (reader.take('schemas')) return show('schemas', from());
  if (reader.take('tables')) return show('tables', from());
  if (reader.take('columns')) return show('columns', fromTable());
  if (reader.take('indexes') || reader.take('index') || reader.take('keys')) {
    return show('indexes', fromTable());
  }
  if (reader.take('constraints') || reader.take('constraint')) {
    return show('constraints', fromTable());
  }
  if (reader.take('create')) {
    reader.take('table');
    return show('create-table', reader.name());
  }
  if (reader.take('sequences')) return show('sequences', from());
  if (reader.take('users') || reader.take('roles')) return show('users');
  if (reader.take('nodes')) return show('nodes');
  if (reader.take('events')) return { kind: 'show-events' };
  if (reader.take('retries')) return { kind: 'show-retries' };
  return undefined;
}
