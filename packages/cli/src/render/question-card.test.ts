import { expect, test } from "vitest";
import { type Question, questionCard, type Resolved, resolvedLine } from "./question-card.ts";

const common = { id: "sevt_1", seq: 1, processed_at: "2026-01-01T00:00:00Z", tool_use_id: "sevt_tool" };
const question = (more: Partial<Question>): Question => ({
  ...common,
  type: "holdfast.permission_request",
  kind: "tool",
  tool_name: "Bash",
  title: "Claude wants to run a command",
  description: "",
  input: {},
  reason: null,
  blocked_path: null,
  can_allow: true,
  suggestions: [],
  ...more,
});
const card = (more: Partial<Question>) => questionCard(question(more), (_style, text) => text);

test("a command, with its reason and what may be allowed always; nothing steers the terminal", () => {
  const suggestions = [{ id: "always-1", label: "Always allow Bash(touch one *) in this workspace", rules: ["…"] }];
  expect(
    card({ input: { command: "touch one\u001b[2J" }, description: "Make it", reason: "It\nwrites", suggestions }),
  ).toBe(
    [
      "❓ Claude wants to run a command",
      "   touch one␛[2J",
      "   Make it",
      "   Why it asks: It writes",
      "   a  Always allow Bash(touch one *) in this workspace",
    ].join("\n"),
  );
});

test("an edit, a long file, choices, a plan", () => {
  expect(card({ tool_name: "Edit", title: "Edit a", input: { old_string: "one\ntwo", new_string: "three" } })).toBe(
    "❓ Edit a\n   - one\n   - two\n   + three",
  );
  const content = Array.from({ length: 20 }, (_, line) => `line ${line}`).join("\n");
  expect(card({ tool_name: "Write", input: { content } })).toMatch(/line 15\n {3}… 4 more lines$/);
  const options = [{ label: "Postgres", description: "Relational" }];
  const questions = [{ question: "Which?", header: "DB", multi_select: true, options }];
  expect(card({ kind: "question", title: "Claude has a question", questions })).toBe(
    "❓ Claude has a question\n   [DB] Which? (one or more)\n     1  Postgres: Relational",
  );
  expect(card({ kind: "plan", title: "Claude has made a plan", plan: "# Plan\n\n1. Write" })).toBe(
    "❓ Claude has made a plan\n   # Plan\n   \n   1. Write",
  );
});

test.each<[string, Partial<Resolved>]>([
  ['Allowed by the key "ci", always: Bash(ls)', { outcome: "allowed", rule: "Bash(ls)", answered_by: 'the key "ci"' }],
  ["Allowed before, always: Bash(ls)", { outcome: "allowed", rule: "Bash(ls)" }],
  [
    "Refused by a browser, and stopped: no",
    { outcome: "denied", answered_by: "a browser", stopped: true, message: "no" },
  ],
  ["No longer asked: The turn ended", { outcome: "expired", message: "The turn ended" }],
])("%s", (words, more) => {
  expect(resolvedLine({ ...common, type: "holdfast.permission_resolved", outcome: "allowed", ...more })).toBe(words);
});
