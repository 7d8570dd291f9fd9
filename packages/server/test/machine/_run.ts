import { isAppError, type SendEvents } from "@holdfast/protocol";
import { GuestError, LinkLostError } from "../../src/domain/sandboxes/guest-link.ts";
import { SandboxGoneError } from "../../src/domain/sandboxes/live-sandbox.ts";
import type { Case, Command } from "./_commands.ts";
import type { Store } from "./_store.ts";
import { accountId, type Server, World } from "./_world.ts";

/** A message that was sent, by its words, which no other one has. */
export interface Sent {
  words: string;
  /** Of its event, once the server has said that it took it. */
  id: string | undefined;
  sentAt: number;
  /** The words that edits gave it, and when the server said that it took them. */
  edits: { words: string; takenAt: number | undefined }[];
  /** The server has said that it is removed. */
  removed: boolean;
}

/** What was done in a run, beside what the world knows. */
export interface Story {
  world: World;
  sessionId: string;
  sent: Sent[];
  /** What was asked of the server and failed in a way that nobody announced. */
  complaints: string[];
  /** Modes that somebody chose. */
  modes: { at: number; mode: string }[];
  /** When somebody wanted an end that names nobody else than what ran: interrupts, answers that stop, archive. */
  stops: number[];
  /** Messages that were to run now. */
  urgent: Sent[];
  /** Something failed, or Claude Code did what it should not. */
  hadFailure: boolean;
  /** Since when something is that must not last. */
  lasting: Map<string, number>;
}

const restMs = 500;
/** Idle processes and sandboxes have been ended by then. */
const idleMs = 150_000;
/** So long everything may take to come to rest in the end. */
const settleMs = 240_000;

/** Plays a case from the beginning until all is at rest. */
export async function play(
  store: Store,
  { seed, delayMs, commands }: Case,
  { check, trace }: { check: (story: Story) => void; trace: string[] },
): Promise<Story> {
  const world = new World(store, { seed, delayMs, trace });
  using _installed = world.time.install();
  try {
    const story = await begin(world);
    for (const command of commands) {
      await act(story, command);
      await world.time.run(command.waitMs);
      check(story);
    }
    await settle(story, check);
    return story;
  } finally {
    world.endAll();
    await world.time.settle();
  }
}

async function begin(world: World): Promise<Story> {
  const starting = world.start();
  await world.time.run(200);
  const { sessions } = await starting;
  const creating = world.within(() => sessions.create(accountId, { agent: "agent_default" } as never, identity));
  await world.time.run(0);
  const { id: sessionId } = (await creating) ?? { id: "" };
  const nothing = { sent: [], complaints: [], modes: [], stops: [], urgent: [], hadFailure: false };
  return { world, sessionId, ...nothing, lasting: new Map() };
}

const identity = { key: undefined, bodyHash: "", isRetry: false } as never;

/** A request: its answer comes, or it is the server's death that keeps it. */
function request<T>(
  story: Story,
  work: (server: Server) => Promise<T>,
  then: (answer: T) => void = () => undefined,
): void {
  const { world } = story;
  const asked = world.within(work);
  asked?.then(then, (error: unknown) => {
    world.say(`refused: ${error instanceof Error ? error.message : error}`);
    const isAnnounced = isAppError(error) || String(error).includes("as the test has it") || isNotTold(error);
    if (!isAnnounced) story.complaints.push(String(error instanceof Error ? (error.stack ?? error) : error));
  });
}

/**
 * Known: `stopTask` of a process that cannot be told rejects with whatever its connection says, which is no problem of
 * the catalogue: a client reads `internal`.
 */
function isNotTold(error: unknown): boolean {
  return error instanceof SandboxGoneError || error instanceof GuestError || error instanceof LinkLostError;
}

function post(story: Story, events: unknown[], then?: (ids: string[]) => void): void {
  const target = { accountId, sessionId: story.sessionId, by: "tester" };
  request(
    story,
    ({ sessions }) => sessions.send(target, { events } as SendEvents, identity),
    ({ data }) => then?.(data.map(({ id }) => id)),
  );
}

/** Neither what people may ask nor what Claude Code does in the end anyway. */
function isFailure({ do: what }: Command): boolean {
  const harmless = ["send", "edit", "remove", "interrupt", "answer", "mode", "stop task", "archive", "delete", "ask"];
  return !(harmless.includes(what) || what === "claude");
}

