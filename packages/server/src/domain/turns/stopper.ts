import { randomUUID } from "node:crypto";
import { interruptRequest, worksOn } from "@holdfast/claude";
import { sleep } from "@holdfast/std";
import type { Database, Schema } from "../../ports/database.ts";
import { endFailed } from "./end-failed-turn.ts";
import { markProcessEnding, untilEnded } from "./ending.ts";
import { TurnStopped } from "./failure.ts";
import type { HeldProcess } from "./held-process.ts";
import type { SessionDesk } from "./session-desk.ts";
import type { Turn } from "./turn.ts";

/** A request first, then signals: over within two seconds, whatever Claude does. */
const steps = [
  { name: "SIGINT", afterMs: 1_100 },
  { name: "SIGKILL", afterMs: 400 },
] as const;
const lastMs = 300;
const orphansMs = 2_000;
const pollMs = 20;
/** How long a turn may take to make way for a message that came with priority. */
const steerMs = 400;

/** Ends turns whose end was asked for: in the rows, so that it counts after a restart, too. */
export async function stopRequested(desk: SessionDesk): Promise<void> {
  const { messages, own } = await requests(desk.deps.db, desk.session.id);
  for (const { id } of messages) desk.stops.add(id);
  const { preparing } = desk;
  const queued = messages.find(({ state }) => state === "queued");
  // It is prepared for whatever comes next.
  if (preparing !== undefined && !preparing.sent && queued !== undefined) preparing.id = queued.id;
  obeyStops(desk);
  const { running } = desk;
  if (own && running !== undefined) await stopOwnTurn(desk, running);
}

/** Whatever runs, runs no longer. */
export async function stopEverything(desk: SessionDesk): Promise<void> {
  desk.preparing?.stop();
  for (const { id } of desk.inFlight.all) desk.stops.add(id);
  obeyStops(desk);
  const { running } = desk;
  if (running !== undefined) await stopOwnTurn(desk, running);
}

/** For those that are known to be unwanted. Safe to repeat. */
export function obeyStops(desk: SessionDesk): void {
  const { preparing, running } = desk;
  if (preparing !== undefined && desk.stops.has(preparing.id)) preparing.stop();
  const turns = desk.inFlight.all.filter((turn) => !turn.stopped && desk.stops.has(turn.id));
  for (const turn of turns) turn.stop();
  if (turns.length === 0) return;
  if (running === undefined) {
    for (const turn of turns) turn.abort();
    return;
  }
  const [first] = turns;
  const stopping = stopTurns(desk, running, turns).then(async (isOver) => {
    // What runs beside them may have started it.
    const isAlone = desk.inFlight.of(running).length === 0;
    if (isOver && isAlone && first !== undefined) await endOrphans(desk, running, { lineId: first.id });
  });
  // It would be taken for what is being stopped.
  desk.holdNext(stopping);
}

/** What a stopped turn has left behind where Claude cannot reach it. Claude's own background tasks go on. */
async function endOrphans(
  desk: SessionDesk,
  { process }: HeldProcess,
  since: { lineId: string } | { ms: number },
): Promise<void> {
  if (!process.alive) return;
  try {
    const ended = await process.endOrphans(since, desk.soon(orphansMs));
    if (ended > 0) desk.deps.logger.info({ process: process.processId, ended }, "a stopped turn had left processes");
  } catch (error) {
    // E.g. the guest is one of an older image.
    desk.warn(error, "processes of a stopped turn may live on");
  }
}

/** Makes way for a message that went to Claude with priority: a running tool is not stopped by that alone. */
export async function makeWay(desk: SessionDesk, running: HeldProcess, turn: Turn): Promise<void> {
  const { signal } = desk.stop;
  const before = desk.inFlight.all.slice(0, desk.inFlight.all.indexOf(turn));
  // What has not begun is in nobody's way: Claude begins with what came with priority.
  const inTheWay = () => before.filter((other) => !other.finished && !other.stopped && other.taken);
  const isOver = () => turn.taken || turn.finished || !running.process.alive;
  while (!isOver()) {
    const isClear = () => isOver() || inTheWay().length === 0;
    if (!isClear() && !(await waitUntil(isClear, steerMs, signal))) break;
    await sleep(pollMs, signal);
  }
  const others = isOver() ? [] : inTheWay();
  if (others.length === 0) return;
  for (const other of others) other.stop();
  await stopTurns(desk, running, others);
}

