import type { EventOf, SessionEvent } from "@holdfast/protocol";
import type { Told } from "./_claude-notes.ts";
import type { Sent, Story } from "./_run.ts";
import { beginMs } from "./_time.ts";

/** What must never be, in words; found by a check. */
export class Broken extends Error {
  override name = "Broken";
}

const broken = (what: string): never => {
  throw new Broken(what);
};

function eventsOf({ world, sessionId }: Story): SessionEvent[] {
  return world.store
    .rows<{ event_json: string }>("select event_json from events where session_id = ? order by seq", sessionId)
    .map(({ event_json: json }) => JSON.parse(json) as SessionEvent);
}

/** Of type `T`. */
const of = <T extends SessionEvent["type"]>(events: SessionEvent[], type: T): EventOf<T>[] =>
  events.filter((event): event is EventOf<T> => event.type === type);

/** What holds at every moment, whatever is under way. */
export function checkAlways(story: Story): void {
  const { world, sessionId } = story;
  const [bad] = story.complaints;
  if (bad !== undefined) broken(`a request failed in a way that nobody announced: ${bad}`);
  const [stale] = world.store.staleWrites;
  if (stale !== undefined) broken(`a lower generation wrote: ${stale}`);
  const [session] = world.store.rows<{ last_seq: number }>("select last_seq from sessions where id = ?", sessionId);
  const [log] = world.store.rows<{ n: number; least: number; most: number }>(
    "select count(*) as n, coalesce(min(seq), 1) as least, coalesce(max(seq), 0) as most from events where session_id = ?",
    sessionId,
  );
  if (session === undefined || log === undefined) return;
  if (log.least !== 1 || log.n !== log.most || log.most !== session.last_seq)
    broken(`seq is not dense: ${log.n} events, from ${log.least} to ${log.most}, the session says ${session.last_seq}`);
  const sandboxes = world.sandboxes.running();
  if (sandboxes.length > 1 && !world.wasReplaced) broken(`${sandboxes.length} sandboxes of one workspace run`);
  checkTellings(story);
  checkModes(story);
  checkWork(story);
}

const lastsMs = 6_000;

/** What may be for a moment, until it is written, or said, that it is over. */
function mustNotLast({ world, lasting }: Story, what: string, is: boolean): void {
  if (!is || world.server === undefined) lasting.delete(what);
  const since = lasting.get(what) ?? world.time.now;
  if (is) lasting.set(what, since);
  if (is && world.time.now - since > lastsMs) broken(`for ${world.time.now - since} ms ${what}`);
}

function checkWork(story: Story): void {
  const { world, sessionId } = story;
  const [session] = world.store.rows<{ status: string }>("select status from sessions where id = ?", sessionId);
  const open = world.store.rows<{ state: string }>(
    `select processes.state from permissions left join processes on processes.id = permissions.process_id
      where permissions.session_id = ? and permissions.state = 'pending'`,
    sessionId,
  );
  const works = processes(story).some(({ claude }) => claude.isWorking);
  mustNotLast(story, "Claude works, and the session is idle", works && session?.status === "idle" && open.length === 0);
  mustNotLast(
    story,
    "a question is open whose process has ended",
    open.some(({ state }) => state === "ended"),
  );
}

const ranks = ["plan", "default", "acceptEdits", "bypassPermissions"];
const rank = (mode: string) => ranks.indexOf(mode);
/** What was chosen at about the same time may have come first or last. */
const raceMs = 3_000;

/** No process is begun in, or told, a mode that is more permissive than the one chosen last. */
function checkModes({ world, modes }: Story): void {
  const chosen = [
    { at: Number.NEGATIVE_INFINITY, mode: "default" },
    ...modes,
    ...world.notes.modes.filter(({ by, processId }) => by === "claude" && !world.lostProcesses.has(processId)),
  ].sort((a, b) => a.at - b.at);
  for (const { at, mode, by } of world.notes.modes) {
    if (by === "claude") continue;
    const before = chosen.filter((each) => each.at <= at);
    const last = before.findLastIndex((each) => each.at < at - raceMs);
    const most = Math.max(...before.slice(Math.max(0, last)).map((each) => rank(each.mode)));
    if (rank(mode) > most) broken(`a process is in ${mode} at ${at}, by itself: ${JSON.stringify(chosen)}`);
  }
}

