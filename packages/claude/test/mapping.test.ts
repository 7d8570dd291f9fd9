import { maxToolResultBytes, SessionEvent } from "@holdfast/protocol";
import { expect, test } from "vitest";
import { createMapperState, decodeLine, endProcess, mapLine, type Signal } from "../src/index.ts";
import { context, fixture, fixtures, rawLines, run, type Step } from "./_fixtures.ts";

const lines = (...values: object[]) => values.map((value) => JSON.stringify(value));
const eventsOf = (steps: Step[]) => steps.flatMap(({ result }) => result.events);
const draftsOf = (steps: Step[]) => steps.flatMap(({ result }) => result.drafts);
const signalsOf = (steps: Step[]) => steps.flatMap(({ result }) => result.signals);
const find = <T extends Signal["type"]>(steps: Step[], type: T) =>
  signalsOf(steps).filter((signal): signal is Extract<Signal, { type: T }> => signal.type === type);

const stream = (event: object) => ({ type: "stream_event", event, parent_tool_use_id: null });
const start = (id: string) => stream({ type: "message_start", message: { id } });
const open = (index: number, type: string) =>
  stream({ type: "content_block_start", index, content_block: { type, [type]: "" } });
const delta = (index: number, text: string) =>
  stream({ type: "content_block_delta", index, delta: { type: "text_delta", text } });
const stop = (index: number) => stream({ type: "content_block_stop", index });
const assistant = (id: string, block: object, more: object = {}) => ({
  type: "assistant",
  message: { id, content: [block] },
  parent_tool_use_id: null,
  uuid: `uuid-${id}`,
  ...more,
});

test("initialized once per session; later turns are quiet until model, mode or session change", () => {
  const init = { type: "system", subtype: "init", session_id: "s1", model: "m", permissionMode: "default" };
  const steps = run(
    lines(
      { ...init, cwd: "/__modal/volumes/vo-1/sub" },
      init,
      { ...init, model: "other" },
      { ...init, model: "other", session_id: "s2" },
    ),
  );
  expect(eventsOf(steps)).toMatchObject([
    { type: "holdfast.initialized", first: true, cwd: "/mnt/workspace/sub", claude_session_id: "s1" },
    { first: false, model: "other" },
    { first: false, claude_session_id: "s2" },
  ]);
  expect(find(steps, "turn_started")).toHaveLength(4);
  expect(find(steps, "claude_session_id").map((signal) => signal.id)).toEqual(["s1", "s2"]);
});

test("paths below the volume are shown below the mount point, other text stays", () => {
  const tool = (input: object) =>
    assistant("m", { type: "tool_use", id: `t${JSON.stringify(input).length}`, name: "Write", input });
  const steps = run(
    lines(
      { type: "system", subtype: "init", session_id: "s", cwd: "/__modal/volumes/vo-1" },
      tool({ file_path: "/__modal/volumes/vo-1/a.txt", content: "/__modal/volumes/vo-1/a.txt" }),
      tool({ path: "/__modal/volumes/vo-12/b" }),
    ),
  );
  expect(eventsOf(steps).slice(1)).toMatchObject([
    { input: { file_path: "/mnt/workspace/a.txt", content: "/__modal/volumes/vo-1/a.txt" } },
    { input: { path: "/__modal/volumes/vo-12/b" } },
  ]);
});

test("a surrogate pair that is split over two deltas is sent in one piece", () => {
  const steps = run(
    lines(
      start("m"),
      open(0, "text"),
      delta(0, "a\ud83d"),
      delta(0, "\ude00b"),
      assistant("m", { type: "text", text: "a😀b" }),
    ),
  );
  const texts = draftsOf(steps).map((frame) => (frame.type === "event_delta" ? frame.delta.content.text : frame.type));
  expect(texts).toEqual(["event_start", "a", "😀b"]);
});

test("a broken stream withdraws its draft at once, a finished block stays", () => {
  const steps = run(
    lines(
      start("m1"),
      open(0, "text"),
      delta(0, "whole"),
      assistant("m1", { type: "text", text: "whole" }),
      stop(0),
      open(1, "text"),
      delta(1, "half"),
      stop(1),
      stream({ type: "message_stop" }),
      start("m2"),
    ),
  );
  const frames = draftsOf(steps);
  const voids = frames.filter((frame) => frame.type === "holdfast.draft_void");
  const starts = frames.filter((frame) => frame.type === "event_start");
  expect(starts).toHaveLength(2);
  expect(voids.map((frame) => frame.event_id)).toEqual([starts[1]?.event.id]);
  expect(eventsOf(steps)[0]?.id).toBe(starts[0]?.event.id);
});

test.each([
  ["a new message", start("m2")],
  ["a message that never streamed", assistant("m9", { type: "text", text: "fallback" })],
  ["the result", { type: "result", subtype: "success", is_error: false }],
])("a draft that just stops is withdrawn by %s", (_what, next) => {
  const steps = run(lines(start("m1"), open(0, "text"), delta(0, "half"), next));
  expect(steps.at(-1)?.result.drafts[0]).toMatchObject({ type: "holdfast.draft_void" });
});

