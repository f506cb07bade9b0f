/** No password gets into the event log, however it is written. */
import { expect, it } from 'vitest';
import { redactPasswords } from '../../../src/sql/events/redact.ts';

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
  expect(redactPasswords(text)).toBe(redacted);
});
