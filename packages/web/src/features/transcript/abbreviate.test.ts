import { expect, test } from "vitest";
import { abbreviate, cutMiddle, maskSecrets, patchOf, type ToolOutcome, todosOf } from "./abbreviate.ts";

const outcome = (text: string, details: unknown = null): ToolOutcome => ({ text, details });
const patch = {
  structuredPatch: [{ oldStart: 1, oldLines: 3, newStart: 1, newLines: 4, lines: [" a", "-b", "+c", "+d", " e"] }],
};

test.each<[string, Record<string, unknown>, ToolOutcome | null, string]>([
  ["Bash", { command: "npm test" }, null, "Bash|npm test|"],
  ["Bash", { command: "cd a\nmake\nmake test\nls" }, null, "Bash|cd a|+3 lines"],
  ["Bash", { command: "x".repeat(130) }, null, `Bash|${"x".repeat(119)}…|`],
  ["Read", { file_path: "/mnt/workspace/src/a.ts" }, null, "Read|src/a.ts|"],
  ["Read", { file_path: "/etc/hosts", offset: 120, limit: 61 }, null, "Read|/etc/hosts:120-180|"],
  ["Write", { file_path: "/mnt/workspace/a.txt", content: "1\n2\n3\n" }, null, "Write|a.txt|3 lines"],
  ["Edit", { file_path: "/mnt/workspace/a.ts", old_string: "a", new_string: "b\nc" }, null, "Edit|a.ts|+2 −1"],
  [
    "Edit",
    { file_path: "/mnt/workspace/a.ts", old_string: "b", new_string: "c" },
    outcome("ok", patch),
    "Edit|a.ts|+2 −1",
  ],
  [
    "MultiEdit",
    {
      file_path: "a",
      edits: [
        { old_string: "x", new_string: "y" },
        { old_string: "x\ny", new_string: "" },
      ],
    },
    null,
    "MultiEdit|a|+1 −3",
  ],
  [
    "Grep",
    { pattern: "foo", path: "src", glob: "*.ts" },
    outcome("src/a.ts\nsrc/b.ts"),
    'Grep|"foo" in src (*.ts)|2 hits',
  ],
  ["Grep", { pattern: "foo" }, outcome("No matches found"), 'Grep|"foo"|0 hits'],
  ["Glob", { pattern: "**/*.ts" }, outcome("a.ts"), "Glob|**/*.ts|1 file"],
  ["WebFetch", { url: "https://example.org/a/b?c=d" }, null, "WebFetch|example.org/a/b|"],
  [
    "Task",
    { subagent_type: "reviewer", description: "Review" },
    outcome("", { totalToolUseCount: 12, totalDurationMs: 40_100 }),
    "Task|reviewer: Review|12 tools, 40 s",
  ],
  [
    "TodoWrite",
    {
      todos: [
        { content: "a", status: "completed" },
        { content: "b", status: "pending" },
      ],
    },
    null,
    "TodoWrite|1 of 2 done|",
  ],
  ["mcp__github__create_issue", { n: 3, title: "Bug" }, null, "github / create_issue|Bug|"],
  ["Whatever", { count: 3, title: "Bug" }, null, "Whatever|3|"],
  ["constructor", {}, null, "constructor||"],
])("%s is one line", (name, input, result, want) => {
  const got = abbreviate(name, input, result);
  expect(`${got.label}|${got.params}|${got.note}`).toBe(want);
});

test("inputs of the wrong type do not break the line", () => {
  for (const name of ["Bash", "Read", "Write", "Edit", "MultiEdit", "Grep", "Glob", "WebFetch", "Task", "TodoWrite"])
    expect(() =>
      abbreviate(name, { command: 1, file_path: {}, edits: [1], todos: "x", url: null }, outcome("")),
    ).not.toThrow();
});

test("a path keeps its file name", () => {
  const short = cutMiddle("/mnt/workspace/packages/server/src/domain/sessions/append-event.ts", 40);
  expect(short).toHaveLength(40);
  expect(short).toMatch(/^\/mnt.*….*append-event\.ts$/);
});

test.each([
  "export API_KEY=abcdef123456",
  "curl -H 'Authorization: Bearer abcdef123456'",
  "echo sk-ant-abcdefghijklmnop",
  "git clone https://ghp_abcdefghijklmnop@github.com/x/y",
])("%s is masked", (text) => {
  expect(maskSecrets(text)).toContain("••••");
  expect(maskSecrets(text)).not.toMatch(/abcdef/);
});

test("ordinary text is not masked", () => {
  expect(maskSecrets("node --token-limit 5 sk-8")).toBe("node --token-limit 5 sk-8");
});

test("todo lists and patches of odd shapes are empty, not errors", () => {
  expect(todosOf({})).toEqual([]);
  expect(patchOf("x")).toEqual([]);
  expect(patchOf({ structuredPatch: [{ lines: [1, "+a"] }] })[0]?.lines).toEqual(["+a"]);
});