test("a subagent's line leaves the main thread's draft alone", () => {
  const steps = run(
    lines(
      assistant("m0", { type: "tool_use", id: "toolu_1", name: "Agent", input: {} }),
      start("m1"),
      open(0, "text"),
      delta(0, "so far"),
      assistant("m7", { type: "text", text: "from below" }, { parent_tool_use_id: "toolu_1" }),
      assistant("m1", { type: "text", text: "so far" }),
    ),
  );
  const [agent, below, main] = eventsOf(steps);
  expect(below).toMatchObject({ holdfast: { parent_event_id: agent?.id } });
  expect(draftsOf(steps).map((frame) => frame.type)).toEqual(["event_start", "event_delta"]);
  expect(draftsOf(steps)[1]).toMatchObject({ event_id: main?.id });
});

test("the end of a process withdraws what it left unfinished, once", () => {
  const state = run(lines(start("m1"), open(0, "text"), delta(0, "half"))).at(-1)?.result.state ?? createMapperState();
  const ended = endProcess(state, context);
  expect(ended.drafts).toMatchObject([{ type: "holdfast.draft_void" }]);
  expect(endProcess(ended.state, context).drafts).toEqual([]);
});

test("an id that a model repeats in another turn gives another event", () => {
  const init = { type: "system", subtype: "init", session_id: "s" };
  const turn = [
    init,
    assistant("msg_1", { type: "text", text: "x" }),
    assistant("msg_1", { type: "tool_use", id: "toolu_1", name: "Bash", input: {} }),
  ];
  const filler = Array.from({ length: 400 }, (_, i) => [
    assistant(`f${i}`, { type: "text", text: "…" }),
    assistant(`f${i}`, { type: "tool_use", id: `f${i}`, name: "Bash", input: {} }),
  ]).flat();
  const ids = eventsOf(run(lines(...turn, ...filler, ...turn))).map((event) => event.id);
  expect(new Set(ids).size).toBe(ids.length);
});

test("a long tool result is clipped on a character, its size is told, its details lose whole files", () => {
  const text = `${"ä".repeat(maxToolResultBytes)}\nend\n`;
  const patch = [{ oldStart: 1, newStart: 1, lines: Array.from({ length: 500 }, (_, i) => `+${i}`) }];
  const steps = run(
    lines({
      type: "user",
      message: {
        role: "user",
        content: [{ type: "tool_result", tool_use_id: "t", content: [{ type: "text", text: `x${text}` }] }],
      },
      tool_use_result: { filePath: "/a", originalFile: text, content: text, structuredPatch: patch, stdout: text },
    }),
  );
  const [event] = eventsOf(steps);
  if (event?.type !== "agent.tool_result") throw new Error("not a tool result");
  const [shown] = event.content;
  if (shown?.type !== "text") throw new Error("not text");
  expect(new TextEncoder().encode(shown.text).length).toBe(maxToolResultBytes - 1);
  expect(shown.text.endsWith("ä")).toBe(true);
  expect(event.holdfast).toMatchObject({ clipped: true, lines: 2, size_bytes: 2 * maxToolResultBytes + 6 });
  const details = event.holdfast?.details as { structuredPatch: { lines: string[] }[]; stdout: string };
  expect(Object.keys(details).sort()).toEqual(["filePath", "stdout", "structuredPatch"]);
  expect(details.structuredPatch[0]?.lines).toHaveLength(400);
  expect(details.stdout.length).toBeLessThan(9000);
});

test("small images stay, large ones are named", () => {
  const image = (size: number) => ({
    type: "image",
    source: { type: "base64", media_type: "image/png", data: "A".repeat(size) },
  });
  const content = [image(100), image(300_000), { type: "tool_reference", tool_name: "CronList" }];
  const result = {
    type: "user",
    message: { role: "user", content: [{ type: "tool_result", tool_use_id: "t", content, is_error: true }] },
  };
  expect(eventsOf(run(lines(result)))[0]).toMatchObject({
    is_error: true,
    content: [
      { type: "image" },
      { type: "text", text: "[image/png of 225 kB: too large to be shown here]" },
      { type: "text", text: "Tool found: CronList" },
    ],
    holdfast: { clipped: true },
  });
});

test("costs: the difference where the CLI does not say, a lower total begins anew", () => {
  const result = (total: number, own?: number) => ({
    type: "result",
    subtype: "success",
    is_error: false,
    num_turns: 1,
    total_cost_usd: total,
    ...(own === undefined ? {} : { model_usage_since_last_result: { m: { costUSD: own } } }),
  });
  const steps = run(
    lines(result(1), result(1.5), result(0.2), result(5, 0.25), { type: "conversation_reset" }, result(0.5)),
  );
  const costs = find(steps, "turn_ended").map((signal) => signal.costUsd);
  [1, 0.5, 0.2, 0.25, 0.5].forEach((cost, index) => {
    expect(costs[index]).toBeCloseTo(cost, 9);
  });
});

