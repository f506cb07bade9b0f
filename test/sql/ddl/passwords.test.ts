import { expect, it } from 'vitest';
import { passwordVerifier } from '../../../src/sql/ddl/passwords.ts';

it('makes the verifier that PostgreSQL makes', () => {
  // From PostgreSQL's own SCRAM test: RFC 7677, section 3 (user "user", password "pencil").
  const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
  const verifier = passwordVerifier('pencil', salt);
  expect(verifier).toBe(
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  );
  expect(passwordVerifier(verifier, Buffer.alloc(16))).toBe(verifier);
});
