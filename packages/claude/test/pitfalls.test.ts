import { expect, test } from "vitest";
import { blocksOf, fixture, type Step } from "./_fixtures.ts";

/** What a reader of the CLI's output easily takes for something else. */
const eventsOf = (steps: Step[]) => steps.flatMap(({ result }) => result.events);
const noticesOf = (name: string) =>
  eventsOf(fixture(name)).flatMap((event) => (event.type === "holdfast.notice" ? [event.kind] : []));
const saidBy = (name: string) =>
  eventsOf(fixture(name)).flatMap((event) => (event.type === "agent.message" ? [event.content[0]?.text ?? ""] : []));

test.each(["2.1.330/set-model", "2.1.197/compact"])("%s: the echo of a local command is shown to nobody", (name) => {
  const steps = fixture(name);
  const isEcho = ({ value }: Step) => JSON.stringify(value.message ?? "").includes("<local-command-stdout>");
  const echoes = steps.filter((step) => step.value.type === "user" && isEcho(step));
  expect(echoes.length).toBeGreaterThan(0);
  for (const { result } of echoes) expect(result.events).toEqual([]);
});

test.each(["2.1.330/max-tokens", "2.1.330/hooks-stop-block", "2.1.330/skill"])(
  "%s: what the CLI says in the user's name is a notice, never the user's message",
  (name) => {
    expect(noticesOf(name)).toContain("synthetic");
    expect(eventsOf(fixture(name)).map(({ type }) => type)).not.toContain("user.message");
  },
);

test.each(["2.1.330/resume.2", "2.1.330/resume-replay.2", "2.1.197/resume.2"])(
  "%s: a process that resumes tells nothing again",
  (name) => {
    expect(saidBy(name)).toEqual(["It was 42."]);
  },
);

test("2.1.330/sigint-streaming.1: the text so far is kept, and the turn was stopped", () => {
  expect(saidBy("2.1.330/sigint-streaming.1")[0]).toMatch(/^A long answer/);
  expect(noticesOf("2.1.330/sigint-streaming.1")).toContain("interrupted");
});

test.each([
  ["2.1.330/disk-full-home.1", "session_writes_lost"],
  ["2.1.330/fallback-model", "model_fallback"],
  ["2.1.330/bash-35s", "tool_progress"],
  ["2.1.330/set-permission-mode", "permission_mode"],
  ["2.1.330/subagent", "task_notification"],
  ["2.1.330/retry-429", "api_retry"],
])("%s: %s is said", (name, kind) => {
  expect(noticesOf(name)).toContain(kind);
});

test("2.1.330/bash-35s: a heartbeat names the tool that runs, which is no subagent", () => {
  for (const event of eventsOf(fixture("2.1.330/bash-35s")))
    if (event.type === "agent.tool_result" || event.type === "agent.message")
      expect(event.holdfast ?? {}).not.toHaveProperty("parent_event_id");
});

test("2.1.197/two-results-text: the result's text, which repeats the last block, is no event", () => {
  const steps = fixture("2.1.197/two-results-text");
  const last = steps.find(({ value }) => value.type === "result");
  expect(last?.value.result).toBe("Part two.");
  expect(saidBy("2.1.197/two-results-text").filter((text) => text === "Part two.")).toHaveLength(1);
  expect(steps.flatMap(({ value }) => (value.type === "assistant" ? blocksOf(value) : [])).length).toBe(5);
});

test.each(["2.1.330/tmp-unwritable", "2.1.330/bad-flag", "2.1.330/root-refused"])(
  "%s: a start that failed prints nothing, and nothing is made of it",
  (name) => {
    expect(eventsOf(fixture(name))).toEqual([]);
  },
);
