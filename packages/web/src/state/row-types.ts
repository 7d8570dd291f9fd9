import type { EventOf } from "@holdfast/protocol";
import type { OutboxItem } from "./outbox.ts";

export type ToolState = "running" | "ok" | "error";

interface RowOf<K extends string> {
  kind: K;
  /** Of the event that made the row: stable, so a row keeps its place, focus and state. */
  id: string;
  /** Made by a subagent: shown indented. */
  nested?: boolean;
}

export interface UserRow extends RowOf<"user"> {
  event: EventOf<"user.message">;
  /** What Claude gets: as it was sent, or as it was edited later. */
  content: EventOf<"user.message">["content"];
  edited: boolean;
  /** It stopped the turn that ran. */
  steered: boolean;
  /** Taken back before Claude had it. */
  removed: boolean;
}
/** `event` is null while the text is a draft. */
export interface TextRow extends RowOf<"text"> {
  event: EventOf<"agent.message"> | null;
}
export interface ThinkingRow extends RowOf<"thinking"> {
  event: EventOf<"agent.thinking"> | null;
}
export interface ToolRow extends RowOf<"tool"> {
  /** Null when the call lies on an older page that is not loaded. */
  use: EventOf<"agent.tool_use"> | null;
  result: EventOf<"agent.tool_result"> | null;
  state: ToolState;
  /** The turn ended and no result ever came. */
  abandoned: boolean;
  /** An older todo list: folded. */
  superseded: boolean;
  /** It waits for somebody's word. */
  asking: boolean;
}
/** Claude waits, or waited, for somebody's word. */
export interface QuestionRow extends RowOf<"question"> {
  request: EventOf<"holdfast.permission_request">;
  resolved: EventOf<"holdfast.permission_resolved"> | null;
  /** Its turn is over and nobody said what became of it. */
  over: boolean;
}
export interface InitRow extends RowOf<"init"> {
  event: EventOf<"holdfast.initialized">;
}
export interface ResultRow extends RowOf<"result"> {
  event: EventOf<"holdfast.turn_result"> | EventOf<"session.status_idle"> | EventOf<"session.status_terminated">;
}
export interface ErrorRow extends RowOf<"error"> {
  event: EventOf<"session.error">;
}
export interface NoticeRow extends RowOf<"notice"> {
  level: "info" | "warning" | "error";
  text: string;
  /** When the announced retry happens, in ms since the epoch. Null when nothing is waited for. */
  retryAtMs: number | null;
  /** A line across the conversation: what is above it is not as it was for Claude. */
  divider?: true;
}
export interface StepsRow extends RowOf<"steps"> {
  steps: readonly EventOf<"holdfast.step">[];
  /** When each of them was first spoken of, RFC 3339. */
  starts: readonly string[];
  /** The turn ended while a step still ran: nothing more will be said of it. */
  cutOff: boolean;
}
export interface OtherRow extends RowOf<"other"> {
  event: EventOf<"holdfast.other">;
}
export interface PendingRow extends RowOf<"pending"> {
  item: OutboxItem;
}

export type Row =
  | UserRow
  | TextRow
  | ThinkingRow
  | ToolRow
  | InitRow
  | ResultRow
  | ErrorRow
  | NoticeRow
  | StepsRow
  | OtherRow
  | QuestionRow
  | PendingRow;
