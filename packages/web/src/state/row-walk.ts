import type { EventOf, SessionEvent } from "@holdfast/protocol";
import { ActivityTracker } from "./activity.ts";
import type { EventList } from "./event-list.ts";
import { beginsBusy, MessageTracker } from "./messages.ts";
import type { NoticeRow, QuestionRow, Row, StepsRow, ToolRow, ToolState, UserRow } from "./row-types.ts";
import { sameRow } from "./same-row.ts";

interface StepsBuilding extends StepsRow {
  steps: EventOf<"holdfast.step">[];
  starts: string[];
}

interface StepPlace {
  row: StepsBuilding;
  at: number;
  epoch: number;
}

/** A log as it is walked through. Rows are changed in place here; who shows them takes copies. */
interface Building {
  rows: Row[];
  /** Where each row stands. */
  places: Map<Row, number>;
  /** Rows that were changed since the last copies were taken. */
  changed: Set<Row>;
  /** From here on all rows are new, or stand elsewhere, since then. */
  newFrom: number;
  messages: MessageTracker;
  activity: ActivityTracker;
  /** Tool calls by event id. */
  tools: Map<string, ToolRow>;
  /** Those without a result. */
  openTools: Set<ToolRow>;
  /** By the tool call's event id. */
  questions: Map<string, QuestionRow>;
  /** Those that wait for an answer. */
  openQuestions: Set<QuestionRow>;
  /** Calls that a card shows better. */
  replaced: Set<string>;
  steps: Map<string, StepPlace>;
  /** Those that run. */
  openSteps: Set<StepPlace>;
  group: StepsBuilding | null;
  /** Counts the points where a new step list begins. */
  epoch: number;
  lastTodo: ToolRow | null;
  /** A result line or an error has told how the turn ended. */
  told: boolean;
}

/** What a log shows, row by row. An event that is added costs the same, however long the log is. */
export class LogWalk {
  readonly #to: Building;
  readonly #events: EventList;
  /** Until a status has come, whether a turn ran where the events begin is a guess. */
  #guessed: boolean;
  #done = 0;

