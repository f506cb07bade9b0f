/** Cluster settings: SHOW, SET and RESET CLUSTER SETTING. */
import { type Node } from '@pgsql/types';
import {
  clusterSettings,
  findSetting,
  formatSetting,
  parseSetting,
  settingText,
  type CatalogSnapshot,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type StatementResult } from '../session/types.ts';
import { oids, type Row } from '../types/index.ts';
import {
  done,
  refuseInBlock,
  resultColumn,
  sessionCatalogOf,
  startDdl,
  type UtilityContext,
} from './context.ts';
import { type Shown } from './types.ts';
import { nowMicros } from '../jobs/index.ts';
import { constantText } from './nodes.ts';

export function showSetting(name: string): Shown {
  const setting = findSetting(name);
  return {
    columns: [resultColumn(setting.name, oids.text)],
    rows: (context) => {
      const { snapshot } = sessionCatalogOf(context);
      return [[formatSetting(setting, settingText(snapshot, setting))]];
    },
  };
}

export function settingRows(snapshot: CatalogSnapshot): Row[] {
  return clusterSettings.map((setting) => [
    setting.name,
    formatSetting(setting, settingText(snapshot, setting)),
    setting.type,
    true,
    setting.description,
    formatSetting(setting, String(setting.defaultValue)),
    snapshot.data.settings.has(setting.name) ? 'override' : 'default',
  ]);
}

export function showSettings(all: boolean): Shown {
  const columns = [
    resultColumn('variable', oids.text),
    resultColumn('value', oids.text),
    resultColumn('setting_type', oids.text),
    resultColumn('public', oids.bool),
    resultColumn('description', oids.text),
    resultColumn('default_value', oids.text),
    resultColumn('origin', oids.text),
  ];
  const shown = <T>(list: readonly T[]): readonly T[] =>
    all ? list : list.filter((_, at) => at !== 3);
  return {
    columns: shown(columns),
    rows: (context) => settingRows(sessionCatalogOf(context).snapshot).map(shown),
  };
}

export async function setSetting(
  name: string,
  value: Node | 'default',
  context: UtilityContext,
): Promise<StatementResult> {
  refuseInBlock(context, 'SET CLUSTER SETTING');
  const setting = findSetting(name);
  if (setting.name === 'version') {
    throw sqlError('cantChangeRuntimeParam', 'the cluster version cannot be set');
  }
  const { writer } = await startDdl(context, 'SET CLUSTER SETTING');
  const shown = (): string => formatSetting(setting, settingText(writer.snapshot, setting));
  const before = shown();
  const text = value === 'default' ? undefined : constantText(value);
  const stored = text === undefined ? undefined : parseSetting(setting, text);
  writer.putSetting(setting.name, setting.type, stored, nowMicros(context.env));
  context.events.record('set_cluster_setting', 0, {
    SettingName: setting.name,
    Value: shown(),
    PreviousValue: before,
  });
  return done('SET CLUSTER SETTING');
}
