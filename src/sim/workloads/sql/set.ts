/**
 * The set workload (Jepsen): elements that are each added once, and reads of all of them, in several ranges from the
 * beginning: in one statement, or page by page in one transaction.
 */
import { checkSet, setCodec, type SetOp } from '../../checkers/set.ts';
import { execute, transact } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

/** Odd numbers above it are rounded by whoever takes them for 8 byte floats. */
const offset = 2n ** 53n;
/** Neighbours are apart, so that what is added later lies everywhere. */
const stride = 0x9e37;
const places = 0x1_0000;
/** How many statements a read takes that goes page by page: more of them would keep most clients from writing. */
const pagesOfARead = [2, 5, 20];

interface Row {
  readonly id: string;
}

export function set(): CheckedWorkload<SetOp> {
  let elements = 0;
  return {
    tables: ['elements'],
    setup: [
      'CREATE TABLE elements (place int, id int8, PRIMARY KEY (place, id))',
      `ALTER TABLE elements SPLIT AT SELECT i * ${places / 4} FROM generate_series(1, 3) i`,
    ],
    codec: setCodec,
    next(random) {
      if (random.chance(0.7)) return add(elements++);
      if (random.chance(0.5)) return readAtOnce();
      return readByPage(Math.ceil((elements + 1) / random.pick(pagesOfARead)));
    },
    finalReads: () => [readAtOnce()],
    permitted: [],
    check: checkSet,
  };
}

function add(element: number): Step<SetOp> {
  const what = { kind: 'add', value: element } as const;
  const place = (element * stride) % places;
  return {
    what,
    async run(sql) {
      const insert = 'INSERT INTO elements VALUES ($1, $2)';
      await execute(sql, insert, [place, String(offset + BigInt(element))]);
      return what;
    },
  };
}

function readAtOnce(): Step<SetOp> {
  return {
    what: { kind: 'read', value: [] },
    async run(sql) {
      const { rows } = await execute<Row>(sql, 'SELECT id FROM elements');
      return { kind: 'read', value: rows.map(elementOf) };
    },
  };
}

function readByPage(pageRows: number): Step<SetOp> {
  return {
    what: { kind: 'read', value: [] },
    run: (sql) =>
      transact(sql, async (txn) => {
        const read: number[] = [];
        let after: readonly [number, string] = [-1, '0'];
        for (;;) {
          const { rows } = await txn.query<Row & { readonly place: number }>(
            `SELECT place, id FROM elements WHERE (place, id) > ($1, $2)
             ORDER BY place, id LIMIT ${pageRows}`,
            after,
          );
          read.push(...rows.map(elementOf));
          const last = rows.at(-1);
          if (last === undefined || rows.length < pageRows) return { kind: 'read', value: read };
          after = [last.place, last.id];
        }
      }),
  };
}

function elementOf({ id }: Row): number {
  return Number(BigInt(id) - offset);
}
