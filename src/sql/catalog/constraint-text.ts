/**
 * Constraints of zone configurations as text, in the YAML flow style (of which JSON is a part):
 *
 *     [+ssd, -region=west]                           of all replicas
 *     {"+ssd,+region=west": 2, "+region=east": 1}    of so many replicas each
 *     [[+zone=a, +ssd], [+zone=b]]                   lease preferences, the best first
 */
import { constraintText, type Constraint, type ConstraintGroup } from '../../kv/index.ts';
import { sqlError } from '../errors.ts';

type Flow =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly Flow[] }
  | { readonly kind: 'map'; readonly entries: readonly (readonly [key: string, value: Flow])[] };

/** 22023 in the words of `name`, the zone variable. */
export function parseConstraints(name: string, text: string): readonly ConstraintGroup[] {
  const flow = parseFlow(name, text);
  switch (flow.kind) {
    case 'text':
      return invalid(name, text, 'a list or a map is expected');
    case 'list': {
      const constraints = constraintList(name, flow);
      return constraints.length === 0 ? [] : [{ replicas: 0, constraints }];
    }
    case 'map':
      return flow.entries.map(([key, value]) => {
        const replicas = value.kind === 'text' ? Number(value.text) : Number.NaN;
        if (!Number.isSafeInteger(replicas)) {
          return invalid(name, key, 'the number of replicas it holds for is missing');
        }
        if (replicas < 1) {
          return invalid(name, key, `it must hold for at least one replica, not for ${replicas}`);
        }
        const constraints = key.split(',').map((part) => parseConstraint(name, part));
        const prohibited = constraints.find(({ isRequired }) => !isRequired);
        if (prohibited !== undefined) {
          return invalid(name, constraintText(prohibited), 'only + can hold for some replicas', {
            hint: 'A prohibition is for all replicas: write a list instead of a map.',
          });
        }
        return { replicas, constraints };
      });
  }
}

/** 22023. */
export function parseLeasePreferences(name: string, text: string): readonly Constraint[][] {
  const flow = parseFlow(name, text);
  if (flow.kind !== 'list') return invalid(name, text, 'a list of lists is expected');
  return flow.items.map((item) => {
    if (item.kind !== 'list') return invalid(name, text, 'a list of lists is expected');
    if (item.items.length === 0) return invalid(name, text, 'a preference is empty');
    return constraintList(name, item);
  });
}

export function formatConstraints(groups: readonly ConstraintGroup[]): string {
  const [first] = groups;
  if (first === undefined) return '[]';
  if (first.replicas === 0) return `[${first.constraints.map(constraintText).join(', ')}]`;
  const entries = groups.map(({ replicas, constraints }) => {
    const key = constraints.map(constraintText).join(',');
    return `${constraints.length === 1 ? key : `"${key}"`}: ${replicas}`;
  });
  return `{${entries.join(', ')}}`;
}

export function formatLeasePreferences(preferences: readonly (readonly Constraint[])[]): string {
  const lists = preferences.map((list) => `[${list.map(constraintText).join(', ')}]`);
  return `[${lists.join(', ')}]`;
}

function constraintList(
  name: string,
  { items }: Extract<Flow, { readonly kind: 'list' }>,
): Constraint[] {
  return items.map((item) =>
    item.kind === 'text'
      ? parseConstraint(name, item.text)
      : invalid(name, '[', 'a constraint such as +region=west is expected'),
  );
}

function parseConstraint(name: string, text: string): Constraint {
  const match = /^([+-])(?:([^=\s]+)=)?([^=\s]+)$/.exec(text.trim());
  if (match !== null) {
    return { isRequired: match[1] === '+', key: match[2], value: match[3] ?? '' };
  }
  return /^[+-]/.test(text.trim())
    ? invalid(name, text, 'an attribute or tier=value is expected behind the sign')
    : invalid(name, text, 'a constraint begins with + (required) or - (prohibited)');
}

function invalid(name: string, text: string, why: string, more: { hint?: string } = {}): never {
  throw sqlError('invalidParameterValue', `${name}: "${text}": ${why}`, more);
}

/** Flow collections nest no deeper than lists in a list. */
function parseFlow(name: string, text: string): Flow {
  let at = 0;
  const fail = (): never => invalid(name, text, `malformed at character ${at + 1}`);
  const skip = (): void => {
    while (/\s/.test(text[at] ?? '')) at++;
  };
  const take = (symbol: string): boolean => {
    skip();
    if (text[at] !== symbol) return false;
    at++;
    return true;
  };
  const scalar = (): string => {
    skip();
    const pattern = /"([^"]*)"|'([^']*)'|[^\s,[\]{}:"']+/y;
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match === null) return fail();
    at = pattern.lastIndex;
    return match[1] ?? match[2] ?? match[0];
  };
  /** Items up to `end`, between commas. */
  const collection = <T>(end: string, item: () => T): T[] => {
    const items: T[] = [];
    while (!take(end)) {
      if (items.length > 0 && !take(',')) return fail();
      items.push(item());
    }
    return items;
  };
  const value = (depth: number): Flow => {
    if (depth > 2) return fail();
    if (take('[')) return { kind: 'list', items: collection(']', () => value(depth + 1)) };
    if (!take('{')) return { kind: 'text', text: scalar() };
    const entries = collection('}', () => {
      const key = scalar();
      if (!take(':')) return fail();
      return [key, value(depth + 1)] as const;
    });
    return { kind: 'map', entries };
  };
  const flow = value(0);
  skip();
  return at === text.length ? flow : fail();
}
