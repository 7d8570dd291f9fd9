/** Reading of JSON that nobody promised a shape for: each function gives the value when it has the type, else a default. */

export type JsonObject = { readonly [key: string]: unknown };

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** More than any line of the CLI has; whoever writes JSON again goes as deep as it is, and fails at some thousands. */
const maxDepth = 200;
const tooDeep = `[nested more than ${maxDepth} levels deep; the raw record has all of it]`;

/** Cuts what lies deeper, in place. What a tool prints, or is asked to do, may be nested without end. */
export function limitDepth(value: unknown, depth = 1): void {
  if (typeof value !== "object" || value === null) return;
  const holder = value as Record<string, unknown>;
  for (const key of Object.keys(holder)) {
    const item = holder[key];
    if (typeof item !== "object" || item === null) continue;
    if (depth < maxDepth) limitDepth(item, depth + 1);
    else holder[key] = tooDeep;
  }
}

export function asObject(value: unknown): JsonObject {
  return isObject(value) ? value : {};
}

export function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function asString(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

export function asNumber(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

export function strings(value: unknown): string[] {
  return asArray(value).filter((item) => typeof item === "string");
}

/** Above this a number is no amount of anything here: a sum of such would be none, either. */
const mostAmount = 1e15;

/** 0 for whatever cannot be one. */
export function asAmount(value: unknown): number {
  const amount = asNumber(value) ?? 0;
  return amount >= 0 && amount <= mostAmount ? amount : 0;
}

/** A whole number; 0 for whatever cannot be one. */
export function asCount(value: unknown): number {
  return Math.trunc(asAmount(value));
}
