/**
 * Files of plays (see `play.ts`), each a case of `test/script.ts`:
 *
 *     setup
 *     create table t (k int primary key, v int)
 *     ----
 *
 *     play [read-committed] [repeatable-read] [serializable]
 *     s1 begin
 *     ...
 *     ----
 *     read committed, repeatable read:
 *       (PostgreSQL's transcript at these levels)
 *     serializable:
 *       (another one)
 *     skein, serializable: why it is another one here
 *       (Skein's)
 *
 * A setup holds for the plays below it, each of which gets a database of its own at each level (default: all three).
 */
import { parseScript, printScript, type ScriptPart } from '../script.ts';
import { levels, type Level } from './play.ts';

export interface Section {
  readonly system: 'postgres' | 'skein';
  readonly levels: readonly Level[];
  /** Of Skein's sections: why it differs. */
  readonly reason: string;
  readonly transcript: string;
}

export interface Play {
  readonly line: number;
  readonly setup: string;
  readonly levels: readonly Level[];
  readonly steps: readonly string[];
  readonly sections: readonly Section[];
}

/** What stands in a new section until somebody has written down the reason. */
export const noReason = '???';

const header = /^(skein, )?((?:read committed|repeatable read|serializable|, )+):(?: (.*))?$/;

export class PlayFile {
  readonly plays: readonly Play[];
  readonly #parts: ScriptPart[];

  constructor(text: string) {
    this.#parts = parseScript(text);
    const plays: Play[] = [];
    let setup = '';
    for (const part of this.#parts) {
      if (part.kind === 'text') continue;
      const { command, args, input, line } = part.step;
      if (command === 'setup') {
        setup = input;
        continue;
      }
      if (command !== 'play') throw new Error(`line ${line}: unknown command ${command}`);
      const chosen = args.map((arg) => levelOf(arg.replace('-', ' ')));
      plays.push({
        line,
        setup,
        levels: chosen.length === 0 ? levels : chosen,
        steps: input.split('\n').filter((step) => !step.startsWith('#')),
        sections: parseSections(part.expected),
      });
    }
    this.plays = plays;
  }

  /** The file with other sections; `sections[i]` are those of `plays[i]`. */
  print(sections: readonly (readonly Section[])[]): string {
    let next = 0;
    return printScript(
      this.#parts.map((part) =>
        part.kind === 'case' && part.step.command === 'play'
          ? { ...part, expected: printSections(sections[next++] ?? []) }
          : part,
      ),
    );
  }
}

/** Sections for the outcome at each level; levels with the same one share a section. */
export function sectionsOf(
  system: Section['system'],
  outcomes: ReadonlyMap<Level, string>,
  reasonOf: (level: Level) => string,
): Section[] {
  const sections: (Section & { levels: Level[] })[] = [];
  for (const [level, transcript] of outcomes) {
    const same = sections.find((section) => section.transcript === transcript);
    if (same === undefined) {
      sections.push({ system, levels: [level], reason: reasonOf(level), transcript });
    } else same.levels.push(level);
  }
  return sections;
}

export function sectionFor(
  sections: readonly Section[],
  system: Section['system'],
  level: Level,
): Section | undefined {
  return sections.find((section) => section.system === system && section.levels.includes(level));
}

function parseSections(text: string): Section[] {
  const sections: Section[] = [];
  for (const line of text === '' ? [] : text.split('\n')) {
    const match = header.exec(line);
    const last = sections.at(-1);
    if (match !== null) {
      sections.push({
        system: match[1] === undefined ? 'postgres' : 'skein',
        levels: (match[2] ?? '').split(', ').map(levelOf),
        reason: match[3] ?? '',
        transcript: '',
      });
    } else if (last !== undefined) {
      const before = last.transcript === '' ? '' : `${last.transcript}\n`;
      sections[sections.length - 1] = { ...last, transcript: before + line.slice(2) };
    }
  }
  return sections;
}

function printSections(sections: readonly Section[]): string {
  return sections
    .map(({ system, levels: at, reason, transcript }) => {
      const name = `${system === 'skein' ? 'skein, ' : ''}${at.join(', ')}:`;
      const title = reason === '' ? name : `${name} ${reason}`;
      return [title, ...transcript.split('\n').map((line) => `  ${line}`)].join('\n');
    })
    .join('\n');
}

function levelOf(text: string): Level {
  const level = levels.find((name) => name === text);
  if (level === undefined) throw new Error(`no level ${text}`);
  return level;
}