test("endings are told apart", () => {
  const outcome = (name: string) => find(fixture(name), "turn_ended").map((signal) => signal.outcome);
  expect(outcome("2.1.330/text")).toEqual(["completed"]);
  expect(outcome("2.1.330/interrupt-streaming")).toEqual(["stopped", "completed"]);
  expect(outcome("2.1.330/error-400")).toEqual(["failed"]);
  expect(outcome("2.1.330/max-turns")[0]).toBe("limit");
  const missing = find(fixture("2.1.330/resume-missing"), "turn_ended");
  expect(missing).toMatchObject([{ startupFailure: true, conversationNotFound: true }]);
  // A failed start says nothing about which conversation this is.
  expect(find(fixture("2.1.330/resume-missing"), "claude_session_id")).toEqual([]);
});

test("/clear is told, with the conversation's new id", () => {
  const steps = fixture("2.1.330/slash-commands");
  expect(eventsOf(steps)).toContainEqual(
    expect.objectContaining({ type: "holdfast.notice", kind: "conversation_reset" }),
  );
  expect(new Set(find(steps, "claude_session_id").map((signal) => signal.id)).size).toBe(2);
  expect(eventsOf(steps).filter((event) => event.type === "holdfast.initialized" && event.first)).toHaveLength(1);
});

test("echoes name our messages, questions name the tool call, 401 is told while it is retried", () => {
  const echoes = find(fixture("2.1.330/steer-mid-turn"), "echo");
  expect(new Set(echoes.map((signal) => signal.state))).toEqual(
    new Set(["queued", "started", "completed", "replayed"]),
  );
  const asked = fixture("2.1.330/permission-allow-bare");
  const [question] = find(asked, "permission_request");
  const call = eventsOf(asked).find((event) => event.type === "agent.tool_use");
  expect(question).toMatchObject({ toolEventId: call?.id, request: { tool_name: "Bash" } });
  expect(find(fixture("2.1.330/permission-interrupt-pending"), "permission_cancelled")).toHaveLength(1);
  expect(find(fixture("2.1.330/error-401"), "auth_failed_retrying").map((signal) => signal.attempt)).toEqual([1, 2]);
  expect(find(fixture("2.1.330/bash-background"), "background_tasks").map((signal) => signal.count)).toEqual([1, 0]);
});

test("a failed model call is a message, an error with a remedy, and a failed turn", () => {
  const events = eventsOf(fixture("2.1.330/error-429-exhausted"));
  expect(events.slice(-3)).toMatchObject([
    { type: "agent.message", holdfast: { error: "rate_limit" } },
    {
      type: "session.error",
      error: { type: "model_rate_limited_error" },
      holdfast: { remedy: expect.stringContaining("Wait") },
    },
    { type: "holdfast.turn_result", outcome: "failed" },
  ]);
});

test("unknown types are kept, large ones clipped", () => {
  const steps = run([
    JSON.stringify({ type: "brand_new", x: 1 }),
    JSON.stringify({ type: "system", subtype: "novel", big: "ü".repeat(20_000) }),
    "plain words",
  ]);
  expect(eventsOf(steps)).toMatchObject([
    { type: "holdfast.other", line_type: "brand_new", line: { type: "brand_new", x: 1 } },
    {
      type: "holdfast.other",
      line_type: "system/novel",
      line: { clipped: true, head: expect.stringContaining("novel") },
    },
    { type: "holdfast.other", line_type: "text", line: "plain words" },
  ]);
});

/** A small generator of its own, so that a failure can be repeated. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const oddities: unknown[] = [
  null,
  true,
  -1,
  1e308,
  "",
  "\ud800",
  [],
  {},
  [[]],
  [null],
  { type: 7 },
  "__proto__",
  "toString",
];

function spoil(value: unknown, next: () => number): unknown {
  if (next() < 0.08) return oddities[Math.floor(next() * oddities.length)];
  if (Array.isArray(value)) return value.map((item) => spoil(item, next));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, spoil(item, next)]));
}

test("whatever shape a line has, nothing throws and every event is valid", () => {
  const next = random(20_261_123);
  for (const { path } of fixtures.filter((_fixture, index) => index % 4 === 0)) {
    let state = createMapperState();
    for (const raw of rawLines(path)) {
      const line = decodeLine(raw);
      const spoiled = line.kind === "json" ? JSON.stringify(spoil(line.value, next)) : line.text;
      const result = mapLine(state, decodeLine(spoiled), context);
      expect(result.events.length > 0 || result.quiet !== undefined).toBe(true);
      for (const event of result.events) {
        const parsed = SessionEvent.safeParse({ ...event, seq: 1, processed_at: "2026-01-01T00:00:00Z" });
        expect(parsed.error, spoiled.slice(0, 800)).toBeUndefined();
      }
      state = JSON.parse(JSON.stringify(result.state));
    }
  }
});
