import { z } from "zod";

/** One parameter of a query. */
export interface Parameter<S extends z.ZodType = z.ZodType> {
  /** Of its value. */
  schema: S;
  description: string;
  /**
   * How the query's text becomes the value. A `list` is sent as `name=a&name=b`, `name[]=a&name[]=b` or `name=a,b`, every
   * other one once. An empty text or integer counts as not sent, an empty word is an empty word.
   */
  form: "text" | "word" | "integer" | "flag" | "list";
}

const wholeNumber = (range: { min: number; max?: number }) => {
  const { min, max = Number.MAX_SAFE_INTEGER } = range;
  const error = range.max === undefined ? "must be a whole number" : `must be a whole number from ${min} to ${max}`;
  return z.number({ error }).int({ error }).min(min, { error }).max(max, { error });
};

export const integer = (range: { min: number; max?: number }, description: string) =>
  ({ form: "integer", schema: wholeNumber(range), description }) as const;

export const limit = (max: number, fallback: number) =>
  ({
    form: "integer",
    schema: wholeNumber({ min: 1, max }).default(fallback),
    description: "How many at the most",
  }) as const;

export const text = (description: string, schema = z.string()) => ({ form: "text", schema, description }) as const;

export const word = (description: string, schema = z.string()) => ({ form: "word", schema, description }) as const;

export const choice = <const T extends readonly [string, string, ...string[]]>(values: T, description: string) => {
  const error = `must be ${values.length === 2 ? values.join(" or ") : `one of ${values.join(", ")}`}`;
  return { form: "word", schema: z.enum(values, { error }), description } as const;
};

/** Absent: false. */
export const flag = (description: string) =>
  ({
    form: "flag",
    schema: z.boolean({ error: "must be true or false" }).default(false),
    description,
  }) as const;

export const list = <S extends z.ZodType>(item: S, description: string) =>
  ({ form: "list", schema: z.array(item), description }) as const;

export const choices = <const T extends string>(values: readonly T[], description: string) =>
  list(z.enum(values, { error: `must be one of ${values.join(", ")}` }), description);

const rfc3339 = /^\d{4}-\d{2}-\d{2}T([01]\d|2[0-3]):\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/i;
const error = "must be a time as in 2026-01-31T12:00:00Z";

/** `Date` takes the 30th of February for a day of March. */
function isOfCalendar(day: string): boolean {
  return new Date(`${day}T00:00:00Z`).toISOString().startsWith(day);
}

/** Milliseconds since 1970. */
const instant = z
  .string()
  .refine((value) => rfc3339.test(value) && !Number.isNaN(Date.parse(value)) && isOfCalendar(value.slice(0, 10)), {
    error,
  })
  .transform((value) => Date.parse(value));

const time = (words: string) =>
  ({ form: "text", schema: instant, description: `Made ${words} this moment, RFC 3339` }) as const;

const page = text("`next_page` of the page before");

/** `?limit=` and `?page=`. */
export const paging = { limit: limit(100, 20), page } as const;

/** The same for events, which are smaller. */
export const eventPaging = { limit: limit(1000, 100), page } as const;

export const created = {
  "created_at[gte]": time("at or after"),
  "created_at[lte]": time("at or before"),
  "created_at[gt]": time("after"),
  "created_at[lt]": time("before"),
} as const;

export const order = choice(["asc", "desc"], "By time");
export const archived = flag("Archived ones, too");
