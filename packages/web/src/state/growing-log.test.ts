import { isDeepStrictEqual } from "node:util";
import type { SessionEvent } from "@holdfast/protocol";
import { expect, test } from "vitest";
import { emptyLog, reduce, type SessionLog } from "./log.ts";
import { type Row, RowBuilder } from "./rows.ts";

function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}

/** Any event that a session may have, with ids that often meet again. */
function anyEvent(random: () => number, seq: number): SessionEvent {
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  const recent = `e${Math.max(1, seq - 1 - Math.floor(random() * 12))}`;
  const content = [{ type: "text", text: `text ${seq}` }];
  const made = pick([
    { type: "user.message", content },
    { type: "holdfast.message", message_id: recent, state: pick(["started", "steered", "edited", "removed"]) },
    { type: "agent.message", content },
    { type: "agent.thinking" },
    { type: "agent.tool_use", name: pick(["Bash", "TodoWrite", "ExitPlanMode"]), input: {} },
    { type: "agent.tool_result", tool_use_id: recent, content: [], is_error: random() < 0.3 },
    { type: "session.status_running" },
    {
      type: "session.status_idle",
      stop_reason: pick([{ type: "end_turn" }, { type: "requires_action", event_ids: [] }]),
    },
    { type: "session.status_terminated" },
    { type: "session.error", error: { type: "unknown_error", message: "no" } },
    { type: "holdfast.initialized", first: random() < 0.3 },
    { type: "holdfast.turn_result" },
    {
      type: "holdfast.step",
      step_id: pick(["a", "b", "c"]),
      step: pick(["permissions", "sync"]),
      state: pick(["running", "done", "failed"]),
      title: `step ${seq}`,
    },
    {
      type: "holdfast.notice",
      kind: pick(["api_retry", "compact_boundary"]),
      level: "info",
      text: `n${seq}`,
      retry_delay_ms: 5,
    },
    { type: "agent.thread_context_compacted" },
    { type: "holdfast.permission_request", tool_use_id: recent, kind: pick(["tool", "question", "plan"]) },
    { type: "holdfast.permission_resolved", tool_use_id: recent, outcome: "allowed" },
    { type: "user.tool_confirmation", tool_use_id: recent, result: "allow" },
    { type: "user.interrupt" },
    { type: "session.updated", title: "t" },
    { type: "holdfast.background", tasks: [] },
  ]);
  return { ...made, id: `e${seq}`, seq, processed_at: `2026-11-29T10:00:${seq}Z` } as unknown as SessionEvent;
}

const seen = (builder: RowBuilder, log: SessionLog) => ({
  rows: builder.build(log, []),
  queue: builder.queue,
  open: builder.openQuestions,
  turn: builder.turn,
  activity: builder.activity.activity(log, [], undefined),
});

test("a log that is read as it grows shows what one shows that is read at once", () => {
  for (let seed = 1; seed <= 80; seed++) {
    const random = randomFrom(seed);
    const first = random() < 0.5 ? 1 : 20;
    const events = Array.from({ length: 40 }, (_, i) => anyEvent(random, first + i));
    const grown = new RowBuilder();
    let log = emptyLog;
    let shown: readonly Row[] = [];
    let copy: readonly Row[] = [];
    for (let at = 0; at < events.length; ) {
      const next = events.slice(at, at + 1 + Math.floor(random() * 4));
      const more =
        log === emptyLog
          ? [{ type: "page" as const, events: next, hasOlder: false }]
          : next.map((event) => ({ type: "event" as const, event }));
      at += next.length;
      log = reduce(log, more);
      const now = seen(grown, log);
      expect(now, `seed ${seed} at ${at}`).toEqual(seen(new RowBuilder(), log));
      expect(
        now.open.every((row) => now.rows.includes(row)),
        `seed ${seed}`,
      ).toBe(true);
      // What was shown is not changed under the reader, and what shows the same is the same object.
      expect(shown, `seed ${seed}`).toEqual(copy);
      const before = new Map(shown.map((row) => [row.id, row]));
      for (const row of now.rows) {
        const old = before.get(row.id);
        if (old !== undefined) expect(old === row, `seed ${seed}`).toBe(isDeepStrictEqual(old, row));
      }
      shown = now.rows;
      copy = structuredClone(shown);
    }
  }
});

test("an event costs the same at the end of a long log and of a short one", () => {
  let reads = 0;
  /** Counts each look at it. */
  const watched = (event: SessionEvent): SessionEvent =>
    new Proxy(event, {
      get: (target, name) => {
        reads++;
        return target[name as keyof SessionEvent];
      },
    });
  const cost = (length: number): number => {
    const at = (seq: number): SessionEvent => {
      const kinds = [
        { type: "agent.tool_use", name: "Bash", input: {} },
        { type: "agent.tool_result", tool_use_id: `e${seq - 1}`, content: [], is_error: false },
        { type: "agent.message", content: [{ type: "text", text: "x" }] },
      ];
      return watched({ ...kinds[seq % 3], id: `e${seq}`, seq, processed_at: "" } as unknown as SessionEvent);
    };
    const begin = [
      { type: "user.message", content: [], id: "e1", seq: 1, processed_at: "" },
      { type: "session.status_running", id: "e2", seq: 2, processed_at: "" },
    ] as unknown as SessionEvent[];
    const events = [...begin, ...Array.from({ length }, (_, i) => at(i + 3))];
    const builder = new RowBuilder();
    let log = reduce(
      emptyLog,
      events.map((event) => ({ type: "event", event })),
    );
    seen(builder, log);
    reads = 0;
    for (let n = 0; n < 30; n++) {
      log = reduce(log, [{ type: "event", event: at(log.lastSeq + 1) }]);
      seen(builder, log);
    }
    return reads;
  };
  expect(cost(20_000)).toBe(cost(200));
});
