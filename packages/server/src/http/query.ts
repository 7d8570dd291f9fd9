import { AppError } from "@holdfast/protocol";

function refuse(path: string, message: string): never {
  throw new AppError("request_invalid", { detail: `${path}: ${message}`, errors: [{ path, message }] });
}

/** A whole number from the query. */
export function integer(query: URLSearchParams, name: string, range: { min: number; max: number; fallback: number }) {
  const text = query.get(name);
  if (text === null || text === "") return range.fallback;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= range.min && value <= range.max))
    refuse(name, `must be a whole number from ${range.min} to ${range.max}`);
  return value;
}

export function order(query: URLSearchParams, fallback: "asc" | "desc"): "asc" | "desc" {
  const text = query.get("order") ?? fallback;
  if (text !== "asc" && text !== "desc") return refuse("order", "must be asc or desc");
  return text;
}

/** `name=a&name=b`, `name[]=a&name[]=b`, `name=a,b`. */
export function list(query: URLSearchParams, name: string): string[] {
  const values: string[] = [];
  for (const [key, value] of query)
    if (key === name || (/^\[\d*\]$/.test(key.slice(name.length)) && key.startsWith(name)))
      values.push(...value.split(","));
  return values.filter((value) => value !== "");
}
