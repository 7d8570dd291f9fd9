import type { EventOf, SessionEvent } from "@holdfast/protocol";
import type { Draft, SessionLog } from "./log.ts";
import { beginsBusy, MessageTracker } from "./messages.ts";
import type { OutboxItem } from "./outbox.ts";
import type { NoticeRow, QuestionRow, Row, StepsRow, ToolRow, ToolState, UserRow } from "./row-types.ts";

export * from "./row-types.ts";

/** Computes the rows of a log, giving back the same objects, and the same array, for what did not change. */
export class RowBuilder {
  #events: readonly SessionEvent[] | null = null;
  #committed: readonly Row[] = [];
  #tail: readonly Row[] = [];
  #rows: readonly Row[] = [];
  #open: readonly QuestionRow[] = [];
  #queue: readonly UserRow[] = [];
  #sending: readonly OutboxItem[] = [];
  #turn: string | null = null;
  #unread: ReadonlySet<string> = new Set();

  /** Messages that Claude has not read: they wait, or were taken back. */
  get unread(): ReadonlySet<string> {
    return this.#unread;
  }

  /** Messages that wait for the running turn, oldest first. */
  get queue(): readonly UserRow[] {
    return this.#queue;
  }

  /** Messages that will wait, too, as soon as the server has them. */
  get sending(): readonly OutboxItem[] {
    return this.#sending;
  }

  /** The message whose turn runs. */
  get turn(): string | null {
    return this.#turn;
  }

  /** Questions that wait for an answer, oldest first. */
  get openQuestions(): readonly QuestionRow[] {
    return this.#open;
  }