/** True when they ended as they were asked to. */
async function stopTurns(desk: SessionDesk, running: HeldProcess, turns: readonly Turn[]): Promise<boolean> {
  // What came after them is wanted still.
  const cancelQueued = desk.inFlight.all.every((turn) => turn.stopped);
  // Its agents go with it, unless somebody else's words are in Claude's hands.
  const isOver = () => turns.every((turn) => turn.finished) && (!cancelQueued || !worksOn(running.process.mapper));
  if (await stopProcess(desk, running, { cancelQueued, isOver })) return true;
  abandonProcess(desk, running);
  const stopped = desk.inFlight.of(running).filter((turn) => turn.stopped);
  if (stopped.length > 0) await endFailed(desk, stopped, new TurnStopped("its process could not be reached"));
  if (desk.inFlight.of(running).length > 0) await untilToldOfOthers(desk, running);
  return false;
}

/** Whether the others had begun is in what the process has not told yet; its exit says what becomes of them. */
async function untilToldOfOthers(desk: SessionDesk, running: HeldProcess): Promise<void> {
  try {
    await untilEnded(desk, running, { kill: true, signal: desk.stop.signal });
  } catch (error) {
    const left = desk.inFlight.of(running);
    if (left.length > 0 && !desk.stop.signal.aborted) await endFailed(desk, left, error);
  }
}

async function stopOwnTurn(desk: SessionDesk, running: HeldProcess): Promise<void> {
  if (!(running.ownTurn || worksOn(running.process.mapper)) || running.stopped) return;
  running.stopped = true;
  const stopping = endOwnTurn(desk, running);
  // It would be taken for what is being stopped.
  desk.holdNext(stopping);
  await stopping;
}

async function endOwnTurn(desk: SessionDesk, running: HeldProcess): Promise<void> {
  const { ownTurnSince, agentsSince } = running;
  const since = Math.min(ownTurnSince ?? performance.now(), agentsSince ?? performance.now());
  const { process } = running;
  // Another one may begin at once.
  const isOver = () =>
    (ownTurnSince === undefined || running.ownTurnSince !== ownTurnSince) && !worksOn(process.mapper);
  if (await stopProcess(desk, running, { cancelQueued: true, isOver })) {
    const sinceMs = Math.ceil(performance.now() - since);
    if (!running.ownTurn) await endOrphans(desk, running, { ms: sinceMs });
    return;
  }
  abandonProcess(desk, running);
  running.ownTurn = false;
  await endFailed(desk, [], new TurnStopped("its process could not be reached"));
}

/** True when it is over; false when nothing helped in time. */
async function stopProcess(
  desk: SessionDesk,
  running: HeldProcess,
  { cancelQueued, isOver }: { cancelQueued: boolean; isOver: () => boolean },
): Promise<boolean> {
  const { signal } = desk.stop;
  const { process } = running;
  const say = (work: Promise<void>, what: string) => {
    work.catch((error) => desk.warn(error, what));
  };
  say(process.send(interruptRequest(randomUUID(), { cancelQueued }), randomUUID(), desk.soon()), "not interrupted");
  for (const { name, afterMs } of steps) {
    if (await waitUntil(isOver, afterMs, signal)) return true;
    desk.deps.logger.warn({ process: process.processId, signal: name }, "the turn does not stop; sending a signal");
    running.signalled = true;
    say(process.signal(name, desk.soon()), "a signal was not taken");
  }
  return await waitUntil(isOver, lastMs, signal);
}

/** It is ended before anybody speaks to it again, by whichever server. */
export function abandonProcess(desk: SessionDesk, running: HeldProcess): void {
  const { process } = running;
  if (!process.alive) return;
  running.ending = true;
  process.signal("SIGKILL", desk.soon()).catch((error) => desk.warn(error, "a process lives on"));
  markProcessEnding(desk, process.processId).catch((error) => desk.warn(error, "an end is not noted"));
}

async function waitUntil(isOver: () => boolean, ms: number, signal: AbortSignal): Promise<boolean> {
  for (const end = performance.now() + ms; !isOver() && performance.now() < end; ) await sleep(pollMs, signal);
  return isOver();
}

async function requests(
  db: Database,
  sessionId: string,
): Promise<{ messages: Pick<Schema["messages"], "id" | "state">[]; own: boolean }> {
  const rows = await db
    .selectFrom("messages")
    .select(["id", "state"])
    .where("session_id", "=", sessionId)
    .where("state", "!=", "done")
    .where("stop_requested_at", "is not", null)
    .execute();
  const session = await db
    .selectFrom("sessions")
    .select("stop_requested_at")
    .where("id", "=", sessionId)
    .executeTakeFirst();
  return { messages: rows, own: (session?.stop_requested_at ?? null) !== null };
}