/** None is given to Claude twice under the same id, and under another one only what came to nothing. */
function checkTellings({ world, sent }: Story): void {
  const { told } = world.notes;
  const before = new Map<string, Told>();
  for (const each of told) {
    const earlier = before.get(each.uuid);
    if (earlier?.begun === true)
      broken(`${each.words} was told again under the same id ${each.uuid}, though it had begun`);
    if (earlier?.processId === each.processId) broken(`${each.words} was told twice to one process`);
    before.set(each.uuid, each);
  }
  for (const message of sent) {
    const tellings = tellingsOf(message, told);
    for (const each of tellings.slice(0, -1))
      if (each.answered) broken(`${each.words} was told again, though Claude had answered it under ${each.uuid}`);
    for (const each of tellings) checkEdits(message, each);
    if (message.removed && tellings.length > 0) broken(`${message.words} was removed, and told all the same`);
  }
}

/** What the server had taken before is what is told. */
function checkEdits(message: Sent, { words, at }: Told): void {
  const all = [message.words, ...message.edits.map((edit) => edit.words)];
  const newest = message.edits.findLastIndex(({ takenAt }) => takenAt !== undefined && takenAt < at) + 1;
  if (all.indexOf(words) < newest) broken(`${words} was told, though ${all[newest]} had taken its place`);
}

function tellingsOf(message: Sent, told: readonly Told[]): Told[] {
  const words = new Set([message.words, ...message.edits.map((edit) => edit.words)]);
  return told.filter((each) => words.has(each.words));
}

/** What holds when everything has come to its end. */
export function checkEnd(story: Story): void {
  checkAlways(story);
  const { world, sessionId } = story;
  const [session] = world.store.rows<{ status: string; archived_at: number | null; mapper_json: string | null }>(
    "select status, archived_at, mapper_json from sessions where id = ?",
    sessionId,
  );
  if (session === undefined) {
    // One that was never told anything goes with its sandbox, which is the sweep's, and that is not here.
    if (processes(story).some(({ claude }) => claude.isBusy)) broken("the session is deleted, and Claude Code works");
    return;
  }
  const last = story.world.notes.told.at(-1);
  if (session.archived_at !== null && last !== undefined && last.at > session.archived_at - beginMs + 1_000)
    broken(`${last.words} was told at ${last.at}, after the session was archived`);
  if (session.status !== "idle") broken(`the session is ${session.status} in the end`);
  if (session.archived_at !== null && processes(story).length > 0)
    broken("the session is archived, and Claude Code runs");
  const events = eventsOf(story);
  checkLog(events);
  checkWords(story, events);
  checkQuestions(story, events);
  for (const message of story.sent) checkMessage(story, message, events);
}

const processes = ({ world }: Story) => world.sandboxes.running().flatMap(({ guest }) => guest.running());

/** Events of a line come once. */
function checkLog(events: SessionEvent[]): void {
  const ids = new Set<string>();
  for (const { id } of events) {
    if (ids.has(id)) broken(`the event ${id} is in the log twice`);
    ids.add(id);
  }
}

/** All that Claude Code said is there once, unless it went with its sandbox or its guest. */
function checkWords({ world }: Story, events: SessionEvent[]): void {
  const shown = of(events, "agent.message").map(({ content }) =>
    content.map((block) => ("text" in block ? block.text : "")).join(""),
  );
  const ended = new Map(
    world.store
      .rows<{ id: string; exit_code: number | null; stdout_offset: number }>(
        "select id, exit_code, stdout_offset from processes",
      )
      .map((row) => [row.id, row]),
  );
  for (const { processId, words } of world.notes.spoken) {
    const times = shown.filter((each) => each === words).length;
    if (times > 1) broken(`${words} is in the log ${times} times`);
    if (times === 0 && !world.lostProcesses.has(processId))
      broken(`${words} of ${processId} is lost (${JSON.stringify(ended.get(processId))})`);
  }
}

