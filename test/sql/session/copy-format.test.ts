/** COPY data to records and back. Each script runs with the data in one piece and byte by byte. */
import { join } from 'node:path';
import { beforeAll, describe } from 'vitest';
import { loadParser, parseStatements } from '../../../src/sql/parse/index.ts';
import { SqlFailure } from '../../../src/sql/errors.ts';
import { copyRecords } from '../../../src/sql/session/copy/input.ts';
import { copyOptions, type CopyOptions } from '../../../src/sql/session/copy/options.ts';
import { copyWriter } from '../../../src/sql/session/copy/output.ts';
import { defaultFormat, oids } from '../../../src/sql/types/index.ts';
import { runScripts } from '../../script.ts';

beforeAll(async () => {
  await loadParser();
});

function optionsOf(text: string): CopyOptions {
  const statement = parseStatements(text)[0]?.statement;
  if (statement?.kind !== 'postgres' || !('CopyStmt' in statement.node)) throw new Error(text);
  return copyOptions(statement.node.CopyStmt);
}

/** \r, \t, \0 and trailing blanks cannot stand in a script as they are. */
const data = (text: string): string =>
  text
    .replaceAll('<CR>', '\r')
    .replaceAll('<TAB>', '\t')
    .replaceAll('<NL>', '\n')
    .replaceAll('<NUL>', '\0');

for (const pieceBytes of [1_000_000, 1]) {
  describe(`pieces of ${pieceBytes}`, () => {
    runScripts(join(import.meta.dirname, 'testdata', 'copy'), () => {
      let options: CopyOptions;
      return (step) => {
        try {
          switch (step.command) {
            case 'options':
              options = optionsOf(step.input);
              return '';
            case 'in': {
              const records = copyRecords(options);
              const bytes = Buffer.from(data(step.input));
              const found = [];
              for (let at = 0; at < bytes.length; at += pieceBytes) {
                found.push(...records.push(bytes.subarray(at, at + pieceBytes)));
              }
              found.push(...records.end());
              return found.map((record) => JSON.stringify(record)).join('\n');
            }
            case 'out': {
              const rows = step.input
                .split('\n')
                .map((line) => JSON.parse(line) as (string | null)[]);
              const columns = (rows[0] ?? []).map((_value, i) => ({
                name: `c${i}`,
                typeOid: oids.text,
                typmod: -1,
                tableOid: 0,
                columnNumber: 0,
              }));
              const writer = copyWriter(options, columns, defaultFormat);
              const parts = [writer.begin, ...rows.map((row) => writer.row(row)), writer.end];
              return JSON.stringify(Buffer.concat(parts.flatMap((part) => part ?? [])).toString());
            }
            default:
              throw new Error(step.command);
          }
        } catch (error) {
          if (error instanceof SqlFailure) return `${error.code} ${error.message}`;
          throw error;
        }
      };
    });
  });
}
