/**
 * A workload written in SQL, with pgbench's variables:
 *
 *     -- clients 5                   how many; default: drawn from the seed
 *     -- setup                       tables and first rows
 *     -- step weight 3               what a client does next, drawn by weight (default 1): one transaction each
 *     \set id random(1, 100)         drawn for each step; :id stands for it, :client for the client's number
 *     -- invariant                   queries that return no row at any moment
 *     -- check                       queries that return no row in the end
 */
import { type Sql, type SqlProgram, type SqlRandom } from '../sim/index.ts';
import { UsageError } from './options.ts';

type Kind = 'setup' | 'step' | 'invariant' | 'check';

interface Section {
  readonly kind: Kind;
  readonly weight: number;
  readonly variables: { readonly name: string; readonly min: number; readonly max: number }[];
  text: string;
}

const sectionLine = /^--\s*(setup|step|invariant|check)(?:\s+weight\s+(\d+))?\s*$/;
const clientsLine = /^--\s*clients\s+(\d+)\s*$/;
const variableLine = /^\\set\s+(\w+)\s+random\(\s*(-?\d+)\s*,\s*(-?\d+)\s*\)\s*$/;

/** `name` is for messages. Throws UsageError. */
export function parseWorkloadScript(text: string, name: string): SqlProgram {
  const sections: Section[] = [];
  let clients: number | undefined;
  for (const [i, line] of text.split('\n').entries()) {
    const where = `${name}, line ${i + 1}`;
    const current = sections.at(-1);
    const [, kind, weight] = sectionLine.exec(line) ?? [];
    if (isKind(kind)) sections.push({ kind, weight: Number(weight ?? 1), variables: [], text: '' });
    else if (clientsLine.test(line)) clients = Number(clientsLine.exec(line)?.[1]);
    else if (line.startsWith('\\')) {
      const [, variable, min, max] = variableLine.exec(line) ?? [];
      if (variable === undefined || current?.kind !== 'step' || Number(min) > Number(max)) {
        throw new UsageError(`${where}: write \\set NAME random(MIN, MAX), in a step.`);
      }
      current.variables.push({ name: variable, min: Number(min), max: Number(max) });
    } else if (current !== undefined) current.text += `${line}\n`;
    else if (line.trim() !== '' && !line.startsWith('--')) {
      throw new UsageError(`${where}: statements stand behind a line like "-- setup".`);
    }
  }
  const steps = sections.filter(({ kind }) => kind === 'step');
  if (steps.every(({ weight }) => weight === 0)) {
    throw new UsageError(`${name} has no section "-- step".`);
  }
  const textOf = (kind: Kind): string =>
    sections.flatMap((section) => (section.kind === kind ? [section.text] : [])).join('');
  return {
    ...(clients === undefined ? {} : { clients }),
    setup: (sql) => sql.query(textOf('setup')),
    step: (sql, random, client) => {
      const step = draw(steps, random);
      const statements = substitute(step, random, client);
      return sql.transaction((tx) => tx.query(statements));
    },
    invariant: (sql) => noRows(sql, textOf('invariant')),
    check: (sql) => noRows(sql, textOf('check')),
  };
}

function isKind(word: string | undefined): word is Kind {
  return word === 'setup' || word === 'step' || word === 'invariant' || word === 'check';
}

function draw(steps: readonly Section[], random: SqlRandom): Section {
  return random.pick(steps.flatMap((step) => Array.from({ length: step.weight }, () => step)));
}

/** As pgbench does it: also within strings, but not in a cast (`::int`). */
function substitute(step: Section, random: SqlRandom, client: number): string {
  const values = new Map([['client', client]]);
  for (const { name, min, max } of step.variables) values.set(name, random.between(min, max));
  return step.text.replace(/(?<!:):(\w+)/g, (whole, name: string) =>
    String(values.get(name) ?? whole),
  );
}

/** The answer to several statements is a list. */
async function noRows(sql: Sql, text: string): Promise<void> {
  if (text.trim() === '') return;
  for (const { rows } of [await sql.query(text)].flat()) {
    if (rows.length > 0) throw new Error(`rows that may not be: ${JSON.stringify(rows)}`);
  }
}
