import { SessionEvent } from "@holdfast/protocol";
import { expect, test } from "vitest";
import { createMapperState, decodeLine, mapLine } from "../src/index.ts";
import { blocksOf, context, fixtures, rawLines, run, type Step } from "./_fixtures.ts";

const at = { seq: 1, processed_at: "2026-01-01T00:00:00Z" };

test("both versions' fixtures are there", () => {
  expect(fixtures.filter(({ name }) => name.startsWith("2.1.330/")).length).toBeGreaterThan(220);
  expect(fixtures.filter(({ name }) => name.startsWith("2.1.197/")).length).toBeGreaterThan(220);
});

/** The text that the page would show for each draft, and which drafts were withdrawn. */
function playDrafts(steps: readonly Step[]) {
  const texts = new Map<string, string>();
  const voided = new Set<string>();
  for (const { result } of steps) {
    for (const frame of result.drafts) {
      if (frame.type === "event_start") {
        expect(texts.has(frame.event.id), "a draft starts once").toBe(false);
        texts.set(frame.event.id, "");
      } else if (frame.type === "event_delta") {
        expect(texts.has(frame.event_id), "a delta belongs to a started draft").toBe(true);
        expect(voided.has(frame.event_id), "nothing is added to a withdrawn draft").toBe(false);
        expect(frame.delta.content.text.isWellFormed(), "no half character is sent").toBe(true);
        texts.set(frame.event_id, texts.get(frame.event_id) + frame.delta.content.text);
      } else voided.add(frame.event_id);
    }
  }
  return { texts, voided };
}

type Events = Step["result"]["events"];

/** Every line gave an event or says why not; every event is valid and has an id of its own. */
function checkEvents(steps: readonly Step[], events: Events): void {
  for (const { result } of steps) expect(result.events.length > 0 || (result.quiet ?? "") !== "").toBe(true);
  for (const event of events) {
    const parsed = SessionEvent.safeParse({ ...event, ...at });
    expect(parsed.error, JSON.stringify(event).slice(0, 500)).toBeUndefined();
  }
  expect(new Set(events.map((event) => event.id)).size).toBe(events.length);
}

function checkResults(steps: readonly Step[], events: Events): void {
  const results = steps.filter(({ value }) => value.type === "result").length;
  expect(events.filter((event) => event.type === "holdfast.turn_result").length).toBe(results);
  expect(steps.flatMap((s) => s.result.signals).filter((s) => s.type === "turn_ended").length).toBe(results);
}

/** Texts are those of the `assistant` lines, byte for byte. */
function checkTexts(steps: readonly Step[], events: Events): void {
  const said = steps
    .filter(({ value }) => value.type === "assistant")
    .flatMap(({ value }) => blocksOf(value))
    .filter((block) => block.type === "text")
    .map((block) => block.text);
  const mapped = events.filter((event) => event.type === "agent.message").map((event) => event.content[0]?.text);
  expect(mapped).toEqual(said);
}

/** A draft becomes exactly its event or is withdrawn; what streamed was a draft before. */
function checkDrafts(steps: readonly Step[], events: Events): void {
  const { texts, voided } = playDrafts(steps);
  const wasKilled = steps.at(-1)?.result.state.draft !== null;
  for (const [id, text] of texts) {
    const event = events.find((candidate) => candidate.id === id);
    if (event === undefined) expect(voided.has(id) || wasKilled).toBe(true);
    else {
      expect(voided.has(id)).toBe(false);
      if (event.type === "agent.message") expect(event.content[0]?.text).toBe(text);
      else expect(event.type === "agent.thinking" && event.holdfast?.text).toBe(text);
    }
  }
  const streamed = new Set<unknown>();
  for (const { value, result } of steps) {
    const event = value.event as { type?: string; message?: { id: string } } | undefined;
    if (event?.type === "message_start") streamed.add(event.message?.id);
    if (value.type !== "assistant" || !streamed.has((value.message as { id?: string }).id)) continue;
    for (const said of result.events)
      if (said.type === "agent.message" && said.content[0]?.text !== "") expect(texts.has(said.id)).toBe(true);
  }
}

/** A server that dies after any line goes on with the same results, ids included. */
function checkRestarts(lines: readonly Uint8Array[], steps: readonly Step[]): void {
  let state = createMapperState();
  lines.forEach((raw, index) => {
    const result = mapLine(JSON.parse(JSON.stringify(state)), decodeLine(raw), context);
    expect(result).toEqual(steps[index]?.result);
    state = result.state;
  });
  expect(JSON.stringify(state).length).toBeLessThan(32 * 1024);
}

/** CRLF and escapes, as the CLI's output has them on a terminal, change nothing. */
function checkTerminal(lines: readonly Uint8Array[], steps: readonly Step[]): void {
  const noisy = lines.map((line) => `\u001b[?25h\u001b]0;claude\u0007${new TextDecoder().decode(line)}\u001b[0m\r`);
  expect(run(noisy).map(({ result }) => result)).toEqual(steps.map(({ result }) => result));
}

/** What a turn cost is what the total grew by. */
function checkCosts(steps: readonly Step[]): void {
  // A resumed process begins with a total that lines of this file do not explain.
  let total: number | undefined;
  for (const { value, result } of steps) {
    if (value.type === "conversation_reset") total = 0;
    for (const signal of result.signals) {
      if (signal.type !== "turn_ended") continue;
      if (total !== undefined) expect(signal.costUsd).toBeCloseTo(signal.totalCostUsd - total, 9);
      total = signal.totalCostUsd;
    }
  }
}

test.each(fixtures)("$name goes through whole", ({ path }) => {
  const lines = rawLines(path);
  const steps = run(lines);
  const events = steps.flatMap(({ result }) => result.events);
  checkEvents(steps, events);
  checkResults(steps, events);
  checkTexts(steps, events);
  checkDrafts(steps, events);
  checkRestarts(lines, steps);
  checkTerminal(lines, steps);
  checkCosts(steps);
});
