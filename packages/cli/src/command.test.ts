import { expect, test } from "vitest";
import { commands } from "./catalogue.ts";
import { type Command, parseInput, UsageError } from "./command.ts";

const named = (name: string): Command => {
  const found = commands.find((command) => command.name === name);
  if (found === undefined) throw new Error(`no command ${name}`);
  return found;
};

test("options by their long and their short names", () => {
  expect(parseInput(named("logs"), ["last", "-f", "-n", "5", "-o", "json"])).toEqual({
    args: ["last"],
    options: { follow: true, tail: "5", output: "json" },
  });
});

test("what follows -- is the command's own", () => {
  expect(parseInput(named("exec"), ["sesn_1", "--timeout", "9", "--", "ls", "-o", "x"]).args).toEqual([
    "sesn_1",
    "ls",
    "-o",
    "x",
  ]);
});

test.each([
  ["up", ["--port", "70000"], "--port takes a number from 1 to 65535"],
  ["up", ["--port", "x"], "--port takes a number from 1 to 65535"],
  ["ls", ["-o", "yaml"], "--output takes text or json"],
  ["ls", ["--server", "ftp://x"], "--server takes an address"],
  ["ls", ["--frob"], "`holdfast ls` has no option --frob"],
  ["ls", ["x"], "takes no arguments"],
  ["send", ["last"], "takes ID TEXT"],
  ["run", ["two", "words"], "quote a text of several words"],
])("%s %j is refused in words", (name, argv, words) => {
  expect(() => parseInput(named(name), argv)).toThrow(UsageError);
  expect(() => parseInput(named(name), argv)).toThrow(words);
});

test("--help is answered whatever else is missing", () => {
  expect(parseInput(named("send"), ["--help"]).options.help).toBe(true);
});
