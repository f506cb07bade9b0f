/** The cluster statements, each handed to the file of its idea. */
import { sqlError } from '../errors.ts';
import { type ClusterStatement } from '../parse/index.ts';
import { type StatementResult } from '../session/types.ts';
import { showAdvice } from './advice.ts';
import { shownResult, visibleColumns, type UtilityContext } from './context.ts';
import { controlJobs, showAutomaticJobs, showJob, showJobs } from './jobs.ts';
import { alterMembers, memberColumns } from './membership-statements.ts';
import { relocate, relocateRows, relocationColumns, scatter } from './move-ranges.ts';
import { alterPartitions, createPartitionedTable, showPartitions } from './partitions.ts';
import { keyColumns } from './range-rows.ts';
import { setSetting, showSetting, showSettings } from './settings.ts';
import { showEvents } from './show-events.ts';
import { showRetries } from './show-retries.ts';
import { showRange, showRanges } from './show-ranges.ts';
import { showObjects } from './show.ts';
import { splitAt, splitColumns, unsplit } from './split-ranges.ts';
import { type ColumnsOf, type Shown, type ShownBy } from './types.ts';
import { showZone, showZones } from './zone-rows.ts';
import { configureZone } from './zones.ts';

type ShowStatement = Extract<ClusterStatement, { kind: `show-${string}` }>;

function isShow(statement: ClusterStatement): statement is ShowStatement {
  return statement.kind.startsWith('show-');
}

export async function runCluster(
  statement: ClusterStatement,
  context: UtilityContext,
): Promise<StatementResult> {
  if (isShow(statement)) {
    const shown = show(statement);
    return shownResult(shown, await shown.rows(context));
  }
  switch (statement.kind) {
    case 'split-at':
      return splitAt(statement, context);
    case 'unsplit':
      return unsplit(statement, context);
    case 'scatter':
      return scatter(statement, context);
    case 'relocate':
      return relocate(statement, context);
    case 'relocate-rows':
      return relocateRows(statement, context);
    case 'alter-members':
      return alterMembers(statement, context);
    case 'control-jobs':
      return controlJobs(statement, context);
    case 'set-cluster-setting':
      return setSetting(statement.name, statement.value, context);
    case 'create-partitioned':
      return createPartitionedTable(statement, context);
    case 'partition-by':
      return alterPartitions(statement, context);
    case 'configure-zone':
      return configureZone(statement, context);
    case 'changefeed':
      throw sqlError('internalError', 'sessions run changefeeds themselves');
  }
}

/** What the statement answers with, known without running it. */
export const columnsOf: ColumnsOf = (statement) => {
  if (isShow(statement)) return visibleColumns(show(statement));
  switch (statement.kind) {
    case 'split-at':
      return splitColumns;
    case 'unsplit':
    case 'scatter':
    case 'relocate-rows':
      return keyColumns;
    case 'relocate':
      return relocationColumns;
    case 'alter-members':
      return memberColumns(statement);
    default:
      return [];
  }
};

export const shownBy: ShownBy = (statement) => (isShow(statement) ? show(statement) : undefined);

function show(statement: ShowStatement): Shown {
  switch (statement.kind) {
    case 'show-ranges':
      return showRanges(statement.from, statement.options);
    case 'show-advice':
      return showAdvice(statement.change);
    case 'show-range':
      return showRange(statement.of, statement.row);
    case 'show-cluster-setting':
      return showSetting(statement.name);
    case 'show-cluster-settings':
      return showSettings(statement.all);
    case 'show-zone':
      return showZone(statement.target);
    case 'show-zones':
      return showZones;
    case 'show-partitions':
      return showPartitions(statement.from);
    case 'show-jobs':
      return statement.automatic ? showAutomaticJobs : showJobs;
    case 'show-job':
      return showJob(statement);
    case 'show-events':
      return showEvents;
    case 'show-retries':
      return showRetries;
    case 'show-objects':
      return showObjects(statement.what, statement.of);
  }
}
