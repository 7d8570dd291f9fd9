import type { DraftFrame, SessionEvent, SessionEventType } from "@holdfast/protocol";

/** What came off the wire: an entry of the log, live text, or something that is neither. */
export type Decoded =
  | { kind: "event"; event: SessionEvent }
  | { kind: "draft"; frame: DraftFrame }
  | { kind: "ignored" };

type Shape = Record<string, "string" | "number" | "boolean" | "array" | "object">;

/** The fields a renderer relies on. An event that lacks one is shown raw instead of breaking the page. */
const shapes: Record<SessionEventType, Shape> = {
  "user.message": { content: "array" },
  "user.interrupt": {},
  "user.tool_confirmation": { tool_use_id: "string", result: "string" },
  "agent.message": { content: "array" },
  "agent.thinking": {},
  "agent.tool_use": { name: "string", input: "object" },
  "agent.tool_result": { tool_use_id: "string", content: "array" },
  "agent.thread_context_compacted": {},
  "session.status_running": {},
  "session.status_idle": {},
  "session.status_terminated": {},
  "session.updated": {},
  "session.deleted": {},
  "session.error": { error: "object" },
  "holdfast.initialized": { first: "boolean", model: "string", cwd: "string" },
  "holdfast.turn_result": { outcome: "string", num_turns: "number", duration_ms: "number", cost_usd: "number" },
  "holdfast.step": { step_id: "string", state: "string", title: "string" },
  "holdfast.notice": { text: "string", level: "string" },
  "holdfast.permission_request": { tool_use_id: "string", kind: "string", title: "string", suggestions: "array" },
  "holdfast.permission_resolved": { tool_use_id: "string", outcome: "string" },
  "holdfast.message": { message_id: "string", state: "string" },
  "holdfast.background": { tasks: "array" },
  "holdfast.todos": { todos: "array" },
  "holdfast.wakeup": { state: "string", due_at: "string" },
  "holdfast.other": { line_type: "string" },
};

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function fits(value: Record<string, unknown>, shape: Shape): boolean {
  return Object.entries(shape).every(([key, want]) => {
    const field = value[key];
    if (want === "array") return Array.isArray(field);
    if (want === "object") return isRecord(field);
    return typeof field === want;
  });
}

/** Never throws: an unknown or broken entry becomes a `holdfast.other`, which is shown folded. */
export function decodeEvent(value: unknown, seqHint?: number): SessionEvent | null {
  if (!isRecord(value) || typeof value.type !== "string") return null;
  const seq = typeof value.seq === "number" ? value.seq : seqHint;
  if (seq === undefined || !Number.isSafeInteger(seq) || seq < 1) return null;
  const id = typeof value.id === "string" ? value.id : `seq-${seq}`;
  const at = typeof value.processed_at === "string" ? value.processed_at : "";
  const known = Object.hasOwn(shapes, value.type) ? shapes[value.type as SessionEventType] : undefined;
  // The shape was checked for all that the page reads; the rest of the type is the server's promise.
  if (known && fits(value, known)) return { ...value, id, seq, processed_at: at } as SessionEvent;
  return { type: "holdfast.other", id, seq, processed_at: at, line_type: value.type, line: value };
}

export function decodeFrame(value: unknown, seqHint?: number): Decoded {
  if (!isRecord(value)) return { kind: "ignored" };
  if (value.type === "event_start" && isRecord(value.event) && typeof value.event.id === "string")
    return { kind: "draft", frame: value as unknown as DraftFrame };
  if (value.type === "event_delta" && typeof value.event_id === "string" && isRecord(value.delta)) {
    const content = value.delta.content;
    if (isRecord(content) && typeof content.text === "string")
      return { kind: "draft", frame: value as unknown as DraftFrame };
    return { kind: "ignored" };
  }
  if (value.type === "holdfast.draft_void" && typeof value.event_id === "string")
    return { kind: "draft", frame: value as unknown as DraftFrame };
  const event = decodeEvent(value, seqHint);
  return event ? { kind: "event", event } : { kind: "ignored" };
}
