import type { Row } from "./row-types.ts";

/** Whether they show the same. */
export function sameRow(a: Row, b: Row): boolean {
  const left: Record<string, unknown> = { ...a };
  const right: Record<string, unknown> = { ...b };
  const keys = Object.keys(right);
  if (keys.length !== Object.keys(left).length) return false;
  return keys.every((key) => {
    const x = left[key];
    const y = right[key];
    if (Array.isArray(x) && Array.isArray(y)) return x.length === y.length && x.every((entry, i) => entry === y[i]);
    return Object.is(x, y);
  });
}
