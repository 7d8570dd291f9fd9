import { expect, test } from "vitest";
import { blocksOf, fixtures, rawLines, run, type Step } from "./_fixtures.ts";

/** What may be relied on about the order of lines, checked over everything the CLI was seen to print. */
const all = fixtures.map(({ name, path }) => ({
  name,
  short: name.split("/")[1] ?? "",
  steps: run(rawLines(path)),
}));

function holds(rule: string, check: (fixture: { name: string; short: string; steps: Step[] }) => void): void {
  test(rule, () => {
    for (const fixture of all) check(fixture);
  });
}

holds("an assistant line holds one block", ({ steps }) => {
  for (const { value } of steps) if (value.type === "assistant") expect(blocksOf(value).length).toBe(1);
});

holds("a block's assistant line comes before its content_block_stop", ({ steps }) => {
  // Open blocks of the streaming message, by index; an assistant line closes the first of its type.
  let message = "";
  let open: { index: unknown; type: unknown }[] = [];
  for (const { value } of steps) {
    if (value.type === "assistant" && (value.message as { id?: string }).id === message) {
      const type = blocksOf(value)[0]?.type;
      const found = open.findIndex((block) => block.type === type);
      expect(found, "the assistant line's block is open").toBeGreaterThanOrEqual(0);
      open.splice(found, 1);
    }
    if (value.type !== "stream_event") continue;
    const event = value.event as { type: string; index?: number; message?: { id: string }; content_block?: unknown };
    if (event.type === "message_start") {
      message = event.message?.id ?? "";
      open = [];
    }
    if (event.type === "content_block_stop") open = open.filter((block) => block.index !== event.index);
    if (event.type === "content_block_start")
      open.push({ index: event.index, type: (event.content_block as { type: string }).type });
  }
});

holds("a tool result follows its call, and comes once", ({ short, steps }) => {
  // There the script of the model used one id for several calls.
  const isReused = short === "max-turns";
  const calls = new Set<string>();
  const results = new Set<string>();
  for (const event of steps.flatMap(({ result }) => result.events)) {
    if (event.type === "agent.tool_use") calls.add(event.id);
    if (event.type !== "agent.tool_result") continue;
    expect(calls.has(event.tool_use_id)).toBe(true);
    if (!isReused) expect(results.has(event.tool_use_id)).toBe(false);
    results.add(event.tool_use_id);
  }
});

holds("a permission question follows the call it is about", ({ name, steps }) => {
  if (name === "2.1.197/subagent-permission") return;
  const calls = new Set<string>();
  for (const { result } of steps) {
    for (const event of result.events) if (event.type === "agent.tool_use") calls.add(event.id);
    for (const signal of result.signals)
      if (signal.type === "permission_request") expect(calls.has(signal.toolEventId ?? "")).toBe(true);
  }
});

holds("the answer to an interrupt precedes the result of the turn it stopped", ({ short, steps }) => {
  const stopped = steps.findIndex(({ result }) =>
    result.signals.some((signal) => signal.type === "turn_ended" && signal.outcome === "stopped"),
  );
  if (stopped === -1 || !short.startsWith("interrupt") || short === "interrupt-idle") return;
  const answer = steps.findIndex(({ value }) => value.type === "control_response");
  expect(answer).toBeGreaterThanOrEqual(0);
  expect(answer).toBeLessThan(stopped);
});

holds("after the last result nothing but housekeeping and background work comes", ({ steps }) => {
  const last = steps.findLastIndex(({ value }) => value.type === "result");
  if (last === -1) return;
  const late = steps.slice(last + 1).map(({ value }) => `${String(value.type)}/${String(value.subtype ?? "")}`);
  // transcript_mirror: only with the hidden --session-mirror, and only 2.1.197 prints it that late.
  const allowed =
    /^(command_lifecycle\/|transcript_mirror\/|control_response\/|system\/(session_state_changed|session_writes_lost|task_|background_tasks))/;
  for (const kind of late) expect(kind).toMatch(allowed);
});
