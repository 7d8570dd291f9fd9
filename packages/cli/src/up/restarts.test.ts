import { expect, test } from "vitest";
import { waitBefore } from "./restarts.ts";

test("a service that dies is started at once, one that dies again and again after ever longer waits", () => {
  expect([0, 1, 2, 3, 4, 5, 6, 9, 10, 1_000].map(waitBefore)).toEqual([
    0, 0, 0, 0, 200, 400, 800, 6_400, 10_000, 10_000,
  ]);
});
