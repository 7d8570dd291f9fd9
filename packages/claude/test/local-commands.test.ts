import type { NewEvent } from "@holdfast/protocol";
import { expect, test } from "vitest";
import { createMapperState, decodeLine, mapLine } from "../src/index.ts";
import { context, fixture, run } from "./_fixtures.ts";

const events = (name: string) => fixture(`2.1.330/${name}`).flatMap(({ result }) => result.events);
const of = <T extends NewEvent["type"]>(all: NewEvent[], type: T) =>
  all.filter((event): event is Extract<NewEvent, { type: T }> => event.type === type);
const textsOf = (all: NewEvent[]) => [
  ...of(all, "agent.message").map(({ content }) => content[0]?.text ?? ""),
  ...of(all, "holdfast.notice").map(({ text }) => text),
];

/** What a reader sees of each turn of the capture, by the command that was sent. */
const turns = (() => {
  const all: NewEvent[][] = [[]];
  for (const event of events("local-commands")) {
    all.at(-1)?.push(event);
    if (event.type === "holdfast.turn_result") all.push([]);
  }
  const sent = ["hello", "/context", "/cost", "/model sonnet", "/model", "/effort low", "/effort nonsense", "/compact"];
  sent.push("/compact only the tests", "/usage", "/status", "/rename", "/output-style", "/nonsense", "hello again");
  return new Map(sent.map((name, at) => [name, all[at] ?? []]));
})();

test.each([...turns.keys()])("%s says everything once, and nothing that is meant for the model", (name) => {
  const turn = turns.get(name) ?? [];
  const texts = textsOf(turn);
  expect(of(turn, "holdfast.turn_result")).toHaveLength(1);
  expect(texts.length).toBeGreaterThan(0);
  expect(new Set(texts).size).toBe(texts.length);
  for (const text of texts) expect(text).not.toMatch(/<system-reminder>|<local-command|<command-name>|being continued/);
  expect(of(turn, "holdfast.other")).toEqual([]);
});

test("what only the result of a command tells is told", () => {
  const line = { type: "result", subtype: "success", local_command: "cost", result: "42", num_turns: 0 };
  const { events: told } = mapLine(createMapperState(), decodeLine(JSON.stringify(line)), context);
  expect(told[0]).toMatchObject({ type: "holdfast.notice", kind: "local_command", text: "42" });
});

test("a Stop hook that fails is told in words", () => {
  const [told] = of(events("hooks-stop-fails"), "holdfast.notice");
  expect([told?.level, told?.text]).toEqual(["warning", expect.stringContaining("A Stop hook")]);
  expect(told?.text).not.toContain("ctrl");
});

test("every call of a subagent that was interrupted in the foreground has its result", () => {
  const all = events("subagent-foreground-interrupt");
  const results = new Set(of(all, "agent.tool_result").map(({ tool_use_id: id }) => id));
  const calls = of(all, "agent.tool_use");
  expect(calls.length).toBe(2);
  expect(calls.filter(({ id }) => !results.has(id ?? ""))).toEqual([]);
  expect(of(all, "agent.tool_result")).toHaveLength(2);
});

test.each(["subagent-background"])("%s: what works in the background goes on after the turn", (name) => {
  const steps = fixture(`2.1.330/${name}`);
  const unfinished = steps.flatMap(({ result }) => of(result.events, "agent.tool_result"));
  expect(unfinished.filter(({ holdfast }) => JSON.stringify(holdfast?.details ?? "").includes("unfinished"))).toEqual(
    [],
  );
});

test.each([1e308, -1, "3", null, 2.5, Number.MAX_SAFE_INTEGER])("a result that counts %j is a result", (value) => {
  const numbers = { num_turns: value, duration_ms: value, total_cost_usd: value, result_index: value };
  const line = { type: "result", subtype: "success", ...numbers, usage: { input_tokens: value } };
  const [step] = run([JSON.stringify(line)]);
  const told = of(step?.result.events ?? [], "holdfast.turn_result")[0];
  expect(Number.isSafeInteger(told?.num_turns)).toBe(true);
  for (const number of [told?.duration_ms, told?.cost_usd, told?.usage.input_tokens])
    expect(number).toBeLessThanOrEqual(1e15);
});
