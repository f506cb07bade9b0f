/**
 * The cluster statements: what PostgreSQL's grammar has no words for. Recursive descent over tokens; this file
 * tells which statement it is, the others read it.
 */
import { indexTarget, type Source } from './parts.ts';
import { changefeed } from './changefeed-parser.ts';
import { controlJobs, showJobs } from './jobs-parser.ts';
import { alterMembers } from './membership-parser.ts';
import { alterRange, alterRanges, showRanges } from './ranges-parser.ts';
import { alterPartitions, createPartitioned, showPartitions } from './partitions-parser.ts';
import { type Token, TokenReader } from './scanner.ts';
import { resetSetting, setSetting, showSettings } from './settings-parser.ts';
import { showObjects } from './show-parser.ts';
import { type ClusterStatement } from './types.ts';
import { configureZone, partitionTarget, showZones } from './zones-parser.ts';

/** Undefined when the statement is none of ours; throws 42601 when it starts like one and is malformed. */
export function parseCluster(text: string, tokens: readonly Token[]): ClusterStatement | undefined {
  const reader = new TokenReader(text, tokens);
  const statement = clusterStatement({ text, reader });
  if (statement !== undefined) reader.expectEnd();
  return statement;
}

function clusterStatement(source: Source): ClusterStatement | undefined {
  const { reader } = source;
  if (reader.take('show')) {
    return (
      showJobs(source) ??
      showRanges(source) ??
      showSettings(reader) ??
      showZones(reader) ??
      showPartitions(reader) ??
      showObjects(reader)
    );
  }
  if (reader.take('set', 'cluster', 'setting')) return setSetting(source);
  if (reader.take('reset', 'cluster', 'setting')) return resetSetting(reader);
  if (reader.take('alter')) return alter(source);
  if (reader.take('explain', 'alter')) return explain(source);
  return changefeed(reader) ?? createPartitioned(source) ?? controlJobs(source);
}

/** Of changes of placement alone. */
function explain(source: Source): ClusterStatement | undefined {
  const change = alter(source);
  if (change?.kind === 'configure-zone') return { kind: 'show-advice', change };
  if (change?.kind !== 'alter-members' || change.action !== 'decommission') return undefined;
  return { kind: 'show-advice', change };
}

function alter(source: Source): ClusterStatement | undefined {
  const { reader } = source;
  if (reader.take('range')) {
    return (
      alterRange(source) ?? configureZone(source, { kind: 'range', name: reader.identifier() })
    );
  }
  if (reader.take('database')) {
    const name = reader.identifier();
    if (!reader.isWord('configure')) return undefined;
    return configureZone(source, { kind: 'database', name });
  }
  if (reader.take('node')) return alterMembers(source, 'node');
  if (reader.take('store')) return alterMembers(source, 'store');
  if (reader.take('partition')) return configureZone(source, partitionTarget(reader));
  if (!reader.isWord('table') && !reader.isWord('index')) return undefined;
  if (['if', 'only', 'all'].some((word) => reader.isWord(word, 1))) return undefined;
  const of = indexTarget(reader);
  if (reader.isWord('configure')) return configureZone(source, of);
  return alterPartitions(source, of) ?? alterRanges(source, of);
}
