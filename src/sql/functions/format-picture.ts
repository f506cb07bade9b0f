/**
 * Template patterns of to_char, to_date and to_timestamp (chapter 9.8): a picture is cut into keywords, quoted
 * text and other characters once, and cached.
 */

export type PictureNode =
  | { readonly kind: 'text'; readonly text: string }
  | {
      readonly kind: 'field';
      /** Upper case, except where case matters for the output: Month, MONTH, month are told apart by `word`. */
      readonly name: string;
      /** As written. */
      readonly word: string;
      readonly fillMode: boolean;
      /** TH or th behind it. */
      readonly ordinal: 'TH' | 'th' | undefined;
    };

const keywords = [
  'HH24',
  'HH12',
  'HH',
  'MI',
  'SSSSS',
  'SSSS',
  'SS',
  'MS',
  'US',
  'FF1',
  'FF2',
  'FF3',
  'FF4',
  'FF5',
  'FF6',
  'A.M.',
  'P.M.',
  'AM',
  'PM',
  'Y,YYY',
  'YYYY',
  'YYY',
  'YY',
  'Y',
  'IYYY',
  'IYY',
  'IY',
  'I',
  'B.C.',
  'A.D.',
  'BC',
  'AD',
  'MONTH',
  'MON',
  'MM',
  'DAY',
  'DY',
  'DDD',
  'IDDD',
  'DD',
  'D',
  'ID',
  'WW',
  'W',
  'IW',
  'CC',
  'J',
  'Q',
  'RM',
  'TZH',
  'TZM',
  'TZ',
  'OF',
].sort((a, b) => b.length - a.length);

const cache = new Map<string, readonly PictureNode[]>();
const maxCached = 200;

export function parsePicture(picture: string): readonly PictureNode[] {
  let nodes = cache.get(picture);
  if (nodes === undefined) {
    nodes = cutPicture(picture);
    if (cache.size >= maxCached) cache.clear();
    cache.set(picture, nodes);
  }
  return nodes;
}

function cutPicture(picture: string): PictureNode[] {
  const nodes: PictureNode[] = [];
  let at = 0;
  const text = (value: string): void => {
    const last = nodes.at(-1);
    if (last?.kind === 'text') nodes[nodes.length - 1] = { kind: 'text', text: last.text + value };
    else nodes.push({ kind: 'text', text: value });
  };
  while (at < picture.length) {
    const rest = picture.slice(at);
    const quoted = /^"((?:[^"\\]|\\.)*)"?/s.exec(rest);
    if (quoted !== null) {
      text((quoted[1] ?? '').replace(/\\(.)/gs, '$1'));
      at += quoted[0].length;
      continue;
    }
    const prefix = /^(?:FM|fm|TM|tm)*/.exec(rest)?.[0] ?? '';
    const upper = rest.slice(prefix.length, prefix.length + 8).toUpperCase();
    const name = keywords.find((keyword) => upper.startsWith(keyword));
    if (name === undefined) {
      text(picture[at] === '\\' && picture[at + 1] === '"' ? '"' : (picture[at] ?? ''));
      at += picture[at] === '\\' && picture[at + 1] === '"' ? 2 : 1;
      continue;
    }
    const word = rest.slice(prefix.length, prefix.length + name.length);
    at += prefix.length + name.length;
    const suffix = picture.slice(at, at + 2);
    const ordinal = suffix === 'TH' || suffix === 'th' ? suffix : undefined;
    if (ordinal !== undefined) at += 2;
    nodes.push({ kind: 'field', name, word, fillMode: /FM/i.test(prefix), ordinal });
  }
  return nodes;
}

/** Gives `text` the case of the pattern word: MONTH, Month, month. */
export function caseLike(word: string, text: string): string {
  if (word === word.toLowerCase()) return text.toLowerCase();
  return word === word.toUpperCase() ? text.toUpperCase() : text;
}

export function ordinalSuffix(value: number, style: 'TH' | 'th'): string {
  const tens = Math.abs(value) % 100;
  const ones = tens % 10;
  const suffix =
    tens >= 11 && tens <= 13
      ? 'th'
      : ones === 1
        ? 'st'
        : ones === 2
          ? 'nd'
          : ones === 3
            ? 'rd'
            : 'th';
  return style === 'TH' ? suffix.toUpperCase() : suffix;
}

export const romanMonths = [
  'I',
  'II',
  'III',
  'IV',
  'V',
  'VI',
  'VII',
  'VIII',
  'IX',
  'X',
  'XI',
  'XII',
];
