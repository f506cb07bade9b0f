/** SHOW, SET and RESET CLUSTER SETTING. */
import { expressionPart, type Source } from './parts.ts';
import { type TokenReader } from './scanner.ts';
import { type ClusterStatement } from './types.ts';

/** Behind `SHOW`; undefined when it is not about cluster settings. */
export function showSettings(reader: TokenReader): ClusterStatement | undefined {
  if (reader.take('cluster', 'setting', 'all')) return { kind: 'show-cluster-settings', all: true };
  if (reader.take('cluster', 'setting')) {
    return { kind: 'show-cluster-setting', name: reader.name().join('.') };
  }
  if (reader.take('all', 'cluster', 'settings'))
    return { kind: 'show-cluster-settings', all: true };
  if (reader.take('public', 'cluster', 'settings') || reader.take('cluster', 'settings')) {
    return { kind: 'show-cluster-settings', all: false };
  }
  return undefined;
}

/** Behind `SET CLUSTER SETTING`. */
export function setSetting(source: Source): ClusterStatement {
  const { reader } = source;
  const name = reader.name().join('.');
  if (!reader.takeSymbol('=')) reader.expect('to');
  if (reader.take('default')) return { kind: 'set-cluster-setting', name, value: 'default' };
  return { kind: 'set-cluster-setting', name, value: expressionPart(source) };
}

/** Behind `RESET CLUSTER SETTING`. */
export function resetSetting(reader: TokenReader): ClusterStatement {
  return { kind: 'set-cluster-setting', name: reader.name().join('.'), value: 'default' };
}
