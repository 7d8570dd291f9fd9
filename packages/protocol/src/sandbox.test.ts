import { expect, test } from "vitest";
import { type Bound, misjudged, wrongAt } from "../test/_kit.ts";
import { sandbox } from "../test/examples/sandboxes.ts";
import { Sandbox, SandboxExec, SandboxExecFrame } from "./sandbox.ts";

const words = (length: number) => Array.from({ length }, () => "a");

const bounds: Bound[] = [
  {
    rule: "a command has a program, and up to 1000 words",
    at: "command",
    takes: [["ls"], words(1000)],
    refuses: [[], words(1001), "ls", null],
  },
  {
    rule: "a word may be empty, long, of many lines and of any script",
    at: "command.1",
    takes: ["", "a\nb", "é😀", "-rf", "$(id)", "x".repeat(100_000)],
    refuses: [5, null, ["a"]],
  },
  {
    rule: "a word and the NUL behind it have up to 128 KiB in UTF-8: Linux takes no more",
    at: "command.1",
    takes: ["x".repeat(131_071), "é".repeat(65_535), "€".repeat(43_690), "😀".repeat(32_767)],
    refuses: ["x".repeat(131_072), "é".repeat(65_536), "€".repeat(43_691), "😀".repeat(32_768)],
  },
  {
    rule: "a word holds no NUL, at which it would end",
    at: "command.1",
    takes: ["\u0001"],
    refuses: ["\u0000", "a\u0000b"],
  },
  {
    rule: "a command runs from a second to a day",
    at: "timeout_ms",
    takes: [1_000, 86_400_000],
    refuses: [999, 0, -1, 86_400_001, 1_000.5, "5000", null, Infinity, Number.NaN],
  },
  {
    rule: "a command is Claude's user's or root's",
    at: "user",
    takes: ["claudeuser", "root"],
    refuses: ["", "Root", "0", "nobody", null, 0],
  },
];

test.each(bounds)("$rule", (bound) => {
  expect(misjudged(SandboxExec, { command: ["ls", "-la"], timeout_ms: 5_000, user: "root" }, bound)).toEqual([]);
});

test("a command alone runs for ten minutes as Claude's user", () => {
  expect(SandboxExec.parse({ command: ["ls"] })).toEqual({ command: ["ls"], timeout_ms: 600_000, user: "claudeuser" });
});

test.each(["cwd", "env", "stdin", "shell"])("a command's %s is refused and not forgotten", (field) => {
  expect(wrongAt(SandboxExec, { command: ["ls"], [field]: "x" })).toEqual([field]);
});

test.each(["wanted", "creating", "running", "ended"] as const)("a sandbox that is %s may have no name yet", (state) => {
  const known = { ...sandbox, state, provider_id: null, unknown: null };
  expect(Sandbox.parse(known)).toEqual(known);
});

test.each([0, 1, 127, 128 + 9, 255])("a command may end with %i", (code) => {
  expect(SandboxExecFrame.parse({ type: "exit", code })).toEqual({ type: "exit", code });
});

test.each([
  ["an end without a code", { type: "exit" }, "code"],
  ["an end with no code", { type: "exit", code: null }, "code"],
  ["output without text", { type: "stdout" }, "text"],
  ["a frame of another type", { type: "stdin", text: "a" }, "type"],
  ["a frame without a type", { text: "a" }, "type"],
])("%s is no frame", (_what, frame, at) => {
  expect(wrongAt(SandboxExecFrame, frame)).toEqual([at]);
});
