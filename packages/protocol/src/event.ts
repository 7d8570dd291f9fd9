import { z } from "zod";
import { BackgroundTask } from "./background.ts";
import { ImageBlock, TextBlock } from "./content.ts";
import { InterruptDetails, MessageDetails, messageChange } from "./message.ts";
import { ConfirmationDetails, permissionRequest, permissionResolved } from "./question.ts";
import { SessionSettings } from "./settings.ts";
import { Todo } from "./todo.ts";

const common = {
  id: z.string(),
  /** Dense per session, from 1. */
  seq: z.number().int(),
  /** RFC 3339, UTC. */
  processed_at: z.string(),
};

const event = <T extends string, S extends z.ZodRawShape>(type: T, shape: S) =>
  z.object({ ...common, type: z.literal(type), ...shape });

/** Which tool call a line belongs to when a subagent made it: the id of the parent's `agent.tool_use` event. */
const parent = { parent_event_id: z.string().optional() };

/**
 * The entries of a session's log. The `user.*`, `agent.*` and `session.*` types are those of Anthropic's Managed Agents
 * API (their shapes agree with `@anthropic-ai/sdk`); what Claude Code says beyond them stands in a `holdfast` field or
 * in `holdfast.*` events, which official clients skip.
 */
export const UserMessage = event("user.message", {
  content: z.array(z.union([TextBlock, ImageBlock])),
  /** `wakeup_id`: Claude itself asked for it, nobody has written it. */
  holdfast: MessageDetails.extend({ wakeup_id: z.string().optional() }).optional(),
});

export const UserInterrupt = event("user.interrupt", { holdfast: InterruptDetails.optional() });

/** A message of before was changed, or its turn begins. */
export const MessageChanged = event("holdfast.message", messageChange);

/** The answer to a question whether a tool may run. */
export const UserToolConfirmation = event("user.tool_confirmation", {
  /** The `id` of the `agent.tool_use` event. */
  tool_use_id: z.string(),
  result: z.enum(["allow", "deny"]),
  deny_message: z.string().nullable().optional(),
  holdfast: ConfirmationDetails.optional(),
});

/** Claude waits for somebody's word. It names a tool call; `holdfast.permission_resolved` with the same one ends it. */
export const PermissionRequested = event("holdfast.permission_request", permissionRequest);

/** Nobody waits for an answer any more: it came, or something else ended the question. */
export const PermissionResolved = event("holdfast.permission_resolved", permissionResolved);

export const AgentMessage = event("agent.message", {
  content: z.array(TextBlock),
  holdfast: z
    .object({
      ...parent,
      /** The turn was stopped in the middle of this text. */
      aborted: z.boolean().optional(),
      /** The CLI's own words about a failed model call, not the model's. One of its error names. */
      error: z.string().optional(),
    })
    .optional(),
});

export const AgentThinking = event("agent.thinking", {
  holdfast: z.object({ ...parent, text: z.string() }).optional(),
});

export const AgentToolUse = event("agent.tool_use", {
  name: z.string(),
  input: z.record(z.string(), z.unknown()),
  evaluated_permission: z.enum(["allow", "ask", "deny"]),
  holdfast: z.object({ ...parent, /** Claude's own id, `toolu_…`. */ tool_use_id: z.string() }),
});

export const AgentToolResult = event("agent.tool_result", {
  /** The `id` of the `agent.tool_use` event. */
  tool_use_id: z.string(),
  content: z.array(z.union([TextBlock, ImageBlock])),
  is_error: z.boolean(),
  holdfast: z
    .object({
      ...parent,
      /** Counts before clipping. */
      lines: z.number().int().optional(),
      size_bytes: z.number().int().optional(),
      clipped: z.boolean().optional(),
      /** What the CLI says of the result beyond its text: `structuredPatch`, `stdout`…, clipped. */
      details: z.unknown().optional(),
    })
    .optional(),
});

export const AgentCompacted = event("agent.thread_context_compacted", {});

export const StatusRunning = event("session.status_running", {});

export const StopReason = z.discriminatedUnion("type", [
  z.object({ type: z.literal("end_turn") }),
  z.object({ type: z.literal("requires_action"), event_ids: z.array(z.string()) }),
  z.object({ type: z.literal("retries_exhausted") }),
]);
export type StopReason = z.infer<typeof StopReason>;

export const StatusIdle = event("session.status_idle", {
  stop_reason: StopReason,
  stop_details: z.null(),
  holdfast: z
    .object({
      /** How the turn really ended; Managed Agents only knows `end_turn` for all of them. */
      outcome: z.enum(["completed", "stopped", "failed", "interrupted", "limit"]),
    })
    .optional(),
});

export const StatusTerminated = event("session.status_terminated", {});

/** Title, metadata or settings were changed; each is there, whole, where it was. */
export const SessionUpdated = event("session.updated", {
  title: z.string().nullable().optional(),
  metadata: z.record(z.string(), z.string()).optional(),
  holdfast: z.object({ settings: SessionSettings }).optional(),
});

/** The last event that a stream of the session shows. */
export const SessionDeleted = event("session.deleted", {});