  /** `working`: what is sent now has to wait. */
  build(log: SessionLog, outbox: readonly OutboxItem[], working = false): readonly Row[] {
    const before = this.#committed;
    if (log.events !== this.#events) this.#walk(log.events);
    const waiting = outbox.filter((item) => !item.eventId || !log.byId.has(item.eventId));
    const queued = (item: OutboxItem) => working && item.state === "sending";
    this.#sending = same(this.#sending, waiting.filter(queued));
    const pending = waiting
      .filter((item) => !queued(item))
      .map((item): Row => ({ kind: "pending", id: item.clientId, item }));
    const tail = reuse(this.#tail, [...draftRows(log.drafts), ...pending]);
    if (this.#committed !== before || tail !== this.#tail) this.#rows = [...this.#committed, ...tail];
    this.#tail = tail;
    return this.#rows;
  }

  #walk(events: readonly SessionEvent[]): void {
    const { rows, messages } = committedRows(events);
    this.#events = events;
    this.#committed = reuse(this.#committed, rows);
    this.#queue = reuse(this.#queue, [...messages.held.values()]);
    this.#turn = messages.turn;
    this.#unread = messages.unread;
    const isOpen = (row: Row): row is QuestionRow => row.kind === "question" && !row.resolved && !row.over;
    this.#open = same(this.#open, this.#committed.filter(isOpen));
  }
}

const same = <T>(before: readonly T[], after: readonly T[]): readonly T[] =>
  before.length === after.length && after.every((entry, i) => entry === before[i]) ? before : after;

function reuse<R extends Row>(before: readonly R[], rows: readonly R[]): readonly R[] {
  const byId = new Map(before.map((row) => [row.id, row]));
  let changed = rows.length !== before.length;
  const reused = rows.map((row, i) => {
    const old = byId.get(row.id);
    const kept = old && sameRow(old, row) ? old : row;
    if (kept !== before[i]) changed = true;
    return kept;
  });
  return changed ? reused : before;
}

function sameRow(a: Row, b: Row): boolean {
  const left: Record<string, unknown> = { ...a };
  const right: Record<string, unknown> = { ...b };
  const keys = Object.keys(right);
  if (keys.length !== Object.keys(left).length) return false;
  return keys.every((key) => {
    const x = left[key];
    const y = right[key];
    if (Array.isArray(x) && Array.isArray(y)) return x.length === y.length && x.every((entry, i) => entry === y[i]);
    return Object.is(x, y);
  });
}

const draftRows = (drafts: readonly Draft[]): Row[] =>
  drafts
    .filter((draft) => draft.kind === "agent.thinking" || draft.text.trim() !== "")
    .map((draft) =>
      draft.kind === "agent.message"
        ? { kind: "text", id: draft.id, event: null }
        : { kind: "thinking", id: draft.id, event: null },
    );

interface StepsBuilding extends StepsRow {
  steps: EventOf<"holdfast.step">[];
  starts: string[];
}

interface Building {
  rows: Row[];
  messages: MessageTracker;
  /** Tool calls by event id. */
  tools: Map<string, ToolRow>;
  /** By the tool call's event id. */
  questions: Map<string, QuestionRow>;
  /** Calls that a card shows better. */
  replaced: Set<string>;
  steps: Map<string, { row: StepsBuilding; at: number; epoch: number }>;
  group: StepsBuilding | null;
  /** Counts the points where a new step list begins. */
  epoch: number;
  lastTodo: ToolRow | null;
  /** A result line or an error has told how the turn ended. */
  told: boolean;
}

function committedRows(events: readonly SessionEvent[]): { rows: Row[]; messages: MessageTracker } {
  const to: Building = {
    rows: [],
    messages: new MessageTracker(beginsBusy(events)),
    tools: new Map(),
    questions: new Map(),
    replaced: new Set(),
    steps: new Map(),
    group: null,
    epoch: 0,
    lastTodo: null,
    told: false,
  };
  for (const event of events) addRow(to, event);
  const rows = to.replaced.size === 0 ? to.rows : to.rows.filter((row) => !to.replaced.has(row.id));
  return { rows, messages: to.messages };
}

function addRow(to: Building, event: SessionEvent): void {
  if (event.type.startsWith("agent.")) showMessages(to, to.messages.answered());
  switch (event.type) {
    case "user.message":
      showMessages(to, to.messages.sent(event));
      return;
    case "holdfast.message":
      showMessages(to, to.messages.changed(event));
      return;
    case "agent.message":
      if (textOf(event.content) !== "") to.rows.push({ kind: "text", id: event.id, event, ...nesting(event) });
      return;
    case "agent.thinking":
      to.rows.push({ kind: "thinking", id: event.id, event, ...nesting(event) });
      return;
    case "agent.tool_use":
      addToolUse(to, event);
      return;
    case "agent.tool_result":
      addToolResult(to, event);
      return;
    case "session.error":
      to.told = true;
      to.rows.push({ kind: "error", id: event.id, event });
      return;
    case "holdfast.initialized":
      if (event.first) to.rows.push({ kind: "init", id: event.id, event });
      return;
    case "holdfast.step":
      addStep(to, event);
      return;
    case "holdfast.notice":
      addNotice(to, event);
      return;
    case "holdfast.other":
      to.rows.push({ kind: "other", id: event.id, event });
      return;
    case "user.interrupt":
      to.rows.push(notice(event.id, "info", "Stop requested"));
      return;
    case "user.tool_confirmation":
      // The question's own row says what became of it.
      if (to.questions.has(event.tool_use_id)) return;
      to.rows.push(notice(event.id, "info", event.result === "allow" ? "Allowed" : "Refused"));
      return;
    case "holdfast.permission_request":
      addQuestion(to, event);
      return;
    case "holdfast.permission_resolved":
      resolveQuestion(to, event);
      return;
    case "session.updated":
      return;
    case "session.deleted":
      to.rows.push(notice(event.id, "warning", "This session was deleted"));
      return;
    case "agent.thread_context_compacted":
      to.rows.push({ ...notice(event.id, "info", "Claude summarised the conversation to make room"), divider: true });
      return;
    default:
      addStatus(to, event);
      return;
  }
}

function addStatus(
  to: Building,
  event: Extract<SessionEvent, { type: `session.status_${string}` | "holdfast.turn_result" }>,
): void {
  if (event.type === "session.status_running") {
    to.told = false;
    if (to.messages.running().byItself) {
      breakSteps(to);
      to.rows.push(notice(event.id, "info", "Claude goes on by itself: something that it had begun is done"));
    }
    return;
  }
  // The turn goes on once the question is answered.
  if (event.type === "session.status_idle" && event.stop_reason.type === "requires_action") return;
  breakSteps(to);
  if (event.type === "holdfast.turn_result") {
    to.told = true;
    to.rows.push({ kind: "result", id: event.id, event });
    return;
  }
  to.messages.ended();
  abandonTools(to);
  cutOffSteps(to);
  for (const row of to.questions.values()) if (!row.resolved) row.over = true;
  const outcome = event.type === "session.status_idle" ? (event.holdfast?.outcome ?? "completed") : "terminated";
  // The result line, or the error above, has told it already.
  if (!to.told && outcome !== "completed") to.rows.push({ kind: "result", id: event.id, event });
  to.told = false;
}

function showMessages(to: Building, rows: readonly UserRow[]): void {
  if (rows.length === 0) return;
  to.rows.push(...rows);
  if (rows.every((row) => row.removed)) return;
  breakSteps(to);
  to.told = false;
}

const nesting = (event: { holdfast?: { parent_event_id?: string | undefined } | undefined }) =>
  event.holdfast?.parent_event_id ? { nested: true } : {};

const notice = (id: string, level: NoticeRow["level"], text: string): NoticeRow => ({
  kind: "notice",
  id,
  level,
  text,
  retryAtMs: null,
});

function addToolUse(to: Building, event: EventOf<"agent.tool_use">): void {
  const row: ToolRow = {
    kind: "tool",
    id: event.id,
    use: event,
    result: null,
    state: "running",
    abandoned: false,
    superseded: false,
    asking: false,
    ...nesting(event),
  };
  if (event.name === "TodoWrite") {
    if (to.lastTodo) to.lastTodo.superseded = true;
    to.lastTodo = row;
  }
  to.tools.set(event.id, row);
  to.rows.push(row);
}

function addToolResult(to: Building, event: EventOf<"agent.tool_result">): void {
  const state: ToolState = event.is_error ? "error" : "ok";
  const row = to.tools.get(event.tool_use_id);
  if (row) {
    row.result = event;
    row.state = state;
    row.abandoned = false;
    row.asking = false;
    return;
  }
  to.rows.push({
    kind: "tool",
    id: event.id,
    use: null,
    result: event,
    state,
    abandoned: false,
    superseded: false,
    asking: false,
    ...nesting(event),
  });
}

function addQuestion(to: Building, event: EventOf<"holdfast.permission_request">): void {
  const { tool_use_id: useId, kind } = event;
  const before = to.questions.get(useId);
  const tool = to.tools.get(useId);
  if (tool) tool.asking = kind === "tool";
  if (kind !== "tool") to.replaced.add(useId);
  // Asked again, for instance by a new process: the same row.
  if (before && !before.resolved) {
    before.request = event;
    before.over = false;
    return;
  }
  const nested = event.parent_event_id ? { nested: true } : {};
  const row: QuestionRow = { kind: "question", id: event.id, request: event, resolved: null, over: false, ...nested };
  to.questions.set(useId, row);
  to.rows.push(row);
}

function resolveQuestion(to: Building, event: EventOf<"holdfast.permission_resolved">): void {
  const row = to.questions.get(event.tool_use_id);
  if (row) row.resolved = event;
  const tool = to.tools.get(event.tool_use_id);
  if (tool) tool.asking = false;
}

function abandonTools(to: Building): void {
  for (const row of to.tools.values())
    if (!row.result && !row.abandoned) {
      row.abandoned = true;
      row.asking = false;
      row.state = "error";
    }
}

/** Syncs go on after a turn; every other step belongs to it. */
function cutOffSteps(to: Building): void {
  for (const { row, at } of to.steps.values()) {
    const step = row.steps[at];
    if (step?.state === "running" && step.step !== "sync") row.cutOff = true;
  }
}

function breakSteps(to: Building): void {
  to.group = null;
  to.epoch++;
}

const stepEnded = (step: EventOf<"holdfast.step">) => step.state !== "running";

function addStep(to: Building, event: EventOf<"holdfast.step">): void {
  const known = to.steps.get(event.step_id);
  const before = known?.row.steps[known.at];
  // A step that had ended and begins again after a new message is a new one, whatever its id.
  const again = before && known.epoch !== to.epoch && stepEnded(before) && !stepEnded(event);
  if (known && !again) {
    known.row.steps[known.at] = event;
    known.row.cutOff = false;
    return;
  }
  if (!to.group) {
    const row: StepsBuilding = { kind: "steps", id: event.id, steps: [], starts: [], cutOff: false };
    to.rows.push(row);
    to.group = row;
  }
  to.steps.set(event.step_id, { row: to.group, at: to.group.steps.length, epoch: to.epoch });
  to.group.steps.push(event);
  to.group.starts.push(event.processed_at);
}

function addNotice(to: Building, event: EventOf<"holdfast.notice">): void {
  const last = to.rows.at(-1);
  // The line across the conversation says it in better words.
  if (event.kind === "compact_boundary" && last?.kind === "notice" && last.divider) {
    last.text = event.text;
    return;
  }
  const retryAtMs =
    event.retry_delay_ms === undefined ? null : Date.parse(event.processed_at) + Math.max(0, event.retry_delay_ms);
  // One row for a chain of retries: the newest says how it stands.
  if (retryAtMs !== null && last?.kind === "notice" && last.retryAtMs !== null) {
    last.text = event.text;
    last.level = event.level;
    last.retryAtMs = retryAtMs;
    return;
  }
  to.rows.push({ kind: "notice", id: event.id, level: event.level, text: event.text, retryAtMs });
}

/** The text blocks of a message, as one text. */
export function textOf(content: readonly { type: string; text?: string }[]): string {
  return content
    .map((block) => (block.type === "text" ? (block.text ?? "") : ""))
    .filter((text) => text !== "")
    .join("\n\n");
}
