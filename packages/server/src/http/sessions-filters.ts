import { AppError } from "@holdfast/protocol";

function refuse(path: string, message: string): never {
  throw new AppError("request_invalid", { detail: `${path}: ${message}`, errors: [{ path, message }] });
}

export function flag(query: URLSearchParams, name: string): boolean {
  const text = query.get(name) ?? "false";
  if (text !== "true" && text !== "false") refuse(name, "must be true or false");
  return text === "true";
}

const rfc3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/i;

/** Milliseconds since 1970; undefined when it is not asked for. */
export function instant(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  const value = rfc3339.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(value) ? refuse(name, "must be a time as in 2026-01-31T12:00:00Z") : value;
}

/** Both bounds inclusive, milliseconds since 1970. */
export interface TimeRange {
  from?: number;
  to?: number;
}

/** `created_at[gt]`, `[gte]`, `[lt]` and `[lte]`. */
export function createdAt(query: URLSearchParams): TimeRange {
  const [gt, gte, lt, lte] = ["gt", "gte", "lt", "lte"].map((name) => instant(query, `created_at[${name}]`));
  const from = Math.max(gt === undefined ? -Infinity : gt + 1, gte ?? -Infinity);
  const to = Math.min(lt === undefined ? Infinity : lt - 1, lte ?? Infinity);
  return { ...(from === -Infinity ? {} : { from }), ...(to === Infinity ? {} : { to }) };
}

/** Of a list's query: `limit` is read by the route, whose bounds differ. */
export function pageOf(query: URLSearchParams): { page?: string } {
  const page = query.get("page");
  return page ? { page } : {};
}
