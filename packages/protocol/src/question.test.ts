import { expect, test } from "vitest";
import { type Bound, misjudged, wordsFor, wrongAt } from "../test/_kit.ts";
import { events } from "../test/examples/events.ts";
import { confirmation, permissionModes } from "../test/examples/messages.ts";
import { SessionEvent } from "./event.ts";
import { ConfirmationDetails, PermissionSuggestion, PlanMode } from "./question.ts";

const texts = (length: number, text = "a") => Array.from({ length }, () => text);
const answers = (size: number) => Object.fromEntries(texts(size).map((text, index) => [`q${index}`, text]));

const bounds: Bound[] = [
  {
    rule: "what is remembered has an id of 1 to 64 characters",
    at: "remember",
    takes: ["s", "s".repeat(64)],
    refuses: ["", "s".repeat(65), null, 1],
  },
  {
    rule: "an answer has up to 10000 characters",
    at: "answers.q",
    takes: ["", "a".repeat(10_000)],
    refuses: ["a".repeat(10_001)],
  },
  {
    rule: "an answer may be several labels, up to 50",
    at: "answers.q",
    takes: [[], ["SQLite"], texts(50)],
    refuses: [texts(51)],
  },
  {
    rule: "each of several labels has up to 10000 characters",
    at: "answers.q",
    takes: [["a".repeat(10_000)]],
    refuses: [["a".repeat(10_001)]],
    told: "answers.q.0",
  },
  {
    rule: "an answer is words and nothing else",
    at: "answers.q",
    takes: ["words of one's own"],
    refuses: [5, true, null, {}, { label: "a" }, [5], [["a"]], [null]],
  },
  { rule: "up to 100 questions are answered", at: "answers", takes: [{}, answers(100)], refuses: [answers(101)] },
  {
    rule: "a plan goes on in two ways",
    at: "mode",
    takes: ["default", "acceptEdits"],
    refuses: ["plan", "bypassPermissions"],
  },
  { rule: "a denial stops the turn or does not", at: "stop", takes: [true, false], refuses: ["true", 1, null] },
];

test.each(bounds)("$rule", (bound) => {
  expect(misjudged(ConfirmationDetails, { ...confirmation, answers: { q: "a" } }, bound)).toEqual([]);
});

test("a question of up to 10000 characters can be answered", () => {
  const longest = "q".repeat(10_000);
  expect(wrongAt(ConfirmationDetails, { answers: { [longest]: "a" } })).toEqual([]);
  expect(wrongAt(ConfirmationDetails, { answers: { [`${longest}q`]: "a" } })).toEqual([`answers.${longest}q`]);
});

test("too many answers are said to be too many", () => {
  expect(wordsFor(ConfirmationDetails, { answers: answers(101) })).toEqual(["has more than 100 answers"]);
});

test("an answer that is no words is told what one is", () => {
  expect(wordsFor(ConfirmationDetails, { answers: { q: 5 } })).toEqual(["must be a text or a list of texts"]);
});

test("an answer may say nothing more than yes or no", () => {
  expect(ConfirmationDetails.parse({})).toEqual({});
});

test("no plan and no suggestion leads to a mode that asks for less than edits", () => {
  const offered = permissionModes.filter((mode) => PlanMode.safeParse(mode).success);
  expect(offered).toEqual(["default", "acceptEdits"]);
  const suggestion = { id: "s", label: "l", rules: [] };
  const suggested = permissionModes.filter((mode) => PermissionSuggestion.safeParse({ ...suggestion, mode }).success);
  expect(suggested).toEqual(["acceptEdits"]);
});

test.each(["tool", "question", "plan"] as const)(
  "a question of the kind %s needs no more than every one has",
  (kind) => {
    const { questions: _q, plan: _p, parent_event_id: _e, ...request } = events["holdfast.permission_request"];
    const least = { ...request, kind, suggestions: [], reason: null, blocked_path: null, can_allow: false };
    expect(SessionEvent.parse(least)).toEqual(least);
  },
);

test.each(["allowed", "denied", "expired", "withdrawn"] as const)("a question that was %s needs no more", (outcome) => {
  const { id, seq, processed_at, type, tool_use_id } = events["holdfast.permission_resolved"];
  const least = { id, seq, processed_at, type, tool_use_id, outcome };
  expect(SessionEvent.parse(least)).toEqual(least);
});

test("answers stand in the log as Claude got them: one text each", () => {
  const resolved = { ...events["holdfast.permission_resolved"], answers: { q: ["a", "b"] } };
  expect(wrongAt(SessionEvent, resolved)).toEqual(["answers.q"]);
});