async function act(story: Story, command: Command): Promise<void> {
  const { world } = story;
  const { waitMs: _waitMs, ...what } = command;
  world.say(JSON.stringify(what));
  story.hadFailure ||= isFailure(command);
  const guest = world.sandboxes.current?.guest;
  const claude = guest?.running()[0]?.claude;
  switch (command.do) {
    case "send":
      return send(story, command.delivery);
    case "edit":
    case "remove":
      return change(story, command);
    case "interrupt": {
      const message = command.which === undefined ? undefined : pick(story, command.which)?.id;
      story.stops.push(world.time.now);
      const holdfast = message === undefined ? {} : { holdfast: { message_id: message } };
      return post(story, [{ type: "user.interrupt", ...holdfast }]);
    }
    case "answer":
      return answer(story, command.how);
    case "mode":
      return setMode(story, command.mode);
    case "stop task":
      return stopTask(story);
    case "archive":
      story.stops.push(world.time.now);
      return request(story, ({ sessions }) => sessions.archive(accountId, story.sessionId));
    case "delete":
      story.stops.push(world.time.now);
      return request(story, ({ sessions }) => sessions.delete(accountId, story.sessionId));
    case "ask":
      return request(story, ({ turns }) =>
        turns.askClaude(story.sessionId, { name: "context", query: "", start: false }),
      );
    case "claude":
      return claude?.step(command.step);
    case "claude exits":
      return claude?.crash(command.code);
    case "claude is killed":
      return claude?.signal("SIGKILL");
    case "claude is deaf":
      if (claude !== undefined) claude.deaf = true;
      return;
    case "claude hears":
      return claude?.wake();
    case "server dies":
      return await restart(story, command);
    case "server is replaced":
      return await replace(story, command.lingersMs);
    case "commit fails":
      if (!isTakingUp(story)) world.store.trap = "fails";
      return;
    case "exec fault":
      world.sandboxes.faults.add(command.fault);
      return;
    case "link lost":
      return guest?.cut();
    case "line refused":
      if (guest !== undefined) guest.refusesLine = true;
      return;
    case "line hidden":
      if (guest !== undefined) guest.hidesLine = true;
      return;
    case "guest dies":
      return guest?.die();
    case "guest forgets":
      for (const id of guest?.processes.keys() ?? []) world.lostProcesses.add(id);
      return guest?.forget();
    case "sandbox ends":
      for (const id of guest?.processes.keys() ?? []) world.lostProcesses.add(id);
      return world.sandboxes.current?.end("the test ends it");
  }
}

/**
 * Known: a commit that fails while a new server looks for the process of a message ends the turn as failed, and lets the
 * process go on unseen until the next message finds it. So none fails then.
 */
function isTakingUp({ world }: Story): boolean {
  return world.time.now - world.startedAt < 1_000;
}

const pick = (story: Story, which: number): Sent | undefined => story.sent[which % Math.max(1, story.sent.length)];

function send(story: Story, delivery: "next" | "now"): void {
  const sentAt = story.world.time.now;
  const sent: Sent = { words: `m${story.sent.length}`, id: undefined, sentAt, edits: [], removed: false };
  story.sent.push(sent);
  if (delivery === "now") story.urgent.push(sent);
  const content = [{ type: "text", text: sent.words }];
  post(story, [{ type: "user.message", content, holdfast: { delivery } }], ([id]) => (sent.id = id));
}

function change(story: Story, command: Extract<Command, { do: "edit" | "remove" }>): void {
  const sent = pick(story, command.which);
  if (sent?.id === undefined) return;
  const target = { accountId, sessionId: story.sessionId, messageId: sent.id };
  if (command.do === "remove") {
    const removed = () => {
      sent.removed = true;
    };
    request(story, ({ messages }) => messages.remove(target), removed);
    return;
  }
  const edit: Sent["edits"][number] = { words: `${sent.words}e${sent.edits.length}`, takenAt: undefined };
  sent.edits.push(edit);
  const content = [{ type: "text" as const, text: edit.words }];
  const taken = () => {
    edit.takenAt = story.world.time.now;
  };
  request(story, ({ messages }) => messages.update(target, { content }), taken);
}

