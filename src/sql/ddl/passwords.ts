/** Passwords are kept as SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677; the text form is PostgreSQL's). */
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';

const iterations = 4096;
export const saltBytes = 16;

/** A verifier is kept as it is given (pg_dumpall writes them); anything else is a password in clear. */
export function passwordVerifier(password: string, salt: Buffer): string {
  if (/^SCRAM-SHA-256\$\d+:[^$]+\$[^:]+:.+$/.test(password)) return password;
  const salted = pbkdf2Sync(password.normalize('NFKC'), salt, iterations, 32, 'sha256');
  const clientKey = createHmac('sha256', salted).update('Client Key').digest();
  const storedKey = createHash('sha256').update(clientKey).digest('base64');
  const serverKey = createHmac('sha256', salted).update('Server Key').digest('base64');
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}
