/** Regular expressions that would hold the thread for hours end with an error; others work on long texts. */
import { describe, expect, it } from 'vitest';
import { compileRegex, regexMatches } from '../../../src/sql/functions/regex.ts';
import { SqlFailure } from '../../../src/sql/errors.ts';

function stateOf(pattern: string, text: string): string {
  try {
    return String(regexMatches(text, pattern));
  } catch (error) {
    return error instanceof SqlFailure ? error.code : String(error);
  }
}

describe('bounded regular expressions', () => {
  const a40 = 'a'.repeat(40);

  it.each([
    ['(a+)+$', `${a40}b`],
    ['^(a|aa)+$', `${a40}b`],
    ['(a*)*b', a40],
    ['([a-z]+)*=', a40],
    ['(((a{1,})?)+)+b', a40],
    ['a*a*a*a*a*a*b', 'a'.repeat(2000)],
  ])('%s gives up', (pattern, text) => {
    expect(stateOf(pattern, text)).toBe('54001');
  });

  it.each([
    ['^([a-z]+,)*[a-z]+$', `${'abc,'.repeat(10_000)}abc`, 'true'],
    ['^([a-z]+,)*[a-z]+$', `${'abc,'.repeat(10_000)}5`, 'false'],
    ['^(foo|bar)+$', 'foobar'.repeat(1000), 'true'],
    ['a.*b.*c', `a${'x'.repeat(1000)}b${'x'.repeat(1000)}c`, 'true'],
    ['(a+)+$', 'aaaab', 'false'],
  ])('%s matches', (pattern, text, wanted) => {
    expect(stateOf(pattern, text)).toBe(wanted);
  });

  it('groups, positions and replacement are those of the engine', () => {
    const regex = compileRegex('((?:[a-z]+)+)(\\d)');
    const text = `${'- '.repeat(20)}abc1 def2`;
    expect(regex.exec(text)?.[1]).toBe('abc');
    expect(regex.exec(text)?.index).toBe(45);
    regex.lastIndex = 0;
    expect(text.replace(regex, '<$1>')).toBe(`${'- '.repeat(20)}<abc> <def>`);
    expect(text.split(compileRegex('(?:[a-z]+)+\\d'))).toHaveLength(3);
  });
});
