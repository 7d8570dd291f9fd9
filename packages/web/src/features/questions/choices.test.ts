import { expect, test } from "vitest";
import { chosen, noChoice, toggled } from "./choices.ts";

const question = (multi_select: boolean) => ({
  question: "Which?",
  header: "",
  multi_select,
  options: ["A", "B", "C"].map((label) => ({ label, description: "" })),
});

test("one of them: the last that was picked, also when it is other words", () => {
  const one = question(false);
  const b = toggled(toggled(noChoice, "A", false), "B", false);
  expect(chosen(one, b)).toEqual(["B"]);
  const other = { ...toggled(b, null, false), otherText: " mine " };
  expect(chosen(one, other)).toEqual(["mine"]);
  expect(chosen(one, toggled(other, "C", false))).toEqual(["C"]);
});

test("several: in the order of the options, with other words last; other without words is no answer yet", () => {
  const many = question(true);
  const two = toggled(toggled(noChoice, "C", true), "A", true);
  expect(chosen(many, two)).toEqual(["A", "C"]);
  const other = toggled(two, null, true);
  expect(chosen(many, other)).toEqual([]);
  expect(chosen(many, { ...other, otherText: "mine" })).toEqual(["A", "C", "mine"]);
  expect(chosen(many, toggled(toggled(two, "A", true), "C", true))).toEqual([]);
});
