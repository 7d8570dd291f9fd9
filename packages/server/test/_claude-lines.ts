import { randomUUID } from "node:crypto";
import type { Line, LocalClaude } from "./_local-claude.ts";

/** Lines as Claude Code 2.1.330 prints them, with the fields that matter. */
export const init = (claude: Pick<LocalClaude, "sessionId" | "argv">, more: Line = {}): Line => ({
  type: "system",
  subtype: "init",
  session_id: claude.sessionId,
  model: "claude-local",
  cwd: "/mnt/workspace",
  permissionMode: modeOf(claude),
  claude_code_version: "2.1.330",
  tools: [],
  mcp_servers: [],
  uuid: randomUUID(),
  ...more,
});

/** In which it was started. */
export const modeOf = ({ argv }: Pick<LocalClaude, "argv">): string =>
  argv[argv.indexOf("--permission-mode") + 1] ?? "default";

export const echo = (user: Line): Line => ({ ...user, isReplay: true });

export const lifecycle = (user: Line, state: "queued" | "started" | "completed" | "cancelled"): Line => ({
  type: "command_lifecycle",
  command_uuid: user.uuid,
  state,
});

const assistant = (content: Line, more: Line = {}): Line => ({
  type: "assistant",
  message: { id: `msg_${randomUUID()}`, role: "assistant", content: [content] },
  parent_tool_use_id: null,
  uuid: randomUUID(),
  ...more,
});

export const text = (words: string, more: Line = {}): Line => assistant({ type: "text", text: words }, more);

export const toolUse = (id: string, name = "Bash", input: Line = {}): Line =>
  assistant({ type: "tool_use", id, name, input });

export const toolResult = (id: string, content: string): Line => ({
  type: "user",
  message: { role: "user", content: [{ type: "tool_result", tool_use_id: id, content, is_error: false }] },
  parent_tool_use_id: null,
  uuid: randomUUID(),
});

export const delta = (words: string, id = "msg_stream"): Line[] => [
  stream({ type: "message_start", message: { id } }),
  stream({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }),
  stream({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: words } }),
];

const stream = (event: Line): Line => ({ type: "stream_event", event, parent_tool_use_id: null, uuid: randomUUID() });

export const apiRetry = (more: Line = {}): Line => ({
  type: "system",
  subtype: "api_retry",
  attempt: 1,
  max_retries: 10,
  retry_delay_ms: 30_000,
  error_status: 529,
  error: "overloaded",
  uuid: randomUUID(),
  ...more,
});

/** `answers`: the messages whose turn it ends. */
export const result = (answers: readonly Line[], more: Line = {}): Line => ({
  type: "result",
  subtype: "success",
  is_error: false,
  num_turns: 1,
  terminal_reason: "completed",
  total_cost_usd: 0,
  usage: {},
  queued_turn_count: 0,
  uuid: randomUUID(),
  ...(answers.length === 0
    ? {}
    : { user_message_uuid: answers[0]?.uuid, user_message_uuids: answers.map(({ uuid }) => uuid) }),
  ...more,
});

export const stopped = (answers: readonly Line[], more: Line = {}): Line =>
  result(answers, {
    subtype: "error_during_execution",
    is_error: true,
    terminal_reason: "aborted_streaming",
    errors: ["interrupted"],
    ...more,
  });

export const wordsOf = (user: Line): string => {
  const { content } = user.message as { content: { text?: string }[] };
  return content.map((block) => block.text ?? "").join("");
};

export const isInterrupt = (line: Line): boolean =>
  line.type === "control_request" && (line.request as Line).subtype === "interrupt";

export const controlAnswer = (request: Line, response: Line = {}): Line => ({
  type: "control_response",
  response: { subtype: "success", request_id: request.request_id, response },
});

/** Begins the turn of a message: everything up to the first word. */
export function begin(claude: LocalClaude, user: Line, more: Line = {}): void {
  claude.print(lifecycle(user, "queued"), lifecycle(user, "started"), init(claude, more), echo(user));
}

/** The whole turn of a message. */
export function answer(claude: LocalClaude, user: Line, words = `You said: ${wordsOf(user)}`): void {
  begin(claude, user);
  claude.print(text(words), result([user]), lifecycle(user, "completed"));
}

/** Answers every message at once, and ends at the end of input: what a test gets that says nothing else. */
export async function answering(claude: LocalClaude): Promise<void> {
  for (;;) {
    const line = await claude.next();
    if (line.type === "user") answer(claude, line);
    else if (isInterrupt(line)) claude.print(controlAnswer(line, { still_queued: [] }));
    else if (line.type === "end" || line.type === "signal") return await claude.exit(0);
  }
}
