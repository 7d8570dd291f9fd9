import { expect, test } from "vitest";
import { inPoints } from "./sweep.ts";

const quiet = { at: "2026-01-02T03:04:05.000Z", running: 2, ended: [], settled: [], unknown: 0, failures: [] };

test("a quiet sweep is one line", () => {
  expect(inPoints(quiet)).toEqual([
    { name: "sweep", verdict: "ok", text: `${quiet.at}: 2 running, 0 ended that nobody wanted, 0 gone and settled` },
  ]);
});

test("unknown sandboxes are a note, failures are problems, each with what to do", () => {
  const points = inPoints({ ...quiet, unknown: 1, failures: ["the provider is away"] });
  expect(points.map(({ verdict }) => verdict)).toEqual(["ok", "note", "problem"]);
  expect(points[1]?.text).toBe("1 sandbox carries this installation's tag and no workspace here knows it");
  for (const point of points.slice(1)) expect(point.remedy).toMatch(/\w/);
});

test("before the first sweep it says so", () => {
  expect(inPoints(null)).toMatchObject([{ verdict: "note" }]);
});
