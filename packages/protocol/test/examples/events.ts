import { DraftFrame, SessionEvent } from "../../src/event.ts";
import {
  backgroundTask,
  choiceQuestion,
  confirmation,
  imageBlock,
  settings,
  suggestion,
  textBlock,
  todo,
} from "./messages.ts";
import type { Shape } from "./shape.ts";

const common = { id: "sevt_01K3V6F7Q8ABCDEFGHJKMNPQRS", seq: 7, processed_at: "2026-03-01T09:00:00.000Z" };
const parent = { parent_event_id: "sevt_1" };

/** Of each type, with every field. */
export const events: { [T in SessionEvent["type"]]: Extract<SessionEvent, { type: T }> } = {
  "user.message": {
    ...common,
    type: "user.message",
    content: [textBlock, imageBlock],
    holdfast: { client_id: "mine-1", delivery: "now", wakeup_id: "wake-1" },
  },
  "user.interrupt": { ...common, type: "user.interrupt", holdfast: { message_id: "sevt_1" } },
  "user.tool_confirmation": {
    ...common,
    type: "user.tool_confirmation",
    tool_use_id: "sevt_2",
    result: "allow",
    deny_message: "Not that one",
    holdfast: confirmation,
  },
  "holdfast.message": {
    ...common,
    type: "holdfast.message",
    message_id: "sevt_1",
    state: "edited",
    content: [textBlock, imageBlock],
  },
  "agent.message": {
    ...common,
    type: "agent.message",
    content: [textBlock],
    holdfast: { ...parent, aborted: true, error: "rate_limit" },
  },
  "agent.thinking": { ...common, type: "agent.thinking", holdfast: { ...parent, text: "Hm." } },
  "agent.tool_use": {
    ...common,
    type: "agent.tool_use",
    name: "Bash",
    input: { command: "ls" },
    evaluated_permission: "ask",
    holdfast: { ...parent, tool_use_id: "toolu_1" },
  },
  "agent.tool_result": {
    ...common,
    type: "agent.tool_result",
    tool_use_id: "sevt_2",
    content: [textBlock, imageBlock],
    is_error: false,
    holdfast: { ...parent, lines: 3, size_bytes: 120, clipped: true, details: { stdout: "a\nb" } },
  },
  "agent.thread_context_compacted": { ...common, type: "agent.thread_context_compacted" },
  "session.status_running": { ...common, type: "session.status_running" },
  "session.status_idle": {
    ...common,
    type: "session.status_idle",
    stop_reason: { type: "requires_action", event_ids: ["sevt_2"] },
    stop_details: null,
    holdfast: { outcome: "completed" },
  },
  "session.status_terminated": { ...common, type: "session.status_terminated" },
  "session.updated": {
    ...common,
    type: "session.updated",
    title: "The build",
    metadata: { team: "core" },
    holdfast: { settings },
  },
  "session.deleted": { ...common, type: "session.deleted" },
  "session.error": {
    ...common,
    type: "session.error",
    error: { type: "unknown_error", message: "It broke", retry_status: { type: "terminal" } },
    holdfast: { code: "claude_start_failed", remedy: "Send the message again.", exit_code: 1, output: "no such file" },
  },
  "holdfast.initialized": {
    ...common,
    type: "holdfast.initialized",
    first: true,
    claude_session_id: "0f8fad5b-d9cb-469f-a165-70867728950e",
    model: "claude-opus-4-8",
    cwd: "/mnt/workspace",
    permission_mode: "default",
    claude_code_version: "2.1.330",
    tools: ["Bash", "Edit"],
    mcp_servers: [{ name: "docs", status: "connected" }],
    scripted: false,
  },
  "holdfast.turn_result": {
    ...common,
    type: "holdfast.turn_result",
    outcome: "completed",
    subtype: "success",
    terminal_reason: "end_turn",
    is_error: false,
    errors: ["one"],
    num_turns: 2,
    duration_ms: 1_200.5,
    duration_api_ms: 900.5,
    cost_usd: 0.01,
    total_cost_usd: 0.25,
    usage: { input_tokens: 1, output_tokens: 2, cache_read_input_tokens: 3, cache_creation_input_tokens: 4 },
  },
  "holdfast.step": {
    ...common,
    type: "holdfast.step",
    step_id: "sevt_3",
    step: "image",
    state: "running",
    title: "Building the image",
    detail: "RUN make",
    progress: { done: 2, total: 5, unit: "layers" },
    attempt: 1,
    duration_ms: 12.5,
  },
  "holdfast.notice": {
    ...common,
    type: "holdfast.notice",
    kind: "api_retry",
    level: "warning",
    text: "The model is busy",
    retry_delay_ms: 500,
    data: { attempt: 2 },
  },
  "holdfast.permission_request": {
    ...common,
    type: "holdfast.permission_request",
    tool_use_id: "sevt_2",
    kind: "question",
    tool_name: "AskUserQuestion",
    title: "Claude asks",
    description: "",
    input: { questions: [] },
    reason: "a rule asks",
    blocked_path: "/etc/passwd",
    can_allow: true,
    suggestions: [suggestion],
    questions: [choiceQuestion],
    plan: "# Plan",
    ...parent,
  },
  "holdfast.permission_resolved": {
    ...common,
    type: "holdfast.permission_resolved",
    tool_use_id: "sevt_2",
    outcome: "allowed",
    rule: "Bash(npm test:*)",
    message: "Yes",
    answers: { "Which database?": "SQLite" },
    mode: "acceptEdits",
    stopped: false,
    answered_by: "laptop",
  },
  "holdfast.background": { ...common, type: "holdfast.background", tasks: [backgroundTask] },
  "holdfast.wakeup": {
    ...common,
    type: "holdfast.wakeup",
    wakeup_id: "wake-1",
    state: "scheduled",
    due_at: "2026-03-01T10:00:00Z",
    reason: "Looks at the build",
  },
  "holdfast.todos": { ...common, type: "holdfast.todos", todos: [todo] },
  "holdfast.other": { ...common, type: "holdfast.other", line_type: "new_thing", line: { type: "new_thing", n: 1 } },
};

