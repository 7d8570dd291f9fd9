import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { eraseCommand } from "./erasures.ts";
import { transcriptEraser } from "./transcript-eraser.ts";

const gone = "11111111-2222-4333-8444-555555555555";
const other = "99999999-2222-4333-8444-555555555555";
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "holdfast-erase-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function put(path: string, text = "secret"): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

const has = (path: string) => existsSync(join(root, path));
const erase = (...ids: string[]) =>
  execFileSync(process.execPath, ["-e", transcriptEraser, join(root, ".claude"), join(root, "tmp"), ...ids]);

const named = (id: string) => [
  `.claude/projects/-mnt-workspace/${id}.jsonl`,
  `.claude/projects/-mnt-workspace/${id}/tool-results/big.txt`,
  `.claude/projects/-mnt-workspace/${id}/subagents/agent-1.jsonl`,
  `.claude/todos/${id}-agent-${id}.json`,
  `.claude/file-history/${id}/abc@v1`,
  `.claude/session-env/${id}/hook.sh`,
  `.claude/debug/${id}.txt`,
  `tmp/claude-1000/-mnt-workspace/${id}/tasks/b1.output`,
];

test("all that Claude Code keeps of a session goes, and nothing of another", () => {
  const kept = [
    ...named(other),
    ".claude/projects/-mnt-workspace/memory/MEMORY.md",
    ".claude/settings.json",
    ".claude.json",
  ];
  for (const path of [...named(gone), ...kept]) put(path);
  const lines = [gone, other, gone].map((sessionId) => JSON.stringify({ display: "secret", sessionId }));
  put(".claude/history.jsonl", `${lines.join("\n")}\n`);
  erase(gone);
  for (const path of named(gone)) expect(has(path), path).toBe(false);
  for (const path of kept) expect(has(path), path).toBe(true);
  expect(readFileSync(join(root, ".claude/history.jsonl"), "utf8")).toBe(`${lines[1]}\n`);
});

test("a link is removed, what it points to stays", () => {
  put("outside/keep.txt");
  mkdirSync(join(root, ".claude/projects/p"), { recursive: true });
  symlinkSync(join(root, "outside"), join(root, `.claude/projects/p/${gone}`));
  symlinkSync(join(root, "outside"), join(root, ".claude/projects/linked"));
  put(`outside/${gone}.jsonl`);
  erase(gone);
  expect(has(`.claude/projects/p/${gone}`)).toBe(false);
  expect(has("outside/keep.txt")).toBe(true);
  expect(has(`outside/${gone}.jsonl`)).toBe(true);
});

test("nothing there is nothing to do; without a session's id nothing is touched", () => {
  erase(gone);
  for (const path of named(other)) put(path);
  erase();
  for (const path of named(other)) expect(has(path), path).toBe(true);
  expect(eraseCommand(["", "..", "a b", `${gone}x`]).slice(-2)).toEqual(["/mnt/state/.claude", "/tmp"]);
});
