import type { PageRequest } from "../domain/paging.ts";
import { integer } from "./query.ts";

/** `?limit=` (1 to 100, 20 unless given) and `?page=` of our own lists. */
export function paging(url: string): PageRequest {
  const query = new URL(url).searchParams;
  const page = query.get("page");
  return { limit: integer(query, "limit", { min: 1, max: 100, fallback: 20 }), ...(page ? { page } : {}) };
}
