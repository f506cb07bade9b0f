/** Words of dates: month and weekday names, the words for moments, and the limits of the types. */

export const monthNames = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
] as const;
export const dayNames = [
  'Sunday',
  'Monday',
  'Tuesday',
  'Wednesday',
  'Thursday',
  'Friday',
  'Saturday',
] as const;

/** 1..12; undefined when the word is no month. Abbreviations have three letters, or `sept`. */
export function monthFromWord(word: string): number | undefined {
  const lower = word.toLowerCase();
  if (lower === 'sept') return 9;
  const index = monthNames.findIndex(
    (name) => name.toLowerCase() === lower || name.slice(0, 3).toLowerCase() === lower,
  );
  return index < 0 ? undefined : index + 1;
}

const dayAbbreviations: Readonly<Record<string, true>> = {
  sun: true,
  mon: true,
  tue: true,
  tues: true,
  wed: true,
  weds: true,
  thu: true,
  thur: true,
  thurs: true,
  fri: true,
  sat: true,
};

export function isWeekdayWord(word: string): boolean {
  const lower = word.toLowerCase();
  return (
    Object.hasOwn(dayAbbreviations, lower) || dayNames.some((name) => name.toLowerCase() === lower)
  );
}

/** date: 4714-11-24 BC .. 5874897-12-31, as days since 2000-01-01. */
export const minDateDays = -2_451_545;
export const maxDateDays = 2_145_031_948;
/** timestamp: 4714-11-24 BC .. 294276-12-31, as microseconds. The end is exclusive. */
export const minTimestamp = -211_813_488_000_000_000n;
export const endTimestamp = 9_223_371_331_200_000_000n;
