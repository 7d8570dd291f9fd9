import { expect, test } from "vitest";
import { ResultStatus } from "../../proto/messages.ts";
import type { SandboxState } from "../../runtime/types.ts";
import { resultOf } from "./result.ts";

const ended = (exit: SandboxState["exit"]): SandboxState => ({
  running: false,
  ...(exit === undefined ? {} : { exit }),
});

test.each([
  [{ code: 0, reason: "exit" }, ResultStatus.success, 0],
  [{ code: 42, reason: "exit" }, ResultStatus.failure, 42],
  [{ signal: 15, reason: "exit" }, ResultStatus.failure, 143],
  [{ signal: 9, reason: "terminated" }, ResultStatus.terminated, 137],
] as const)("a process that ended as %o says so by its code alone", (exit, status, exitcode) => {
  expect(resultOf(ended(exit))).toEqual({ status, exitcode, exception: "" });
});

test.each([
  ["oom", ResultStatus.failure, "The sandbox ran out of memory"],
  ["disk", ResultStatus.failure, "The machine was out of disk"],
  ["memory", ResultStatus.failure, "The machine was out of memory"],
  ["lost", ResultStatus.internalFailure, "The sandbox was lost"],
] as const)("an end for %s is said in words, whatever the process's own code was", (reason, status, words) => {
  for (const exit of [
    { code: 0, reason },
    { signal: 9, reason },
  ])
    expect(resultOf(ended(exit))).toMatchObject({ status, exitcode: 137, exception: expect.stringContaining(words) });
});

test("a sandbox of which nothing is known any more was lost", () => {
  expect(resultOf(ended(undefined))).toMatchObject({ status: ResultStatus.internalFailure, exitcode: 137 });
});
