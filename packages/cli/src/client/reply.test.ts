import { describe, expect, test } from "vitest";
import type { Question } from "../render/question-card.ts";
import { OpenQuestions } from "./open-questions.ts";
import { hintOf, readReply } from "./reply.ts";

const question = (more: Partial<Question> = {}): Question => ({
  id: "sevt_1",
  seq: 1,
  processed_at: "2026-01-01T00:00:00Z",
  type: "holdfast.permission_request",
  tool_use_id: "sevt_tool",
  kind: "tool",
  tool_name: "Bash",
  title: "Claude wants to run a command",
  description: "",
  input: { command: "touch one" },
  reason: null,
  blocked_path: null,
  can_allow: true,
  suggestions: [],
  ...more,
});
const always = [
  { id: "always-1", label: "Always allow Bash(touch *)", rules: ["Bash(touch *)"] },
  { id: "always-2", label: "Accept all edits", rules: [], mode: "acceptEdits" as const },
];
const choices = question({
  kind: "question",
  questions: [
    {
      question: "Which database?",
      header: "Database",
      multi_select: false,
      options: [
        { label: "Postgres", description: "" },
        { label: "SQLite", description: "" },
      ],
    },
    {
      question: "Which features?",
      header: "",
      multi_select: true,
      options: [
        { label: "Auth", description: "" },
        { label: "Search", description: "" },
      ],
    },
  ],
});

describe("a tool", () => {
  test.each([
    ["y", { result: "allow" }],
    ["YES", { result: "allow" }],
    ["n", { result: "deny" }],
    ["s", { result: "deny", holdfast: { stop: true } }],
    ["a1", { result: "allow", holdfast: { remember: "always-1" } }],
    ["A2", { result: "allow", holdfast: { remember: "always-2" } }],
    ["No, use the other file", { result: "deny", deny_message: "No, use the other file" }],
  ])("%s", (typed, reply) => {
    expect(readReply(question({ suggestions: always }), ` ${typed} `)).toEqual({ reply });
  });

  test.each(["", "a", "a3", "x", "1"])("%j is a slip of the finger", (typed) => {
    expect(readReply(question({ suggestions: always }), typed)).toEqual({
      unclear: "Allow? y yes, a1/a2 always, n no, s stop, or say why not",
    });
  });

  test("one suggestion is a; what can only be refused is not allowed", () => {
    const one = question({ suggestions: always.slice(0, 1) });
    expect(readReply(one, "a")).toEqual({ reply: { result: "allow", holdfast: { remember: "always-1" } } });
    expect(readReply(question(), "a")).toHaveProperty("unclear");
    expect(readReply(question({ can_allow: false }), "y")).toHaveProperty("unclear");
    expect(hintOf(question({ can_allow: false }))).not.toContain("y yes");
  });
});

test.each([
  ["y", { result: "allow" }],
  ["e", { result: "allow", holdfast: { mode: "acceptEdits" } }],
  ["d", { result: "allow", holdfast: { mode: "default" } }],
  ["n", { result: "deny" }],
  ["Shorter, please", { result: "deny", deny_message: "Shorter, please" }],
])("a plan: %s", (typed, reply) => {
  expect(readReply(question({ kind: "plan", plan: "# Plan" }), typed)).toEqual({ reply });
});

test("a question with choices is answered part by part", () => {
  const open = new OpenQuestions();
  expect(open.take(choices)).toBe(true);
  expect(open.prompt).toBe('Answer to "Database": a number, or your own words; - declines, s stops > ');
  expect(open.typed("3")).toEqual({ say: "There are choices 1 to 2" });
  expect(open.typed("1,2")).toEqual({ say: "It takes one answer" });
  expect(open.typed("2")).toEqual({});
  expect(open.prompt).toContain('to "Which features?": numbers');
  expect(open.typed("1, 2")).toEqual({
    send: {
      question: choices,
      reply: {
        result: "allow",
        holdfast: { answers: { "Which database?": "SQLite", "Which features?": ["Auth", "Search"] } },
      },
    },
  });
  expect(open.current).toBeUndefined();
});

test("own words, declining, and an answer from elsewhere", () => {
  const open = new OpenQuestions();
  open.take(choices);
  open.typed("Something else");
  const resolved = {
    id: "sevt_2",
    seq: 2,
    processed_at: "",
    type: "holdfast.permission_resolved" as const,
    tool_use_id: "sevt_tool",
    outcome: "allowed" as const,
  };
  expect(open.take(resolved)).toBe(true);
  open.take(choices);
  expect(open.prompt).toContain("Database");
  expect(open.typed("-").send?.reply).toEqual({ result: "deny" });
});
