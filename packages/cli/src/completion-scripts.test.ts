import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { commands } from "./catalogue.ts";
import { completionFor } from "./completion-scripts.ts";

function complete(...words: string[]): string[] {
  const script = `${completionFor("bash", commands)}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _holdfast; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync("bash", ["-c", script, "bash", ...words], { encoding: "utf8" })
    .split("\n")
    .filter(Boolean);
}

test("bash completes commands, second words, options and choices", () => {
  expect(complete("holdfast", "wor")).toEqual(["workspace"]);
  expect(complete("holdfast", "workspace", "r")).toEqual(["rules", "rename", "rm"]);
  expect(complete("holdfast", "workspace", "rm", "--y")).toEqual(["--yes"]);
  expect(complete("holdfast", "queue", "")).toEqual(["edit", "rm", "now"]);
  expect(complete("holdfast", "queue", "--s")).toEqual(["--server"]);
  expect(complete("holdfast", "queue", "last", "--out")).toEqual(["--output"]);
  expect(complete("holdfast", "queue", "edit", "last", "--out")).toEqual(["--output"]);
  expect(complete("holdfast", "logs", "--fo")).toEqual(["--follow"]);
  expect(complete("holdfast", "ls", "-o", "j")).toEqual(["json"]);
  expect(complete("holdfast", "completion", "f")).toEqual(["fish"]);
});

test("zsh and fish name every command", () => {
  for (const shell of ["zsh", "fish"] as const) {
    const script = completionFor(shell, commands);
    for (const { name } of commands) for (const word of name.split(" ")) expect(script).toContain(word);
  }
});
