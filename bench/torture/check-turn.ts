import type { SessionEvent } from "@holdfast/protocol";
import type { RecordEntry } from "@holdfast/scripted-model";
import { type Finding, noCounts } from "./finding.ts";
import { compareItems, type Item, isSaid, itemsOfLog, itemsOfRecord } from "./items.ts";
import type { Kind } from "./kind.ts";
import { turnTag } from "./script.ts";

/** A turn's part of the log: from its message to before the next one. */
export function turnOf(log: readonly SessionEvent[], turn: string): { from: number; events: SessionEvent[] } {
  const from = log.findIndex((event) => event.type === "user.message" && textOf(event).includes(turnTag(turn)));
  if (from < 0) return { from: log.length, events: [] };
  const next = log.findIndex((event, index) => index > from && event.type === "user.message");
  return { from, events: log.slice(from, next < 0 ? undefined : next) };
}

function textOf(event: Extract<SessionEvent, { type: "user.message" }>): string {
  return event.content.map((block) => (block.type === "text" ? block.text : "")).join("\n");
}

/** Whether the turn's end is in the log. */
export function hasEnded(log: readonly SessionEvent[], turn: string): boolean {
  return turnOf(log, turn).events.some(({ type }) => type === "session.status_idle");
}

export function outcomeOf(log: readonly SessionEvent[], turn: string): string {
  const idle = turnOf(log, turn).events.find((event) => event.type === "session.status_idle");
  return idle?.holdfast?.outcome ?? "none";
}

interface TurnCheck {
  turn: string;
  log: readonly SessionEvent[];
  record: readonly RecordEntry[];
  /** Lines of this turn's side effects in the workspace. */
  ran: readonly string[];
  mode: Kind["turn"];
}

/** The turn in the log against what the model says that it said. */
export function checkTurn(check: TurnCheck): Finding {
  const { turn, log, record, mode } = check;
  const { from, events } = turnOf(log, turn);
  const finding: Finding = { ...noCounts(), failures: [] };
  const fail = (text: string) => finding.failures.push(`${turn}: ${text}`);
  for (const text of shapeFailures(events)) fail(text);
  const outcome = outcomeOf(log, turn);
  if (mode === "goes_on" && outcome !== "completed") fail(`it ended as ${outcome} instead of going on`);
  const items = itemsOfLog(log.slice(0, from + events.length), from);
  const said = itemsOfRecord(record);
  const sure = said.filter((item) => item.sure);
  const words = items.filter(isSaid).filter(({ key }) => !key.startsWith("result of ") && !key.startsWith("end of "));
  const difference = compareItems(sure, words, said);
  const cut = outcome !== "completed";
  const unsaid = cut ? trailing(sure, difference.lost, words) : [];
  finding.unsaid = unsaid.length;
  const lost = difference.lost.filter((key) => !unsaid.includes(key));
  finding.lost += lost.length;
  finding.doubled += difference.doubled.length;
  finding.disordered += difference.disordered.length;
  if (lost.length > 0) fail(`the model said it, the log has not: ${some(lost)}`);
  if (difference.doubled.length > 0) fail(`doubled: ${some(difference.doubled)}`);
  if (difference.disordered.length > 0) fail(`out of order: ${some(difference.disordered)}`);
  // Claude's own words about a failed call stand in the log as a message.
  const invented = difference.invented.filter((key) => !/API Error|Connection|overloaded/i.test(key));
  if (invented.length > 0) fail(`nobody said it: ${some(invented)}`);
  checkTools(items, { finding, fail, cut });
  checkEffects(check, { finding, fail, cut });
  return finding;
}

/** What is missing at the end, after the last that is there: the process died before it could print it. */
function trailing(sure: readonly Item[], missing: readonly string[], there: readonly Item[]): string[] {
  const known = new Set(there.map(({ key }) => key));
  const last = sure.findLastIndex(({ key }) => known.has(key));
  const behind = new Set(sure.slice(last + 1).map(({ key }) => key));
  return missing.filter((key) => behind.has(key));
}

function shapeFailures(events: readonly SessionEvent[]): string[] {
  const failures: string[] = [];
  const count = (type: SessionEvent["type"]) => events.filter((event) => event.type === type).length;
  for (const type of ["user.message", "session.status_running", "session.status_idle"] as const)
    if (count(type) !== 1) failures.push(`${count(type)} × ${type} instead of one`);
  if (count("holdfast.turn_result") > 1) failures.push(`${count("holdfast.turn_result")} results`);
  const idle = events.findIndex(({ type }) => type === "session.status_idle");
  const late = idle < 0 ? [] : events.slice(idle + 1).filter(({ type }) => type.startsWith("agent."));
  if (late.length > 0) failures.push(`${late.length} events of the agent after the end of the turn`);
  const steps = new Map<string, string>();
  for (const event of events)
    if (event.type === "holdfast.step") steps.set(event.step_id, `${event.step} ${event.state}`);
  const open = [...steps.values()].filter((state) => state.endsWith(" running"));
  if (open.length > 0) failures.push(`steps that never ended: ${open.join(", ")}`);
  return failures;
}

interface Notes {
  finding: Finding;
  fail: (text: string) => void;
  cut: boolean;
}

/** Each call has its result once, with what this very call printed. */
function checkTools(items: readonly Item[], { finding, fail, cut }: Notes): void {
  const closed = items.filter((item) => !isSaid(item)).map(({ key }) => ({ key: key.replace("closing of ", "") }));
  const results = [...items.filter(({ key }) => key.startsWith("result of ")), ...closed];
  const calls = items
    .filter(({ key }) => key.startsWith("call "))
    .map(({ key }) => ({ key: `result of ${key.slice(5)}` }));
  const difference = compareItems(calls, results);
  const lost = cut ? [] : [...difference.lost, ...closed.map(({ key }) => key)];
  if (cut && difference.lost.length > 0) fail(`calls that were left open: ${some(difference.lost)}`);
  finding.lost += lost.length;
  finding.doubled += difference.doubled.length;
  if (lost.length > 0) fail(`calls without a result: ${some(lost)}`);
  if (difference.doubled.length > 0) fail(`calls with two results: ${some(difference.doubled)}`);
  if (difference.invented.length > 0) fail(`results without a call: ${some(difference.invented)}`);
}

/** Each command ran once. */
function checkEffects({ turn, log, ran }: TurnCheck, { finding, fail, cut }: Notes): void {
  const times = new Map<string, number>();
  for (const line of ran) times.set(line, (times.get(line) ?? 0) + 1);
  const twice = [...times].filter(([, count]) => count > 1).map(([line]) => line);
  finding.doubled += twice.length;
  if (twice.length > 0) fail(`commands that ran twice: ${some(twice)}`);
  const { events } = turnOf(log, turn);
  const asked = events.flatMap((event) =>
    event.type === "agent.tool_use" && event.name === "Bash"
      ? [/\[\[[^\]]+\]\]/.exec(String(event.input.command))?.[0] ?? ""]
      : [],
  );
  const never = asked.filter((tag) => !times.has(tag));
  if (!cut && never.length > 0) fail(`commands in the log that never ran: ${some(never)}`);
  const unknown = [...times.keys()].filter((tag) => !asked.includes(tag));
  if (!cut && unknown.length > 0) fail(`commands that ran and are not in the log: ${some(unknown)}`);
}

export function some(keys: readonly string[]): string {
  const shown = keys.slice(0, 3).map((key) => key.slice(0, 90));
  return `${keys.length} (${shown.join(" | ")}${keys.length > 3 ? " | …" : ""})`;
}
