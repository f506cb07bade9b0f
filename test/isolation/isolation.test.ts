/**
 * What several sessions see of each other, as PostgreSQL has it (docs/ISOLATION.md).
 *
 *     npx vitest run test/isolation                            Skein does what the files say
 *     AGAINST=postgres npx vitest run test/isolation           PostgreSQL does
 *     REWRITE=1 AGAINST=postgres npx vitest run ...            writes down what PostgreSQL does
 *     REWRITE=1 npx vitest run ...                             writes down where Skein differs; the reason is to be filled in
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  noReason,
  PlayFile,
  sectionFor,
  sectionsOf,
  type Play,
  type Section,
} from './play-file.ts';
import { play, type Level } from './play.ts';
import { startPostgres } from './postgres.ts';
import { startSkein } from './skein.ts';
import { type TestedSystem } from './system.ts';

const against = process.env['AGAINST'] === 'postgres' ? 'postgres' : 'skein';
const rewrite = process.env['REWRITE'] === '1';
const folder = join(import.meta.dirname, 'testdata');
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.txt'))
  .sort();

describe(`isolation: ${against}`, () => {
  let system: TestedSystem | undefined;
  beforeAll(async () => {
    system = against === 'postgres' ? await startPostgres() : await startSkein();
  });
  afterAll(() => system?.stop());

  it.each(files)('%s', async (name) => {
    if (system === undefined) return;
    const path = join(folder, name);
    const file = new PlayFile(readFileSync(path, 'utf8'));
    const sections: (readonly Section[])[] = [];
    for (const one of file.plays) {
      const outcomes = await outcomesOf(system, one);
      if (rewrite) {
        sections.push(rewritten(one, outcomes));
        continue;
      }
      for (const [level, outcome] of outcomes) {
        const where = `${name}:${one.line} at ${level}`;
        expect(outcome, where).toBe(expected(one, level));
      }
      if (system.name === 'skein') checkDifferences(name, one);
    }
    if (rewrite) writeFileSync(path, file.print(sections));
  });
});

async function outcomesOf(system: TestedSystem, one: Play): Promise<Map<Level, string>> {
  const outcomes = new Map<Level, string>();
  for (const level of one.levels) {
    const database = await system.prepare(one.setup);
    outcomes.set(level, (await play(database, level, one.steps)).join('\n'));
  }
  return outcomes;
}

function expected({ sections }: Play, level: Level): string | undefined {
  const own = against === 'skein' ? sectionFor(sections, 'skein', level) : undefined;
  return (own ?? sectionFor(sections, 'postgres', level))?.transcript;
}

/** A difference has a reason, and is one. */
function checkDifferences(name: string, { line, sections }: Play): void {
  for (const section of sections.filter(({ system }) => system === 'skein')) {
    expect(section.reason, `${name}:${line}: the reason`).not.toMatch(/^(\?\?\?)?$/);
    for (const level of section.levels) {
      const theirs = sectionFor(sections, 'postgres', level)?.transcript;
      expect(section.transcript, `${name}:${line}: no difference`).not.toBe(theirs);
    }
  }
}

function rewritten(one: Play, outcomes: ReadonlyMap<Level, string>): readonly Section[] {
  const others = one.sections.filter((section) => section.system !== against);
  if (against === 'postgres') return [...sectionsOf('postgres', outcomes, () => ''), ...others];
  const different = new Map(
    [...outcomes].filter(
      ([level, outcome]) => sectionFor(one.sections, 'postgres', level)?.transcript !== outcome,
    ),
  );
  const reasonOf = (level: Level): string =>
    sectionFor(one.sections, 'skein', level)?.reason ?? noReason;
  return [...others, ...sectionsOf('skein', different, reasonOf)];
}