/** Every question is closed, once. */
function checkQuestions({ world, sessionId }: Story, events: SessionEvent[]): void {
  const [open] = world.store.rows<{ n: number }>(
    "select count(*) as n from permissions where session_id = ? and state = 'pending'",
    sessionId,
  );
  if (open?.n !== 0) broken(`${open?.n} questions are open in the end`);
  const closed = of(events, "holdfast.permission_resolved").map((event) => event.tool_use_id);
  for (const { tool_use_id: id } of of(events, "holdfast.permission_request")) {
    const times = closed.filter((each) => each === id).length;
    if (times !== 1) broken(`the question of ${id} was closed ${times} times`);
  }
}

interface MessageRow {
  state: string;
  removed_at: number | null;
  event_id: string;
}

/** Answered exactly once, or said to have been stopped, to have failed or to be removed. */
function checkMessage(story: Story, message: Sent, events: SessionEvent[]): void {
  const { world, sessionId } = story;
  const said = of(events, "user.message").filter(
    ({ content }) => content.map((block) => ("text" in block ? block.text : "")).join("") === message.words,
  );
  if (said.length > 1) broken(`${message.words} is in the log twice`);
  const [event] = said;
  if (event === undefined) {
    if (message.id !== undefined) broken(`${message.words} was accepted, and is not in the log`);
    return;
  }
  const [row] = world.store.rows<MessageRow>(
    "select state, removed_at, event_id from messages where session_id = ? and event_id = ?",
    sessionId,
    event.id,
  );
  if (row?.state !== "done") broken(`${message.words} is ${row?.state ?? "no message"} in the end`);
  const tellings = tellingsOf(message, world.notes.told);
  const answered = tellings.filter(({ result }) => result === "completed");
  if (answered.length > 1) broken(`${message.words} was answered ${answered.length} times`);
  if (answered.length === 1) return;
  if (!story.hadFailure && !isWanted(story, message))
    broken(`${message.words} was not answered, though nobody wanted that`);
  const removed = of(events, "holdfast.message").some(
    ({ message_id: id, state }) => id === event.id && state === "removed",
  );
  if (removed !== (row?.removed_at !== null)) broken(`${message.words} is removed, and that is not said`);
  if (removed && tellings.length > 0) broken(`${message.words} was removed, and told all the same`);
  if (!removed && !saysEnd(events, event)) broken(`${message.words} was not answered, and nothing says so`);
}

/** A stop means what was there when it was asked for, and a message that runs now what runs then. */
function isWanted({ stops, urgent }: Story, message: Sent): boolean {
  const { sentAt, removed } = message;
  if (removed || stops.some((at) => at >= sentAt)) return true;
  return urgent.some((other) => other !== message && other.sentAt >= sentAt);
}

/**
 * The end of a turn that did not complete, after this message. Known: where its process has to be killed, or ends by
 * itself, while another message goes on, no end is written; then all that the log says is the wish that ended it: an
 * interrupt, or a message that ran now.
 */
function saysEnd(events: SessionEvent[], message: SessionEvent): boolean {
  return events.some((event) => {
    if (event.seq < message.seq) return false;
    if (event.type === "session.status_idle") return !["completed", undefined].includes(event.holdfast?.outcome);
    if (event.type === "session.error") return true;
    if (event.type === "holdfast.turn_result") return event.outcome !== "completed";
    if (event.type === "holdfast.message") return event.state === "steered" && event.message_id !== message.id;
    return event.type === "user.interrupt" && [message.id, undefined].includes(event.holdfast?.message_id);
  });
}