export const SessionError = event("session.error", {
  error: z.object({
    type: z.enum([
      "unknown_error",
      "model_overloaded_error",
      "model_rate_limited_error",
      "model_request_failed_error",
      "billing_error",
    ]),
    message: z.string(),
    retry_status: z.object({ type: z.enum(["retrying", "exhausted", "terminal"]) }),
  }),
  holdfast: z
    .object({
      code: z.string(),
      /** What the reader can do. */
      remedy: z.string(),
      exit_code: z.number().int().nullable().optional(),
      /** The last of what the failed step printed. */
      output: z.string().optional(),
    })
    .optional(),
});

/** `system/init`. `first` is true once per session: the page then shows "Claude initialized". */
export const Initialized = event("holdfast.initialized", {
  first: z.boolean(),
  claude_session_id: z.string(),
  model: z.string(),
  /** As the user knows it: `/mnt/workspace`, not where the symlink leads. */
  cwd: z.string(),
  permission_mode: z.string(),
  claude_code_version: z.string(),
  tools: z.array(z.string()),
  mcp_servers: z.array(z.object({ name: z.string(), status: z.string() })),
  /** The words come from the scripted model, not from Claude. */
  scripted: z.boolean(),
});

/** `result`: the end of a turn in Claude's words. Costs are in US dollars. */
export const TurnResult = event("holdfast.turn_result", {
  outcome: z.enum(["completed", "stopped", "failed", "limit"]),
  subtype: z.string(),
  terminal_reason: z.string().nullable(),
  is_error: z.boolean(),
  errors: z.array(z.string()),
  num_turns: z.number().int(),
  duration_ms: z.number(),
  duration_api_ms: z.number(),
  /** Of this turn alone (the CLI counts up over its life). */
  cost_usd: z.number(),
  total_cost_usd: z.number(),
  usage: z.object({
    input_tokens: z.number(),
    output_tokens: z.number(),
    cache_read_input_tokens: z.number(),
    cache_creation_input_tokens: z.number(),
  }),
});

/** A step of something that takes time, told as it goes on. The same `step_id` again replaces what was said before. */
export const Step = event("holdfast.step", {
  step_id: z.string(),
  step: z.enum(["image", "sandbox", "permissions", "claude", "sync"]),
  state: z.enum(["running", "done", "failed", "skipped", "warning"]),
  title: z.string(),
  detail: z.string().optional(),
  /** Real counts only. */
  progress: z.object({ done: z.number(), total: z.number().nullable(), unit: z.string() }).optional(),
  attempt: z.number().int().optional(),
  duration_ms: z.number().optional(),
});

/** Something Claude Code says about itself: retries with their wait, compaction, a refused tool, a notice. */
export const Notice = event("holdfast.notice", {
  kind: z.string(),
  level: z.enum(["info", "warning", "error"]),
  text: z.string(),
  /** Of a retry: how long it waits. */
  retry_delay_ms: z.number().optional(),
  data: z.record(z.string(), z.unknown()).optional(),
});

/** The list that Claude keeps of its work, whole, whenever it changes. */
export const Todos = event("holdfast.todos", { todos: z.array(Todo) });

/** A time at which Claude wants to be woken: it was set, has come, or was taken back. */
export const Wakeup = event("holdfast.wakeup", {
  wakeup_id: z.string(),
  state: z.enum(["scheduled", "fired", "cancelled"]),
  /** RFC 3339. */
  due_at: z.string(),
  reason: z.string(),
});

/** What runs beside the turns from now on: all of it. */
export const Background = event("holdfast.background", { tasks: z.array(BackgroundTask) });

/** A line whose type nobody here knows: stored whole, shown folded. */
export const Other = event("holdfast.other", {
  line_type: z.string(),
  line: z.unknown(),
});

export const SessionEvent = z.discriminatedUnion("type", [
  UserMessage,
  UserInterrupt,
  UserToolConfirmation,
  MessageChanged,
  AgentMessage,
  AgentThinking,
  AgentToolUse,
  AgentToolResult,
  AgentCompacted,
  StatusRunning,
  StatusIdle,
  StatusTerminated,
  SessionUpdated,
  SessionDeleted,
  SessionError,
  Initialized,
  TurnResult,
  Step,
  Notice,
  PermissionRequested,
  PermissionResolved,
  Background,
  Wakeup,
  Todos,
  Other,
]);
export type SessionEvent = z.infer<typeof SessionEvent>;
export type SessionEventType = SessionEvent["type"];
export type EventOf<T extends SessionEventType> = Extract<SessionEvent, { type: T }>;

/** An event before the log gave it a place and a time. `id` is set where it must be known beforehand (drafts, tool calls). */
export type NewEvent = {
  [T in SessionEventType]: Omit<EventOf<T>, "id" | "seq" | "processed_at"> & { id?: string };
}[SessionEventType];

/** Live text that is not an event yet, in Managed Agents' form. `event_id` is the id that the event will have. */
export const DraftStart = z.object({
  type: z.literal("event_start"),
  event: z.object({ type: z.enum(["agent.message", "agent.thinking"]), id: z.string() }),
});
export const DraftDelta = z.object({
  type: z.literal("event_delta"),
  event_id: z.string(),
  delta: z.object({ type: z.literal("content_delta"), index: z.number().int(), content: TextBlock }),
});
/** Ours: this draft will not become an event (its stream broke). */
export const DraftVoid = z.object({ type: z.literal("holdfast.draft_void"), event_id: z.string() });
export const DraftFrame = z.discriminatedUnion("type", [DraftStart, DraftDelta, DraftVoid]);
export type DraftFrame = z.infer<typeof DraftFrame>;
