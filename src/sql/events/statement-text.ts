/** The text of a statement as the event log keeps it: without passwords, and not too long. */
import { scan } from '../parse/index.ts';

/** Characters of a statement that are kept. */
const maxLength = 10_000;

export function loggedText(statement: string): string {
  const text = redactPasswords(statement);
  if (text.length <= maxLength) return text;
  // Half of a surrogate pair would be no JSON.
  return `${text.slice(0, maxLength).replace(/[\ud800-\udbff]$/, '')}...`;
}

/** The string behind each word PASSWORD gives way to stars; so does one that goes on in the next line ('a' 'b'). */
function redactPasswords(text: string): string {
  if (!/password/i.test(text)) return text;
  let redacted = '';
  let at = 0;
  let before = '';
  for (const { kind, value, start, end } of scan(text)) {
    if (kind === 'string' && before === 'password') {
      redacted += `${text.slice(at, start)}'*****'`;
      at = end;
    }
    if (kind !== 'string') before = kind === 'word' ? value : '';
  }
  return redacted + text.slice(at);
}