type Rules = Omit<Shape, "name" | "schema" | "example">;

const blocks = {
  unions: ["content.0", "content.1"],
  ruled: ["content.0.type", "content.1.type", "content.1.source.type"],
};
const modes = ["default", "acceptEdits"];

const rules: Record<SessionEvent["type"], Rules> = {
  "user.message": {
    ...blocks,
    optional: ["holdfast", "holdfast.client_id", "holdfast.delivery", "holdfast.wakeup_id"],
    ruled: [...blocks.ruled, "holdfast.client_id"],
    closed: ["holdfast"],
    choices: { "holdfast.delivery": ["next", "now"] },
  },
  "user.interrupt": {
    optional: ["holdfast", "holdfast.message_id"],
    ruled: ["holdfast.message_id"],
    closed: ["holdfast"],
  },
  "user.tool_confirmation": {
    optional: [
      ...["deny_message", "holdfast"],
      ...["holdfast.remember", "holdfast.answers", "holdfast.stop", "holdfast.mode"],
    ],
    nullable: ["deny_message"],
    ruled: ["holdfast.remember", "holdfast.answers.Which database?"],
    closed: ["holdfast"],
    records: ["holdfast.answers"],
    choices: { result: ["allow", "deny"], "holdfast.mode": modes },
  },
  "holdfast.message": {
    ...blocks,
    optional: ["content"],
    choices: { state: ["edited", "removed", "started", "steered"] },
  },
  "agent.message": {
    optional: ["holdfast", "holdfast.parent_event_id", "holdfast.aborted", "holdfast.error"],
    fixed: ["content.0.type"],
  },
  "agent.thinking": { optional: ["holdfast", "holdfast.parent_event_id"] },
  "agent.tool_use": {
    optional: ["holdfast.parent_event_id"],
    records: ["input"],
    anything: ["input.command"],
    choices: { evaluated_permission: ["allow", "ask", "deny"] },
  },
  "agent.tool_result": {
    ...blocks,
    optional: [
      "holdfast",
      ...["parent_event_id", "lines", "size_bytes", "clipped", "details"].map((name) => `holdfast.${name}`),
    ],
    whole: ["holdfast.lines", "holdfast.size_bytes"],
    anything: ["holdfast.details"],
  },
  "agent.thread_context_compacted": {},
  "session.status_running": {},
  "session.status_idle": {
    optional: ["holdfast"],
    fixed: ["stop_reason.type"],
    choices: { "holdfast.outcome": ["completed", "stopped", "failed", "interrupted", "limit"] },
  },
  "session.status_terminated": {},
  "session.updated": {
    optional: ["title", "metadata", "holdfast"],
    nullable: ["title", "holdfast.settings.model", "holdfast.settings.effort"],
    records: ["metadata"],
  },
  "session.deleted": {},
  "session.error": {
    optional: ["holdfast", "holdfast.exit_code", "holdfast.output"],
    nullable: ["holdfast.exit_code"],
    whole: ["holdfast.exit_code"],
    choices: {
      "error.type": [
        "unknown_error",
        "model_overloaded_error",
        "model_rate_limited_error",
        "model_request_failed_error",
        "billing_error",
      ],
      "error.retry_status.type": ["retrying", "exhausted", "terminal"],
    },
  },
  "holdfast.initialized": {},
  "holdfast.turn_result": {
    nullable: ["terminal_reason"],
    whole: ["num_turns"],
    choices: { outcome: ["completed", "stopped", "failed", "limit"] },
  },
  "holdfast.step": {
    optional: ["detail", "progress", "attempt", "duration_ms"],
    nullable: ["progress.total"],
    whole: ["attempt"],
    choices: {
      step: ["image", "sandbox", "permissions", "claude", "sync"],
      state: ["running", "done", "failed", "skipped", "warning"],
    },
  },
  "holdfast.notice": {
    optional: ["retry_delay_ms", "data"],
    records: ["data"],
    anything: ["data.attempt"],
    choices: { level: ["info", "warning", "error"] },
  },
  "holdfast.permission_request": {
    optional: ["questions", "plan", "parent_event_id", "suggestions.0.mode", "questions.0.options.0.preview"],
    nullable: ["reason", "blocked_path"],
    records: ["input"],
    anything: ["input.questions"],
    choices: { kind: ["tool", "question", "plan"], "suggestions.0.mode": ["acceptEdits"] },
  },
  "holdfast.permission_resolved": {
    optional: ["rule", "message", "answers", "mode", "stopped", "answered_by"],
    records: ["answers"],
    choices: { outcome: ["allowed", "denied", "expired", "withdrawn"], mode: modes },
  },
  "holdfast.background": {
    optional: ["tasks.0.due_at", "tasks.0.tool_use_id"],
    choices: { "tasks.0.kind": ["agent", "shell", "monitor", "wakeup", "other"] },
  },
  "holdfast.wakeup": { choices: { state: ["scheduled", "fired", "cancelled"] } },
  "holdfast.todos": { choices: { "todos.0.status": ["pending", "in_progress", "completed"] } },
  "holdfast.other": { anything: ["line"] },
};

