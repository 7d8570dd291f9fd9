import { expect, test } from "vitest";
import { nextCron } from "./cron.ts";

const at = (text: string) => Date.parse(`${text}Z`);
const next = (cron: string, after: string) => {
  const found = nextCron(cron, at(after));
  return found === undefined ? undefined : new Date(found).toISOString().slice(0, 16);
};

test.each([
  ["* * * * *", "2026-11-29T10:00:30", "2026-11-29T10:01"],
  ["* * * * *", "2026-11-29T10:00:00", "2026-11-29T10:01"],
  ["*/5 * * * *", "2026-11-29T10:04:59", "2026-11-29T10:05"],
  ["3-59/20 * * * *", "2026-11-29T10:44:00", "2026-11-29T11:03"],
  ["30 2 * * *", "2026-11-29T02:30:00", "2026-11-30T02:30"],
  ["0 9 * * 1-5", "2026-11-27T09:00:00", "2026-11-30T09:00"],
  ["0 9 * * 7", "2026-11-28T00:00:00", "2026-11-29T09:00"],
  ["0 0 31 * *", "2026-11-29T00:00:00", "2026-12-31T00:00"],
  ["0 0 29 2 *", "2026-11-29T00:00:00", "2028-02-29T00:00"],
  // Either of the two days.
  ["0 0 1 * 2", "2026-11-29T00:00:00", "2026-12-01T00:00"],
  ["0 12 5 * 2", "2026-12-01T13:00:00", "2026-12-05T12:00"],
  ["5 22 29 11 *", "2026-11-29T22:05:01", "2027-11-29T22:05"],
])("%s after %s", (cron, after, expected) => {
  expect(next(cron, after)).toBe(expected);
});

test.each([
  "",
  "* * * *",
  "60 * * * *",
  "* * 0 * *",
  "a b c d e",
  "*/0 * * * *",
  "5-1 * * * *",
  "0 0 31 2 *",
  "@daily",
])("%j names no minute", (cron) => {
  expect(nextCron(cron, 0)).toBeUndefined();
});
