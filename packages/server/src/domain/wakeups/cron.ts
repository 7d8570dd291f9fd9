/** Lowest and highest value of minute, hour, day of the month, month, day of the week. */
const bounds = [
  [0, 59],
  [0, 23],
  [1, 31],
  [1, 12],
  [0, 7],
] as const;

interface Field {
  values: ReadonlySet<number>;
  /** `*`: it says nothing. */
  isAny: boolean;
}

/** Longer than from one 29 February to the next across a century. */
const mostDays = 366 * 9;
const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

/**
 * The first minute after `afterMs` that a cron expression of five fields names, in UTC, as sandboxes have it. Undefined when
 * it is no such expression, or names no day there is.
 */
export function nextCron(expression: string, afterMs: number): number | undefined {
  const texts = expression.trim().split(/\s+/);
  const fields = texts.map((text, at) => fieldOf(text, bounds[at]));
  const [minute, hour] = fields;
  if (texts.length !== 5 || minute === undefined || hour === undefined || fields.includes(undefined)) return undefined;
  const first = Math.floor(afterMs / minuteMs + 1) * minuteMs;
  for (let day = Math.floor(first / dayMs); day * dayMs < first + mostDays * dayMs; day++) {
    if (!isDay(fields as Field[], new Date(day * dayMs))) continue;
    for (const h of sorted(hour))
      for (const m of sorted(minute)) {
        const at = day * dayMs + (h * 60 + m) * minuteMs;
        if (at >= first) return at;
      }
  }
  return undefined;
}

const sorted = ({ values }: Field) => [...values].sort((a, b) => a - b);

/** Where both days are named, one of them is enough, as cron has it. */
function isDay([, , day, month, weekday]: readonly Field[], date: Date): boolean {
  if (month?.values.has(date.getUTCMonth() + 1) !== true) return false;
  const isOfMonth = day?.values.has(date.getUTCDate()) === true;
  const isOfWeek = weekday?.values.has(date.getUTCDay()) === true;
  return day?.isAny === true || weekday?.isAny === true ? isOfMonth && isOfWeek : isOfMonth || isOfWeek;
}

function fieldOf(text: string, bound: readonly [number, number] | undefined): Field | undefined {
  if (bound === undefined) return undefined;
  const values = new Set<number>();
  for (const part of text.split(",")) {
    const [, range = "", step] = /^(\*|\d+(?:-\d+)?)(?:\/(\d+))?$/.exec(part) ?? [];
    const [low, high = step === undefined ? low : String(bound[1])] =
      range === "*" ? bound.map(String) : range.split("-");
    const [from, to, by] = [Number(low), Number(high), Number(step ?? 1)];
    if (range === "" || from < bound[0] || to > bound[1] || from > to || by < 1) return undefined;
    // Sunday has two numbers.
    for (let value = from; value <= to; value += by) values.add(bound[1] === 7 && value === 7 ? 0 : value);
  }
  return { values, isAny: text.startsWith("*") };
}
