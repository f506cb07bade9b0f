/** The cluster statements, each handed to the file of its idea. */
import { type ClusterStatement } from '../parse/index.ts';
import { type StatementContext, type StatementResult } from '../session/types.ts';
import { showRanges, splitAt } from './ranges.ts';
import { setSetting, showSetting, showSettings } from './settings.ts';
import { showObjects } from './show.ts';
import { configureZone, showZone, showZones } from './zones.ts';

export async function runCluster(
  statement: ClusterStatement,
  context: StatementContext,
): Promise<StatementResult> {
  switch (statement.kind) {
    case 'show-ranges':
      return showRanges(statement.from, context);
    case 'split-at':
      return splitAt(statement, context);
    case 'show-cluster-setting':
      return showSetting(statement.name, context);
    case 'show-cluster-settings':
      return showSettings(statement.all, context);
    case 'set-cluster-setting':
      return setSetting(statement.name, statement.value, context);
    case 'configure-zone':
      return configureZone(statement, context);
    case 'show-zone':
      return showZone(statement.target, context);
    case 'show-zones':
      return showZones(context);
    case 'show-objects':
      return showObjects(statement.what, statement.of, context);
  }
}
