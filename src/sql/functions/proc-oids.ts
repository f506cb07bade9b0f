/** Oids of functions and operators that PostgreSQL has too (pg_proc, pg_operator), by signature. */
export const procOids: Readonly<Record<string, number>> = {};
