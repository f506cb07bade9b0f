/** Passwords in the text of statements. */
import { scan } from '../parse/index.ts';

/** The string behind each word PASSWORD gives way to stars; so does one that goes on in the next line ('a' 'b'). */
export function redactPasswords(text: string): string {
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
