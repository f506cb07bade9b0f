/** CONFIGURE ZONE and SHOW ZONE CONFIGURATION[S]. */
import { type Node } from '@pgsql/types';
import { expressionPart, indexTarget, type Source } from './parts.ts';
import { type TokenReader } from './scanner.ts';
import { type ClusterStatement, type ZoneTarget } from './types.ts';

/** Behind `SHOW`; undefined when it is not about zones. */
export function showZones(reader: TokenReader): ClusterStatement | undefined {
  if (reader.take('zone', 'configurations') || reader.take('all', 'zone', 'configurations')) {
    return { kind: 'show-zones' };
  }
  if (!reader.take('zone', 'configuration')) return undefined;
  if (!reader.take('for')) reader.expect('from');
  return { kind: 'show-zone', target: zoneTarget(reader) };
}

function zoneTarget(reader: TokenReader): ZoneTarget {
  if (reader.take('partition')) return partitionTarget(reader);
  if (reader.take('range')) return { kind: 'range', name: reader.identifier() };
  if (reader.take('database')) return { kind: 'database', name: reader.identifier() };
  return indexTarget(reader);
}

/** Behind `PARTITION`: `p OF TABLE t`, `p OF INDEX t@i`, `p OF INDEX t@*`. */
export function partitionTarget(reader: TokenReader): ZoneTarget {
  const partition = reader.identifier();
  reader.expect('of');
  if (!reader.take('index')) reader.expect('table');
  const target = { kind: 'partition', partition, table: reader.name() } as const;
  if (!reader.takeSymbol('@')) return { ...target, of: { kind: 'primary' } };
  if (reader.takeSymbol('*')) return { ...target, of: { kind: 'every-index' } };
  return { ...target, of: { kind: 'index', name: reader.identifier() } };
}

/** Behind `ALTER <target>`. */
export function configureZone(source: Source, target: ZoneTarget): ClusterStatement {
  const { reader } = source;
  reader.expect('configure', 'zone');
  if (reader.take('discard')) {
    return { kind: 'configure-zone', target, change: { kind: 'discard' } };
  }
  reader.expect('using');
  const values: { name: string; value: Node | 'copy-from-parent' | 'default' }[] = [];
  do {
    const name = reader.name().join('.');
    reader.expectSymbol('=');
    if (reader.take('copy', 'from', 'parent')) values.push({ name, value: 'copy-from-parent' });
    else if (reader.take('default')) values.push({ name, value: 'default' });
    else values.push({ name, value: expressionPart(source) });
  } while (reader.takeSymbol(','));
  return { kind: 'configure-zone', target, change: { kind: 'set', values } };
}