interface OpenRow {
  event_id: string;
}

function openQuestions({ world, sessionId }: Story): string[] {
  const sql = "select event_id from permissions where session_id = ? and state = 'pending'";
  return world.store.rows<OpenRow>(sql, sessionId).map(({ event_id }) => event_id);
}

function answer(story: Story, how: "allow" | "deny" | "stop"): void {
  const [open] = openQuestions(story);
  if (open === undefined) return;
  if (how === "stop") story.stops.push(story.world.time.now);
  const more = how === "stop" ? { holdfast: { interrupt: true } } : {};
  const result = how === "allow" ? "allow" : "deny";
  post(story, [{ type: "user.tool_confirmation", tool_use_id: open, result, ...more }]);
}

/** From when it is asked for: it may be taken although its answer does not come. */
function setMode(story: Story, mode: string): void {
  const chosen = { at: story.world.time.now, mode };
  const change = { holdfast: { settings: { permission_mode: mode } } };
  story.modes.push(chosen);
  const taken = story.world.within(({ sessions }) => sessions.update(accountId, story.sessionId, change as never));
  // Refused: what was chosen before still is.
  taken?.catch(() => story.modes.splice(story.modes.indexOf(chosen), 1));
}

function stopTask(story: Story): void {
  const [row] = story.world.store.rows<{ background_json: string | null }>(
    "select background_json from sessions where id = ?",
    story.sessionId,
  );
  const [task] = JSON.parse(row?.background_json ?? "[]") as { id: string }[];
  if (task !== undefined) request(story, ({ sessions }) => sessions.stopTask(accountId, story.sessionId, task.id));
}

async function restart({ world }: Story, { at, downMs }: Extract<Command, { do: "server dies" }>): Promise<void> {
  if (at !== "now") {
    world.store.trap = at;
    await world.time.run(20);
    world.store.trap = undefined;
  }
  world.die();
  await world.time.run(downMs);
  const starting = world.start();
  await world.time.run(0);
  await starting;
}

async function replace({ world }: Story, lingersMs: number): Promise<void> {
  const starting = world.start(lingersMs);
  await world.time.run(0);
  await starting;
}

/** No failures any more, every question is answered, Claude does what it has to do: all must come to its end. */
async function settle(story: Story, check: (story: Story) => void): Promise<void> {
  const { world } = story;
  world.say("settling");
  world.store.trap = undefined;
  world.sandboxes.faults.clear();
  for (const { guest } of world.sandboxes.all) {
    guest.refusesLine = false;
    guest.hidesLine = false;
  }
  if (world.server === undefined) {
    const starting = world.start();
    await world.time.run(0);
    await starting;
  }
  // Claude rests in the middle of what it does: what is wrong then must not last.
  if (workers(story).some(({ claude }) => claude.isWorking)) {
    for (let rested = 0; rested < 4; rested++) {
      await world.time.run(2_000);
      check(story);
    }
  }
  const end = world.time.now + settleMs;
  for (let quiet = 0; quiet < 5 && world.time.now < end; ) {
    for (const { claude } of workers(story)) {
      if (claude.deaf) claude.wake();
      while (claude.goOn());
    }
    answer(story, "allow");
    await world.time.run(restMs);
    quiet = isQuiet(story) ? quiet + 1 : 0;
  }
  // What is at rest may stay until it has been idle for long.
  if (isOver(story) && world.sandboxes.running().some(({ guest }) => guest.running().length > 0))
    await world.time.run(idleMs);
}

const workers = ({ world }: Story) => world.sandboxes.running().flatMap(({ guest }) => guest.running());

/** Archived or deleted. */
function isOver({ world, sessionId }: Story): boolean {
  return world.store.rows("select 1 from sessions where id = ? and archived_at is null", sessionId).length === 0;
}

function isQuiet(story: Story): boolean {
  const { world, sessionId } = story;
  const [open] = world.store.rows<{ n: number }>(
    `select (select count(*) from messages where session_id = ? and state != 'done')
          + (select count(*) from sessions where id = ? and status = 'running') as n`,
    sessionId,
    sessionId,
  );
  return open?.n === 0 && openQuestions(story).length === 0;
}
