import type { TimeRange } from "../domain/paging.ts";

type CreatedQuery = Partial<Record<`created_at[${"gt" | "gte" | "lt" | "lte"}]`, number>>;

/** The four bounds as two. */
export function createdIn(query: CreatedQuery): TimeRange {
  const from = Math.max((query["created_at[gt]"] ?? -Infinity) + 1, query["created_at[gte]"] ?? -Infinity);
  const to = Math.min((query["created_at[lt]"] ?? Infinity) - 1, query["created_at[lte]"] ?? Infinity);
  return { ...(from === -Infinity ? {} : { from }), ...(to === Infinity ? {} : { to }) };
}
