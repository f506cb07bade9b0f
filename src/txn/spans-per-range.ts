/** Many spans of one range as one: what is joined may cover more, and belongs to one range as far as the cache knows. */
import { joinedSpan, type RangeDescriptor, type Span } from '../kv/index.ts';
import { compareBytes } from '../util/index.ts';
import { isInside, type Router } from './router.ts';

/** Fewer spans than this stay as they are. */
const maxApart = 16;

/** A split that the cache does not know of makes a joined span a mismatch, which is then routed again. */
export function fewPerRange(router: Router, spans: readonly Span[]): readonly Span[] {
  if (spans.length <= maxApart) return spans;
  const joined: Span[] = [];
  let range: RangeDescriptor | undefined;
  for (const span of spans.toSorted((a, b) => compareBytes(a.start, b.start))) {
    const last = joined.at(-1);
    const both = last && joinedSpan(last, span);
    if (both !== undefined && range !== undefined && isInside(range, span)) {
      joined[joined.length - 1] = both;
      continue;
    }
    range = router.cachedRangeOf(span.start);
    if (range !== undefined && !isInside(range, span)) range = undefined;
    joined.push(span);
  }
  return joined;
}