export const drafts: { [T in DraftFrame["type"]]: Extract<DraftFrame, { type: T }> } = {
  event_start: { type: "event_start", event: { type: "agent.message", id: "sevt_9" } },
  event_delta: {
    type: "event_delta",
    event_id: "sevt_9",
    delta: { type: "content_delta", index: 0, content: textBlock },
  },
  "holdfast.draft_void": { type: "holdfast.draft_void", event_id: "sevt_9" },
};

export const eventShapes: readonly Shape[] = [
  ...Object.values(events).map((event) => {
    const rule = rules[event.type];
    const fixed = ["type", ...(rule.fixed ?? [])];
    const whole = ["seq", ...(rule.whole ?? [])];
    return { name: `the event ${event.type}`, schema: SessionEvent, example: event, ...rule, fixed, whole };
  }),
  {
    name: "the draft event_start",
    schema: DraftFrame,
    example: drafts.event_start,
    fixed: ["type"],
    choices: { "event.type": ["agent.message", "agent.thinking"] },
  },
  {
    name: "the draft event_delta",
    schema: DraftFrame,
    example: drafts.event_delta,
    fixed: ["type", "delta.type", "delta.content.type"],
    whole: ["delta.index"],
  },
  {
    name: "the draft holdfast.draft_void",
    schema: DraftFrame,
    example: drafts["holdfast.draft_void"],
    fixed: ["type"],
  },
];
