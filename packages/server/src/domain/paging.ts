import { decodeCursor, encodeCursor } from "./cursor.ts";

/** Pages of lists that are sorted by id, oldest first. */
export interface PageRequest {
  limit: number;
  /** `next_page` of the page before. */
  page?: string;
}

/** Both bounds inclusive, milliseconds since 1970. */
export interface TimeRange {
  from?: number;
  to?: number;
}

export interface Page<T> {
  data: T[];
  next_page: string | null;
}

/** The id that the page before ended with. Throws `request_invalid` for a cursor of another list. */
export function afterPage({ page }: PageRequest, of: string): string | undefined {
  return page === undefined ? undefined : String(decodeCursor(page, { of, order: "asc" }));
}

/** Of `limit + 1` items that were asked for: the page, and where the next one begins. */
export function toPage<T extends { id: string }>(items: T[], { of, limit }: { of: string; limit: number }): Page<T> {
  const data = items.slice(0, limit);
  const last = data.at(-1)?.id;
  const more = items.length > limit && last !== undefined;
  return { data, next_page: more ? encodeCursor({ of, order: "asc", last }) : null };
}