  constructor(events: EventList) {
    this.#events = events;
    this.#guessed = events.at(0)?.seq !== 1;
    this.#to = {
      rows: [],
      places: new Map(),
      changed: new Set(),
      newFrom: 0,
      messages: new MessageTracker(beginsBusy(events)),
      activity: new ActivityTracker(),
      tools: new Map(),
      openTools: new Set(),
      questions: new Map(),
      openQuestions: new Set(),
      replaced: new Set(),
      steps: new Map(),
      openSteps: new Set(),
      group: null,
      epoch: 0,
      lastTodo: null,
      told: false,
    };
    this.#read(events);
  }

  get rows(): readonly Row[] {
    return this.#to.rows;
  }

  get messages(): MessageTracker {
    return this.#to.messages;
  }

  get activity(): ActivityTracker {
    return this.#to.activity;
  }

  /** Places of the questions that wait for an answer, oldest first. */
  get openQuestions(): number[] {
    return [...this.#to.openQuestions].map((row) => this.#to.places.get(row) ?? -1);
  }

  /** Reads what was added. False when this cannot be: the log is another one, or was begun with a wrong guess. */
  goOn(events: EventList): boolean {
    if (!events.extends(this.#events)) return false;
    if (this.#guessed && (this.#done === 0 || events.some(isStatus, this.#done))) return false;
    this.#read(events);
    return true;
  }

  /** Copies of the rows; `before` are those that were taken last, and what did not change is the same object. */
  publish(before: readonly Row[]): readonly Row[] {
    const { rows, places, changed, newFrom } = this.#to;
    if (changed.size === 0 && newFrom === rows.length && newFrom === before.length) return before;
    const kept = new Map(before.slice(newFrom).map((row) => [row.id, row]));
    const fresh = (row: Row, old: Row | undefined) => (old !== undefined && sameRow(old, row) ? old : copyOf(row));
    const next = before.slice(0, newFrom);
    for (const row of rows.slice(newFrom)) next.push(fresh(row, kept.get(row.id)));
    for (const row of changed) {
      const place = places.get(row) ?? -1;
      if (place >= 0 && place < newFrom) next[place] = fresh(row, before[place]);
    }
    changed.clear();
    this.#to.newFrom = rows.length;
    return next;
  }

  #read(events: EventList): void {
    const to = this.#to;
    for (const event of events.from(this.#done)) {
      if (isStatus(event)) this.#guessed = false;
      addRow(to, event);
      to.activity.feed(event, event.type === "user.message" && to.messages.unread.has(event.id));
    }
    this.#done = events.length;
  }
}

const isStatus = (event: SessionEvent) => event.type.startsWith("session.status_");

function copyOf(row: Row): Row {
  return row.kind === "steps" ? { ...row, steps: [...row.steps], starts: [...row.starts] } : { ...row };
}

function push(to: Building, row: Row): void {
  to.places.set(row, to.rows.length);
  to.rows.push(row);
}

/** For rows that were pushed; others have nothing to be copied yet. */
function touch(to: Building, row: Row | undefined): void {
  if (row !== undefined && to.places.has(row)) to.changed.add(row);
}

/** Another row says it better. It stands near the end: what comes behind it moves up. */
function takeAway(to: Building, row: Row): void {
  const place = to.places.get(row);
  if (place === undefined) return;
  to.rows.splice(place, 1);
  to.places.delete(row);
  to.changed.delete(row);
  for (let i = place; i < to.rows.length; i++) to.places.set(to.rows[i] as Row, i);
  to.newFrom = Math.min(to.newFrom, place);
}

function addRow(to: Building, event: SessionEvent): void {
  if (event.type.startsWith("agent.")) {
    const released = to.messages.answered();
    if (released.length > 0) to.activity.released();
    showMessages(to, released);
  }
  switch (event.type) {
    case "user.message":
      showMessages(to, to.messages.sent(event));
      return;
    case "holdfast.message":
      showMessages(to, to.messages.changed(event));
      touch(to, to.messages.row(event.message_id));
      return;
    case "agent.message":
      if (textOf(event.content) !== "") push(to, { kind: "text", id: event.id, event, ...nesting(event) });
      return;
    case "agent.thinking":
      push(to, { kind: "thinking", id: event.id, event, ...nesting(event) });
      return;
    case "agent.tool_use":
      addToolUse(to, event);
      return;
    case "agent.tool_result":
      addToolResult(to, event);
      return;
    case "session.error":
      to.told = true;
      push(to, { kind: "error", id: event.id, event });
      return;
    case "holdfast.initialized":
      if (event.first) push(to, { kind: "init", id: event.id, event });
      return;
    case "holdfast.step":
      addStep(to, event);
      return;
    case "holdfast.notice":
      addNotice(to, event);
      return;
    case "holdfast.other":
      push(to, { kind: "other", id: event.id, event });
      return;
    case "user.interrupt":
      push(to, notice(event.id, "info", "Stop requested"));
      return;
    case "user.tool_confirmation":
      // The question's own row says what became of it.
      if (to.questions.has(event.tool_use_id)) return;
      push(to, notice(event.id, "info", event.result === "allow" ? "Allowed" : "Refused"));
      return;
    case "holdfast.permission_request":
      addQuestion(to, event);
      return;
    case "holdfast.permission_resolved":
      resolveQuestion(to, event);
      return;
    case "session.updated":
    case "holdfast.background":
    case "holdfast.todos":
      return;
    case "holdfast.wakeup":
      if (event.state === "fired") push(to, notice(event.id, "info", "Claude is woken up"));
      return;
    case "session.deleted":
      push(to, notice(event.id, "warning", "This session was deleted"));
      return;
    case "agent.thread_context_compacted":
      push(to, { ...notice(event.id, "info", "Claude summarised the conversation to make room"), divider: true });
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
      push(to, notice(event.id, "info", "Claude goes on by itself: something that it had begun is done"));
    }
    return;
  }
  // The turn goes on once the question is answered.
  if (event.type === "session.status_idle" && event.stop_reason.type === "requires_action") return;
  breakSteps(to);
  if (event.type === "holdfast.turn_result") {
    to.told = true;
    push(to, { kind: "result", id: event.id, event });
    return;
  }
  to.messages.ended();
  abandonTools(to);
  cutOffSteps(to);
  for (const row of to.openQuestions) {
    row.over = true;
    touch(to, row);
  }
  to.openQuestions.clear();
  const outcome = event.type === "session.status_idle" ? (event.holdfast?.outcome ?? "completed") : "terminated";
  // The result line, or the error above, has told it already.
  if (!to.told && outcome !== "completed") push(to, { kind: "result", id: event.id, event });
  to.told = false;
}

function showMessages(to: Building, rows: readonly UserRow[]): void {
  if (rows.length === 0) return;
  for (const row of rows) push(to, row);
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
    touch(to, to.lastTodo ?? undefined);
    to.lastTodo = row;
  }
  to.tools.set(event.id, row);
  to.openTools.add(row);
  if (to.replaced.has(event.id)) return;
  push(to, row);
}

function addToolResult(to: Building, event: EventOf<"agent.tool_result">): void {
  const state: ToolState = event.is_error ? "error" : "ok";
  const row = to.tools.get(event.tool_use_id);
  if (row) {
    row.result = event;
    row.state = state;
    row.abandoned = false;
    row.asking = false;
    to.openTools.delete(row);
    touch(to, row);
    return;
  }
  push(to, {
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
  touch(to, tool);
  if (kind !== "tool") {
    to.replaced.add(useId);
    if (tool) takeAway(to, tool);
  }
  // Asked again, for instance by a new process: the same row.
  if (before && !before.resolved) {
    before.request = event;
    before.over = false;
    to.openQuestions.add(before);
    touch(to, before);
    return;
  }
  const nested = event.parent_event_id ? { nested: true } : {};
  const row: QuestionRow = { kind: "question", id: event.id, request: event, resolved: null, over: false, ...nested };
  to.questions.set(useId, row);
  to.openQuestions.add(row);
  push(to, row);
}

function resolveQuestion(to: Building, event: EventOf<"holdfast.permission_resolved">): void {
  const row = to.questions.get(event.tool_use_id);
  if (row) {
    row.resolved = event;
    to.openQuestions.delete(row);
    touch(to, row);
  }
  const tool = to.tools.get(event.tool_use_id);
  if (tool) tool.asking = false;
  touch(to, tool);
}

function abandonTools(to: Building): void {
  for (const row of to.openTools) {
    row.abandoned = true;
    row.asking = false;
    row.state = "error";
    touch(to, row);
  }
  to.openTools.clear();
}

/** Syncs go on after a turn; every other step belongs to it. */
function cutOffSteps(to: Building): void {
  for (const { row, at } of to.openSteps) {
    if (row.steps[at]?.step === "sync") continue;
    row.cutOff = true;
    touch(to, row);
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
    touch(to, known.row);
    if (stepEnded(event)) to.openSteps.delete(known);
    else to.openSteps.add(known);
    return;
  }
  if (!to.group) {
    const row: StepsBuilding = { kind: "steps", id: event.id, steps: [], starts: [], cutOff: false };
    push(to, row);
    to.group = row;
  }
  const place: StepPlace = { row: to.group, at: to.group.steps.length, epoch: to.epoch };
  to.steps.set(event.step_id, place);
  if (!stepEnded(event)) to.openSteps.add(place);
  touch(to, to.group);
  to.group.steps.push(event);
  to.group.starts.push(event.processed_at);
}

function addNotice(to: Building, event: EventOf<"holdfast.notice">): void {
  const last = to.rows.at(-1);
  // The line across the conversation says it in better words.
  if (event.kind === "compact_boundary" && last?.kind === "notice" && last.divider) {
    last.text = event.text;
    touch(to, last);
    return;
  }
  const retryAtMs =
    event.retry_delay_ms === undefined ? null : Date.parse(event.processed_at) + Math.max(0, event.retry_delay_ms);
  // One row for a chain of retries: the newest says how it stands.
  if (retryAtMs !== null && last?.kind === "notice" && last.retryAtMs !== null) {
    last.text = event.text;
    last.level = event.level;
    last.retryAtMs = retryAtMs;
    touch(to, last);
    return;
  }
  push(to, { kind: "notice", id: event.id, level: event.level, text: event.text, retryAtMs });
}

/** The text blocks of a message, as one text. */
export function textOf(content: readonly { type: string; text?: string }[]): string {
  return content
    .map((block) => (block.type === "text" ? (block.text ?? "") : ""))
    .filter((text) => text !== "")
    .join("\n\n");
}
