import { expect, test } from "vitest";
import { commands, groups } from "./catalogue.ts";
import { helpOf, nearest, overview } from "./help.ts";

test("the overview", () => {
  expect(overview(groups)).toMatchSnapshot();
});

test.each(commands.map((command) => [command.name, command] as const))("help of %s", (_name, command) => {
  expect(helpOf(command)).toMatchSnapshot();
});

test("help fits a terminal of 120 columns", () => {
  for (const text of [overview(groups), ...commands.map(helpOf)])
    for (const line of text.split("\n")) expect(line.length, line).toBeLessThanOrEqual(120);
});

test("every command can be loaded", async () => {
  for (const command of commands) expect(await command.load(), command.name).toBeTypeOf("function");
});

test.each([
  ["lss", "ls"],
  ["atach", "attach"],
  ["lgos", "logs"],
  ["docter", "doctor"],
  ["workspace lsit", "workspace list"],
])("%s most likely means %s", (typed, meant) => {
  const names = commands.map(({ name }) => name);
  expect(nearest(typed, names)).toBe(meant);
});

test("nothing is near to something else entirely", () => {
  expect(nearest("frobnicate", ["ls", "run", "up"])).toBeUndefined();
});
