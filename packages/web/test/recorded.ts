import type { NewEvent } from "@holdfast/protocol";

/** A turn as the server records it: every kind of row. */
export const text = (value: string, id?: string): NewEvent => ({
  type: "agent.message",
  content: [{ type: "text", text: value }],
  ...(id ? { id } : {}),
});

export const user = (value: string, id?: string): NewEvent => ({
  type: "user.message",
  content: [{ type: "text", text: value }],
  ...(id ? { id } : {}),
});
export const started = (messageId: string, state: "started" | "steered" = "started"): NewEvent => ({
  type: "holdfast.message",
  message_id: messageId,
  state,
});
export const running: NewEvent = { type: "session.status_running" };
export const idle = (
  outcome: "completed" | "stopped" | "failed" | "interrupted" | "limit" = "completed",
): NewEvent => ({
  type: "session.status_idle",
  stop_reason: { type: "end_turn" },
  stop_details: null,
  holdfast: { outcome },
});

export const use = (id: string, name: string, input: Record<string, unknown>): NewEvent => ({
  type: "agent.tool_use",
  id,
  name,
  input,
  evaluated_permission: "allow",
  holdfast: { tool_use_id: `toolu_${id}` },
});

export const toolResult = (
  useId: string,
  value: string,
  options: { error?: boolean; details?: unknown; lines?: number } = {},
): NewEvent => ({
  type: "agent.tool_result",
  tool_use_id: useId,
  content: [{ type: "text", text: value }],
  is_error: options.error ?? false,
  holdfast: {
    ...(options.details === undefined ? {} : { details: options.details }),
    ...(options.lines === undefined ? {} : { lines: options.lines }),
  },
});

export const initialized = (first: boolean): NewEvent => ({
  type: "holdfast.initialized",
  first,
  claude_session_id: "f0f0",
  model: "claude-opus-5-5",
  cwd: "/mnt/workspace",
  permission_mode: "bypassPermissions",
  claude_code_version: "2.1.330",
  tools: ["Bash"],
  mcp_servers: [],
  scripted: false,
});

export const turnResult = (outcome: "completed" | "stopped" | "failed" | "limit" = "completed"): NewEvent => ({
  type: "holdfast.turn_result",
  outcome,
  subtype: outcome === "completed" ? "success" : "error_during_execution",
  terminal_reason: null,
  is_error: outcome === "failed",
  errors: outcome === "failed" ? ["The model answered 529 ten times."] : [],
  num_turns: 3,
  duration_ms: 12_345,
  duration_api_ms: 9_000,
  cost_usd: 0.0123,
  total_cost_usd: 0.4321,
  usage: { input_tokens: 1, output_tokens: 2, cache_read_input_tokens: 3, cache_creation_input_tokens: 4 },
});

export const step = (
  id: string,
  kind: "image" | "sandbox" | "permissions" | "claude" | "sync",
  state: "running" | "done" | "failed" | "skipped" | "warning",
  title: string,
  more: { detail?: string; progress?: { done: number; total: number | null; unit: string }; duration_ms?: number } = {},
): NewEvent => ({ type: "holdfast.step", step_id: id, step: kind, state, title, ...more });

export const sessionError: NewEvent = {
  type: "session.error",
  error: {
    type: "unknown_error",
    message: "The workspace could not be made writable.",
    retry_status: { type: "terminal" },
  },
  holdfast: {
    code: "permissions_failed",
    remedy: "Send the message again; the step's output says what failed.",
    exit_code: 3,
    output: "chown: /mnt/workspace/x: Operation not permitted",
  },
};

export const answer = `I looked at the upload test and found **why** it fails.

## What happens

1. The client asks for the parts before the last one is flushed.
2. The server answers with \`2\` instead of \`3\`.

| run | parts | verdict |
|---|--:|---|
| 1 | 3 | passed |
| 2 | 2 | failed |

\`\`\`ts
const parts = await list(key);
if (parts.length === want) complete();
\`\`\`

> A flush before the list is enough.

- [x] reproduced
- [ ] fixed

See [the docs](https://example.org/upload) and <b>raw</b> [bad](javascript:alert(1)).
`;

export const patch = {
  structuredPatch: [
    {
      oldStart: 40,
      oldLines: 3,
      newStart: 40,
      newLines: 4,
      lines: [
        " const parts = await list(key)",
        "-if (parts.length) complete()",
        "+await flush()",
        "+if (parts.length === want) complete()",
      ],
    },
  ],
};

