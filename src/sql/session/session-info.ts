/** Sessions and settings as rows of pg_stat_activity and pg_settings. */
import { type SessionInfo, type SettingInfo } from '../virtual/index.ts';
import { SessionEval } from './eval-context.ts';
import { type Session } from './session.ts';
import { type SettingDefinition, settingDefinitions } from './setting-definitions.ts';
import { type StatementContext } from './types.ts';
import { timestampOfWall } from '../types/index.ts';

/** Longest query text shown. */
const maxQueryLength = 1024;

export function sessionInfo(session: Session): SessionInfo {
  const { identity, settings, transaction } = session;
  return {
    pid: identity.backendPid,
    database: identity.database,
    user: identity.sessionUser,
    applicationName: settings.get('application_name') ?? '',
    clientAddress: identity.client?.host,
    clientPort: identity.client?.port,
    startedMicros: timestampOfWall(session.startedMicros),
    transactionMicros:
      transaction.state === 'idle' ? undefined : timestampOfWall(transaction.startWallMicros),
    queryMicros:
      session.queryStartMicros === 0 ? undefined : timestampOfWall(session.queryStartMicros),
    stateMicros:
      session.queryStartMicros === 0 ? undefined : timestampOfWall(session.queryStartMicros),
    state: stateOf(session),
    query: session.lastQuery.slice(0, maxQueryLength),
  };
}

function stateOf(session: Session): string {
  if (session.isRunning) return 'active';
  if (session.transaction.state !== 'explicit') return 'idle';
  return session.transaction.failed ? 'idle in transaction (aborted)' : 'idle in transaction';
}

export function settingsOf(context: StatementContext): readonly SettingInfo[] {
  if (!(context.eval instanceof SessionEval)) return [];
  const { settings } = context.eval;
  return [...settingDefinitions.values()]
    .map((definition) => settingInfo(definition, settings.get(definition.name) ?? ''))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

const vartypes: Readonly<Record<string, string>> = {
  bool: 'bool',
  int: 'integer',
  real: 'real',
  enum: 'enum',
  isolation: 'enum',
};

function settingInfo(definition: SettingDefinition, value: string): SettingInfo {
  const { name, type, description, initial, readOnly } = definition;
  return {
    name,
    value,
    ...(type.kind === 'int' && type.unit !== undefined ? { unit: type.unit } : {}),
    category: 'Client Connection Defaults',
    description,
    type: vartypes[type.kind] ?? 'string',
    context: readOnly ? 'internal' : 'user',
    defaultValue: initial,
    ...(type.kind === 'enum' ? { choices: type.values } : {}),
  };
}
