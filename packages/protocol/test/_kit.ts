import type { z } from "zod";

/** A place inside of a JSON value: names and indexes, joined by dots. The value itself: "". */
export type Place = string;

/** Where a schema finds a value wrong, each place once. A field that is too much stands there by its own name. */
export function wrongAt(schema: z.ZodType, value: unknown): Place[] {
  const issues = schema.safeParse(value).error?.issues ?? [];
  const places = issues.flatMap((issue) => {
    const at = issue.path.map(String);
    const names = issue.code === "unrecognized_keys" ? issue.keys.map((key) => [...at, key]) : [at];
    return names.map((name) => name.join("."));
  });
  return [...new Set(places)];
}

/** What a schema says about a value, at any place. */
export function wordsFor(schema: z.ZodType, value: unknown): string[] {
  return (schema.safeParse(value).error?.issues ?? []).map(({ message }) => message);
}

/** As it comes out at the other end of a connection. */
export function throughJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

type Holder = Record<string, unknown>;

const isHolder = (value: unknown): value is Holder => typeof value === "object" && value !== null;

/** A copy in which something else is done to the holder of a place. */
function changed(value: unknown, place: Place, change: (holder: Holder, name: string) => void): unknown {
  const copy: unknown = structuredClone(value);
  const names = place.split(".");
  const last = names.pop() ?? "";
  let holder: unknown = copy;
  for (const name of names) holder = isHolder(holder) ? holder[name] : undefined;
  if (!isHolder(holder)) throw new Error(`there is no place ${place}`);
  change(holder, last);
  return copy;
}

/** A copy with another value at a place; `__proto__` becomes a field of its own, as `JSON.parse` makes it. */
export function withAt(value: unknown, place: Place, other: unknown): unknown {
  if (place === "") return other;
  return changed(value, place, (holder, name) => {
    Object.defineProperty(holder, name, { value: other, enumerable: true, configurable: true, writable: true });
  });
}

/** A copy without the field at a place. */
export function without(value: unknown, place: Place): unknown {
  return changed(value, place, (holder, name) => {
    delete holder[name];
  });
}

/** What stands at a place. */
export function valueAt(value: unknown, place: Place): unknown {
  if (place === "") return value;
  return place.split(".").reduce<unknown>((holder, name) => (isHolder(holder) ? holder[name] : undefined), value);
}

/** Every place inside of a value, outer ones first. */
export function placesIn(value: unknown, at: Place = ""): Place[] {
  if (!isHolder(value)) return [];
  return Object.entries(value).flatMap(([name, inner]) => {
    const place = at === "" ? name : `${at}.${name}`;
    return [place, ...placesIn(inner, place)];
  });
}

/** The place that holds this one. */
export function holderOf(place: Place): Place {
  return place.split(".").slice(0, -1).join(".");
}

/** Numbers from 0 to below 2³², the same ones for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

export function seededBytes(next: () => number, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => next() & 0xff);
}

/** What a schema takes and refuses at one place of a value that is right otherwise. */
export interface Bound {
  /** What the bound is, in words. */
  rule: string;
  at: Place;
  takes: readonly unknown[];
  refuses: readonly unknown[];
  /** Where it says so, when not at the place itself. */
  told?: Place;
}

/** Those values that the schema takes and should not, or the other way round, or complains of elsewhere. */
export function misjudged(schema: z.ZodType, right: unknown, { at, takes, refuses, told = at }: Bound) {
  const judged = (values: readonly unknown[]) =>
    values.map((value) => ({ value: brief(value), wrong: wrongAt(schema, withAt(right, at, value)) }));
  return [
    ...judged(takes).filter(({ wrong }) => wrong.length > 0),
    ...judged(refuses).filter(({ wrong }) => wrong.length !== 1 || wrong[0] !== told),
  ];
}

/** As a failed test prints it. */
function brief(value: unknown): string {
  return String(JSON.stringify(value)).slice(0, 80);
}
