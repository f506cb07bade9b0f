/** Zone configurations as SQL and as YAML. */
import { quoteLiteral } from './quote.ts';
import { zoneFields, type ZoneField } from './zone-fields.ts';
import { type FullZoneConfig, type ZoneConfig } from './zones.ts';

/** Those with values that say nothing are left out of a full configuration. */
const shownWhenSet = new Set<keyof ZoneConfig>(['numVoters', 'voterConstraints', 'globalReads']);

/** What SHOW shows of a configuration in force. */
export function shownConfig(full: FullZoneConfig): ZoneConfig {
  const entries = Object.entries(full).filter(
    ([name, value]) =>
      !shownWhenSet.has(name as keyof ZoneConfig) ||
      (Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false),
  );
  return Object.fromEntries(entries) as ZoneConfig;
}

/** `ALTER <target> CONFIGURE ZONE USING ...` with all that is set; null when nothing is. */
export function zoneSql(target: string, config: ZoneConfig): string | null {
  const lines = set(config).map(
    ([{ name, isQuoted }, text]) => `${name} = ${isQuoted ? quoteLiteral(text) : text}`,
  );
  return lines.length === 0
    ? null
    : `ALTER ${target} CONFIGURE ZONE USING\n\t${lines.join(',\n\t')}`;
}

/** A mapping with all that is set. */
export function zoneYaml(config: ZoneConfig): string {
  const lines = set(config).map(([{ field, name }, text]) =>
    field === 'gcTtlSeconds' ? `gc:\n  ttlseconds: ${text}` : `${name}: ${text}`,
  );
  return lines.join('\n');
}

function set(config: ZoneConfig): (readonly [ZoneField, string])[] {
  return zoneFields.flatMap((field) => {
    const text = field.text(config);
    return text === undefined ? [] : [[field, text] as const];
  });
}
