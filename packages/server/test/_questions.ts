import { randomUUID } from "node:crypto";
import type { EventOf, SessionEvent } from "@holdfast/protocol";
import { toolUse } from "./_claude-lines.ts";
import type { Line, LocalClaude } from "./_local-claude.ts";
import { type LocalSession, outline } from "./_local-server.ts";

export type Requested = EventOf<"holdfast.permission_request">;
export type Resolved = EventOf<"holdfast.permission_resolved">;

/** What Claude Code proposes for `touch one`. */
export const proposals = (rule = "touch one *"): Line[] => [
  {
    type: "addRules",
    rules: [{ toolName: "Bash", ruleContent: rule }],
    behavior: "allow",
    destination: "localSettings",
  },
  { type: "addDirectories", directories: ["/mnt/workspace"], destination: "session" },
  { type: "setMode", mode: "acceptEdits", destination: "session" },
];

export interface Question {
  requestId: string;
  toolId: string;
  line: Line;
}

/** A tool call and the question whether it may run. */
export function question(command: string, more: Line = {}): Question & { call: Line } {
  const [requestId, toolId] = [randomUUID(), `toolu_${randomUUID()}`];
  const input = { command, description: "test" };
  const request = { subtype: "can_use_tool", tool_name: "Bash", input, tool_use_id: toolId, ...more };
  return {
    requestId,
    toolId,
    call: toolUse(toolId, String(request.tool_name), request.input as Line),
    line: { type: "control_request", request_id: requestId, request },
  };
}

/** Prints it; what comes back is heard by `answerTo`. */
export function ask(claude: LocalClaude, command: string, more: Line = {}): Question {
  const { call, ...asked } = question(command, more);
  claude.print(call, asked.line);
  return asked;
}

/** The answer that Claude Code gets. */
export async function answerTo(claude: LocalClaude, { requestId }: Question): Promise<Line> {
  const line = await claude.hears((each) => isAnswerTo(each, requestId));
  return (line.response as { response: Line }).response;
}

export const answersTo = (claude: LocalClaude, { requestId }: Question): Line[] =>
  claude.heard.filter((each) => isAnswerTo(each, requestId));

const isAnswerTo = (line: Line, requestId: string) =>
  line.type === "control_response" && (line.response as Line).request_id === requestId;

export const requestsOf = (events: SessionEvent[]): Requested[] =>
  events.filter((event): event is Requested => event.type === "holdfast.permission_request");
export const resolvedOf = (events: SessionEvent[]): Resolved[] =>
  events.filter((event): event is Resolved => event.type === "holdfast.permission_resolved");

/** Questions that nothing has ended. */
export const openOf = (events: SessionEvent[]): Requested[] => {
  const ended = new Set(resolvedOf(events).map((event) => event.tool_use_id));
  return requestsOf(events).filter((event) => !ended.has(event.tool_use_id));
};

/** Waits for the n-th question; the newest one that is open. */
export async function asked(session: LocalSession, times = 1): Promise<Requested> {
  const events = await session.until(`${times} questions`, (all) => requestsOf(all).length >= times);
  const newest = openOf(events).at(-1);
  if (newest === undefined) throw new Error(`nothing is asked: ${outline(events)}`);
  return newest;
}

export interface Reply {
  result?: "allow" | "deny";
  deny_message?: string;
  holdfast?: Record<string, unknown>;
}

export const reply = (session: LocalSession, { tool_use_id }: Requested, { result = "allow", ...more }: Reply = {}) =>
  session.post({ type: "user.tool_confirmation", tool_use_id, result, ...more });

/** As `reply`; rejects unless it was taken. */
export async function say(session: LocalSession, to: Requested, how: Reply = {}): Promise<void> {
  const { status, body } = await reply(session, to, how);
  if (status !== 200) throw new Error(`not taken: ${status} ${JSON.stringify(body)}`);
}

export const detailOf = ({ body }: { body: Record<string, unknown> }): string => JSON.stringify(body);