/** One whole turn with everything in it. */
export const fullTurn: readonly NewEvent[] = [
  user("The upload test fails one time in five. Find out why and fix it."),
  running,
  step("s1", "sandbox", "done", "Starting the sandbox", { duration_ms: 1_900 }),
  step("s2", "permissions", "done", "Checking file permissions", { duration_ms: 80 }),
  step("s3", "claude", "done", "Starting Claude Code", { duration_ms: 2_200 }),
  initialized(true),
  { type: "agent.thinking", holdfast: { text: "I should reproduce it first.\nThen look at the flush." } },
  text("I will run the test in a loop first to see **how** it fails."),
  use("t1", "Bash", { command: "for i in $(seq 20); do npx vitest run upload; done" }),
  toolResult("t1", "AssertionError: expected 3 parts, got 2\n    at upload.test.ts:41:18", { error: true }),
  use("t2", "Read", { file_path: "/mnt/workspace/packages/server/src/upload.ts" }),
  toolResult("t2", Array.from({ length: 60 }, (_, i) => `${i + 1}\tline ${i + 1} of the file`).join("\n"), {
    lines: 200,
  }),
  use("t3", "TodoWrite", {
    todos: [
      { content: "Reproduce", status: "completed", activeForm: "Reproducing" },
      { content: "Fix the race", status: "in_progress", activeForm: "Fixing the race" },
      { content: "Run 50 times", status: "pending", activeForm: "Running 50 times" },
    ],
  }),
  toolResult("t3", "Todos have been modified successfully."),
  use("t4", "Edit", {
    file_path: "/mnt/workspace/packages/server/src/upload.ts",
    old_string: "if (parts.length) complete()",
    new_string: "await flush()\nif (parts.length === want) complete()",
  }),
  toolResult("t4", "The file has been updated.", { details: patch }),
  text(answer),
  {
    type: "holdfast.notice",
    kind: "api_retry",
    level: "warning",
    text: "The model is overloaded; trying again (1 of 10)",
    retry_delay_ms: 1_000,
  },
  { type: "holdfast.other", line_type: "system/new_thing", line: { type: "system", subtype: "new_thing", n: 1 } },
  turnResult(),
  idle(),
  step("s4", "sync", "done", "Saving to S3", { detail: "3 files", duration_ms: 1_200 }),
];

export const asked = (...useIds: string[]): NewEvent => ({
  type: "session.status_idle",
  stop_reason: { type: "requires_action", event_ids: useIds },
  stop_details: null,
});

type Request = Extract<NewEvent, { type: "holdfast.permission_request" }>;

export const asks = (useId: string, more: Partial<Request> = {}): NewEvent => ({
  type: "holdfast.permission_request",
  tool_use_id: useId,
  kind: "tool",
  tool_name: "Bash",
  title: "Claude wants to run a command",
  description: "Push the branch",
  input: { command: "git push origin fix/upload", description: "Push the branch" },
  reason: "This command is not among those that are always allowed",
  blocked_path: null,
  can_allow: true,
  suggestions: [{ id: "s1", label: "Always allow git push", rules: ["Bash(git push:*)"] }],
  ...more,
});

export const editAsks = (useId: string): NewEvent =>
  asks(useId, {
    tool_name: "Edit",
    title: "Claude wants to change a file",
    description: "",
    reason: null,
    blocked_path: "/etc/hosts",
    input: {
      file_path: "/mnt/workspace/src/upload.ts",
      old_string: "const parts = await list(key)\nif (parts.length) complete()\nreturn parts",
      new_string: "const parts = await list(key)\nawait flush()\nif (parts.length === want) complete()\nreturn parts",
    },
    suggestions: [
      { id: "s1", label: "Accept all edits in this session", rules: [], mode: "acceptEdits" },
      { id: "s2", label: "Always allow edits here", rules: ["Edit(/mnt/workspace/src/**)"] },
    ],
  });

export const choicesAsked = (useId: string): NewEvent =>
  asks(useId, {
    kind: "question",
    tool_name: "AskUserQuestion",
    title: "Claude has two questions",
    description: "",
    input: {},
    reason: null,
    suggestions: [],
    questions: [
      {
        question: "Which database should the service use?",
        header: "Database",
        multi_select: false,
        options: [
          { label: "SQLite", description: "One file, nothing to run", preview: "db = open('app.sqlite')" },
          { label: "PostgreSQL", description: "A server; several writers" },
        ],
      },
      {
        question: "What should be tested?",
        header: "Tests",
        multi_select: true,
        options: [
          { label: "Unit", description: "Fast" },
          { label: "Integration", description: "With the real database" },
          { label: "Load", description: "Ten thousand rows" },
        ],
      },
    ],
  });

export const plan = `## Fix the flaky upload

1. Reproduce it in a loop
2. Flush **before** the list
3. Run it fifty times

\`\`\`ts
await flush();
\`\`\`

| step | risk |
|---|---|
| flush | low |
`;

export const planAsked = (useId: string): NewEvent =>
  asks(useId, {
    kind: "plan",
    tool_name: "ExitPlanMode",
    title: "Claude has a plan",
    description: "",
    input: { plan },
    reason: null,
    suggestions: [],
    plan,
  });

export const resolved = (
  useId: string,
  outcome: "allowed" | "denied" | "expired" | "withdrawn",
  more: object = {},
): NewEvent => ({ type: "holdfast.permission_resolved", tool_use_id: useId, outcome, ...more });

export const notice = (kind: string, text: string): NewEvent => ({
  type: "holdfast.notice",
  kind,
  level: kind === "stalled" ? "warning" : "info",
  text,
});

/** It waits from now on, whatever the recorded clock says. */
export const retry = (delayMs: number): NewEvent => ({
  type: "holdfast.notice",
  kind: "api_retry",
  level: "warning",
  text: "The model's API answered 529 (overloaded). Retry 1 of 10.",
  retry_delay_ms: delayMs + 60_000,
});
