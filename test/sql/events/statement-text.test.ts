/** No password gets into the event log, however it is written; long statements are cut. */
import { expect, it } from 'vitest';
import { loggedText } from '../../../src/sql/events/statement-text.ts';

it.each([
  ["create user a password 'x' createdb", "create user a password '*****' createdb"],
  [
    "ALTER ROLE a ENCRYPTED PASSWORD 'it''s' LOGIN",
    "ALTER ROLE a ENCRYPTED PASSWORD '*****' LOGIN",
  ],
  ["alter role a password /* 'y' */ E'\\'x'", "alter role a password /* 'y' */ '*****'"],
  ['alter role a password $q$x$q$', "alter role a password '*****'"],
  ["alter role a password U&'x'", "alter role a password '*****'"],
  ["alter role a password 'x'\n  'y'", "alter role a password '*****'\n  '*****'"],
  ['alter role a password null', 'alter role a password null'],
  ["comment on column t.password is 'x'", "comment on column t.password is 'x'"],
])('%s', (text, redacted) => {
  expect(loggedText(text)).toBe(redacted);
});

it('a long statement is cut between characters', () => {
  const text = `${'x'.repeat(9_999)}😀`;
  expect(loggedText(text)).toBe(`${'x'.repeat(9_999)}...`);
  expect(loggedText('x'.repeat(10_000))).toHaveLength(10_000);
});
