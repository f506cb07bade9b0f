/** A planner that knows constants, parameters and generate_series: enough to talk about. */
import { type Node } from '@pgsql/types';
import { sqlError, type SqlParts, type Row, type Datum } from '../../src/sql/index.ts';
import { typeByCatalogName, typeByName, typeOps } from '../../src/sql/types/index.ts';

type Value = { oid: number; get(params: readonly Datum[], row: number): Datum };

export const fakeParts: Pick<SqlParts, 'planStatement'> = {
  planStatement: async ({ statement, parameterTypes, catalog, eval: context }) => {
    const types = [...parameterTypes];
    const value = (node: Node, wanted: number): Value => {
      if ('ParamRef' in node) {
        const i = (node.ParamRef.number ?? 1) - 1;
        if ((types[i] ?? 0) === 0) types[i] = wanted === 0 ? 25 : wanted;
        return { oid: types[i] ?? 25, get: (params) => params[i] ?? null };
      }
      if ('TypeCast' in node && node.TypeCast.arg && node.TypeCast.typeName) {
        const names = (node.TypeCast.typeName.names ?? []).map((n) =>
          'String' in n ? (n.String.sval ?? '') : '',
        );
        const oid =
          (typeByCatalogName(names.at(-1) ?? '') ?? typeByName(names.at(-1) ?? ''))?.oid ?? 25;
        const inner = value(node.TypeCast.arg, oid);
        return {
          oid,
          get: (params, row) => {
            const got = inner.get(params, row);
            return typeof got === 'string' && inner.oid === 25
              ? typeOps(oid).parse(got, -1, context)
              : got;
          },
        };
      }
      if ('A_Const' in node) {
        const c = node.A_Const;
        if (c.ival !== undefined) return { oid: 23, get: () => c.ival?.ival ?? 0 };
        if (c.isnull === true) return { oid: 25, get: () => null };
        if (c.boolval !== undefined) return { oid: 16, get: () => c.boolval?.boolval ?? false };
        return { oid: 25, get: () => c.sval?.sval ?? '' };
      }
      if ('ColumnRef' in node) return { oid: 23, get: (_p, row) => row };
      if ('FuncCall' in node) {
        throw sqlError('divisionByZero', 'division by zero', {
          position: (node.FuncCall.location ?? 0) + 1,
        });
      }
      throw sqlError('undefinedColumn', 'what is this');
    };
    if (!('SelectStmt' in statement)) throw sqlError('featureNotSupported', 'only SELECT');
    const select = statement.SelectStmt;
    let from = 1;
    let to = 1;
    const range = select.fromClause?.[0];
    if (range !== undefined && 'RangeFunction' in range) {
      const call = JSON.parse(JSON.stringify(range.RangeFunction.functions));
      [from, to] = call[0].List.items[0].FuncCall.args.map(
        (a: { A_Const: { ival: { ival: number } } }) => a.A_Const.ival.ival ?? 0,
      );
    } else if (range !== undefined) {
      throw sqlError('undefinedTable', 'relation does not exist', { position: 1 });
    }
    const values = (select.targetList ?? []).map((t) => {
      if (!('ResTarget' in t) || !t.ResTarget.val) throw new Error();
      return { name: t.ResTarget.name ?? '?column?', ...value(t.ResTarget.val, 0) };
    });
    const columns = values.map(({ name, oid }) => ({
      name,
      typeOid: oid,
      typmod: -1,
      tableOid: 0,
      columnNumber: 0,
    }));
    return {
      catalogVersion: catalog.version,
      parameterTypes: types,
      columns,
      isReadOnly: true,
      isRepeatable: true,
      outlivesRollback: false,
      execute: async (ctx) => {
        let at = from;
        let count = 0;
        return {
          columns,
          next: async () => {
            ctx.checkCanceled();
            if (at > to) return undefined;
            const rows: Row[] = [];
            for (; at <= to && rows.length < 1000; at++)
              rows.push(values.map((v) => v.get(ctx.params, at)));
            count += rows.length;
            await new Promise(setImmediate);
            return rows;
          },
          tag: () => `SELECT ${count}`,
          close: async () => {},
        };
      },
    };
  },
};
