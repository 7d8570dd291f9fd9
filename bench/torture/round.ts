import { readFileSync } from "node:fs";
import type { SessionEvent } from "@holdfast/protocol";
import type { RecordEntry } from "@holdfast/scripted-model";
import { sleep } from "@holdfast/std";
import { checkMachine } from "./check-machine.ts";
import { checkSession } from "./check-session.ts";
import { checkTurn, hasEnded, outcomeOf, turnOf } from "./check-turn.ts";
import { type Counts, type Finding, noCounts } from "./finding.ts";
import type { Installation } from "./installation.ts";
import { itemsOfLog } from "./items.ts";
import type { Kind } from "./kind.ts";
import { inside, isInit } from "./machine.ts";
import { randomOf } from "./random.ts";
import { eventsOf, longMessages, nextScript, ranFile, tortureScript, turnTag } from "./script.ts";
import type { StreamReader } from "./stream-reader.ts";
import { Talker, talkFile } from "./talker.ts";

/** A session that is tortured for some rounds, with the reader who looks on the whole time. */
export interface Seat {
  sessionId: string;
  reader: StreamReader;
  /** Of unread events that were counted in an earlier round. */
  counted: number;
}

export interface RoundResult extends Counts {
  round: number;
  kills: number;
  turns: number;
  /** Events of the tortured turns. */
  events: number;
  orphans: number;
  leftRunning: number;
  /** Turns that Claude Code itself does not remember, because it was killed before it wrote them down. */
  forgotten: number;
  /** The longest silence of the log after the blow. */
  recoveryMs: number;
  /** Of the turns, from the message to the end, and of everything. */
  turnMs: number;
  roundMs: number;
  outcomes: string[];
  /** How often what was done in another session while the blow fell. */
  talked: Record<string, number>;
  detail: string;
  failures: string[];
  /** Why it was run again: what failed the first time. */
  before?: string[];
  evidence?: unknown;
}

interface RoundInput {
  kind: Kind;
  installation: Installation;
  seats: readonly Seat[];
  /** Where somebody talks while the blow falls. */
  talk: Seat;
  seed: string;
  round: number;
  /** Of the model in the turn; default: as many as make 225 events. */
  messages?: number;
}

const turnMs = 120_000;
const nextMs = 60_000;
const strikeMs = 120_000;
const leastTalkMs = 4_000;

/** One blow at a random point of running turns, and everything that must be true afterwards. */
export async function runRound(input: RoundInput): Promise<RoundResult> {
  const { kind, installation, seats, seed, round } = input;
  const startedMs = Date.now();
  const random = randomOf(seed, kind.name, round);
  const turns = seats.map((_, seat) => `${kind.name}-${round}-${seat}`);
  const ended = (log: readonly SessionEvent[], seat: number) => hasEnded(log, turns[seat] ?? "");
  const work = { messages: input.messages ?? longMessages, wall: kind.wall === true };
  await kind.before?.(seats.map(({ sessionId }) => sessionId));
  await installation.setScripts(turns.map((turn, seat) => tortureScript(turn, { ...work, seat })));
  await sendAll(installation, seats, turns, "Do the long work.");
  const point = { events: random.between(0, eventsOf(work)), jitterMs: random.between(0, 40) };
  await reach(seats[0], { turn: turns[0] ?? "", ...point });
  const blow = {
    installation,
    random,
    sessionIds: seats.map(({ sessionId }) => sessionId),
    ended: () => seats.every(({ reader }, seat) => ended(reader.events, seat)),
  };
  const talker = new Talker(installation, { ...input.talk, seed: `${kind.name}-${round}` });
  const quiet = new AbortController();
  const talking = talker.talk(randomOf(seed, kind.name, round, "talk"), quiet.signal);
  const talkedMs = performance.now();
  // Words are on their way when it falls.
  await sleep(random.between(100, 600));
  let { kills, detail } = await kind.strike({ ...blow, signal: AbortSignal.timeout(strikeMs) });
  let wholeMs = Date.now();
  // A turn whose process had not started when the others died comes to the call that never ends.
  for (let again = 0; work.wall && again < 3 && !(await soon(() => blow.ended())); again++) {
    const more = await kind.strike({ ...blow, signal: AbortSignal.timeout(strikeMs) });
    kills += more.kills;
    detail = `${detail}, again ${more.detail}`;
    wholeMs = Date.now();
  }
  await installation.answers(AbortSignal.timeout(strikeMs));
  const answeredMs = Date.now();
  // Also of a blow that is over at once: what it broke is being mended meanwhile.
  await sleep(Math.max(0, leastTalkMs - (performance.now() - talkedMs)));
  quiet.abort();
  await talking;
  const patience = AbortSignal.timeout(turnMs);
  const reached = await Promise.all(seats.map(({ reader }, seat) => reader.until((log) => ended(log, seat), patience)));
  const turnsEndedMs = Date.now();
  const records = await Promise.all(turns.map((turn) => installation.recordOf(turnTag(turn))));
  const next = await goOn(input, turns, records);
  const unrest = await talker.settle();
  const orphans = await checkMachine(installation, { sessions: seats.length + 1, endedMs: turnsEndedMs });
  const findings: Finding[] = [{ ...noCounts(), failures: [...next.failures, ...unrest, ...orphans] }];
  findings.push(await talker.check(kind.turn, readRan(installation, talkFile)));
  const logs: SessionEvent[][] = [];
  for (const [seat, { sessionId, reader }] of seats.entries()) {
    const log = await installation.log(sessionId);
    logs.push(log);
    await reader.until((seen) => seen.length >= log.length, AbortSignal.timeout(10_000));
    installation.tap.look();
    const turn = turns[seat] ?? "";
    const ran = readRan(installation, ranFile(turn));
    findings.push(checkTurn({ turn, log, record: records[seat] ?? [], ran, mode: kind.turn }));
    const spools = installation.tap.spoolsOf(sessionId);
    findings.push(checkSession({ sessionId, log, spools, seen: reader.events, mode: kind.turn }));
  }
  if (kind.compare !== undefined) findings.push({ ...noCounts(), ...(await kind.compare(logs[0] ?? [])) });
  const counts = sum(findings);
  const before = seats.reduce((total, seat) => total + seat.counted, 0);
  for (const seat of seats) seat.counted = 0;
  if (seats[0] !== undefined) seats[0].counted = counts.unread;
  const failures = findings.flatMap((finding) => finding.failures);
  const leftRunning = reached.filter((done) => !done).length;
  if (leftRunning > 0) failures.push(`${leftRunning} turns were still running after ${turnMs / 1000} s`);
  return {
    ...counts,
    unread: counts.unread - before,
    round,
    kills,
    turns: seats.length,
    events: logs.reduce((total, log, seat) => total + turnOf(log, turns[seat] ?? "").events.length, 0),
    orphans: orphans.length,
    leftRunning: leftRunning + next.leftRunning,
    forgotten: next.forgotten,
    recoveryMs: Math.max(answeredMs - wholeMs, ...logs.map((log, seat) => silence(log, turns[seat] ?? "", wholeMs))),
    turnMs: turnsEndedMs - startedMs,
    roundMs: Date.now() - startedMs,
    outcomes: logs.map((log, seat) => outcomeOf(log, turns[seat] ?? "")),
    detail: `after ${point.events} events + ${point.jitterMs} ms: ${detail}`,
    talked: Object.fromEntries(talker.counts),
    failures,
    ...(failures.length > 0
      ? {
          evidence: {
            services: installation.serviceLogs(),
            logs,
            records,
            spools: seats.map(({ sessionId }) => installation.tap.spoolsOf(sessionId)),
            talk: {
              log: await installation.log(talker.sessionId),
              spools: installation.tap.spoolsOf(talker.sessionId),
              ran: readRan(installation, talkFile),
            },
          },
        }
      : {}),
  };
}

async function sendAll(
  installation: Installation,
  seats: readonly Seat[],
  turns: readonly string[],
  words: string,
): Promise<void> {
  const signal = AbortSignal.timeout(nextMs);
  await Promise.all(
    seats.map(({ sessionId }, seat) => installation.send(sessionId, `${words} ${turnTag(turns[seat] ?? "")}`, signal)),
  );
}

/** Whether it holds within half a minute. */
async function soon(holds: () => boolean): Promise<boolean> {
  const limit = AbortSignal.timeout(30_000);
  while (!holds() && !limit.aborted) await sleep(100);
  return holds();
}

const wallMs = 1_500;

/** Waits until a turn has so many events, or has come to its end or to the call that never ends. */
async function reach(seat: Seat | undefined, point: { turn: string; events: number; jitterMs: number }): Promise<void> {
  if (seat === undefined) throw new Error("nobody sits here");
  const { reader } = seat;
  const count = () => turnOf(reader.events, point.turn).events.length;
  const limit = AbortSignal.timeout(turnMs);
  for (let before = -1; count() < point.events && !hasEnded(reader.events, point.turn) && !limit.aborted; ) {
    const now = count();
    // Nothing new for a while, in the middle of the work: that is the wall.
    if (now === before && now > 60) break;
    before = now;
    await reader.until(
      () => count() >= point.events || hasEnded(reader.events, point.turn),
      AbortSignal.timeout(wallMs),
    );
  }
  await sleep(point.jitterMs);
}

interface GoneOn {
  failures: string[];
  leftRunning: number;
  forgotten: number;
}

/** The next message works, and the conversation remembers what came before. */
async function goOn(
  { installation, seats }: RoundInput,
  turns: readonly string[],
  records: readonly (readonly RecordEntry[])[],
): Promise<GoneOn> {
  const gone: GoneOn = { failures: [], leftRunning: 0, forgotten: 0 };
  const nexts = turns.map((turn) => `${turn}-next`);
  await installation.setScripts(nexts.map(nextScript));
  await sendAll(installation, seats, nexts, "Go on.");
  const patience = AbortSignal.timeout(nextMs);
  for (const [seat, { sessionId, reader }] of seats.entries()) {
    const [turn = "", next = ""] = [turns[seat], nexts[seat]];
    if (!(await reader.until((log) => hasEnded(log, next), patience))) {
      gone.leftRunning++;
      gone.failures.push(`${next}: the next message had no end after ${nextMs / 1000} s`);
      continue;
    }
    const status = await installation.sessionStatus(sessionId, AbortSignal.timeout(nextMs));
    if (status !== "idle") gone.failures.push(`${next}: the session is ${status} after its turn`);
    const outcome = outcomeOf(reader.events, next);
    if (outcome !== "completed") gone.failures.push(`${next}: the next message ended as ${outcome}`);
    const wasTaken = records[seat]?.some((entry) => entry.outcome === "complete") ?? false;
    const remembered = (await installation.recordOf(turnTag(next))).some(({ earlierPrompts }) =>
      earlierPrompts.some((prompt) => prompt.includes(turnTag(turn))),
    );
    if (!wasTaken || remembered) continue;
    // A Claude Code that was killed at once had not written its own transcript yet: nobody else could.
    if (outcomeOf(reader.events, turn) !== "completed" && !hasResult(reader.events, turn)) gone.forgotten++;
    else gone.failures.push(`${next}: the conversation has forgotten the turn before`);
  }
  return gone;
}

/** Whether a tool had come to its end. */
function hasResult(log: readonly SessionEvent[], turn: string): boolean {
  const { from, events } = turnOf(log, turn);
  return itemsOfLog(log.slice(0, from + events.length), from).some(({ key }) => key.startsWith("result of "));
}

/** What commands of the turn wrote into the workspace, which outlives every sandbox. */
function readRan(installation: Installation, file: string): string[] {
  const init = installation.processes().find(isInit);
  if (init === undefined) return [];
  try {
    const text = readFileSync(inside(init.pid, `/mnt/workspace/${file}`), "utf8");
    return text.split("\n").filter((line) => line !== "");
  } catch {
    // No command ran.
    return [];
  }
}

/** The longest wait for an event after the machine was whole again. */
function silence(log: readonly SessionEvent[], turn: string, sinceMs: number): number {
  let longest = 0;
  let lastMs = sinceMs;
  for (const event of turnOf(log, turn).events) {
    const atMs = Date.parse(event.processed_at);
    if (atMs > lastMs) {
      longest = Math.max(longest, atMs - lastMs);
      lastMs = atMs;
    }
    if (event.type === "session.status_idle") break;
  }
  return longest;
}

function sum(findings: readonly Finding[]): Counts {
  const total = noCounts();
  for (const finding of findings)
    for (const name of Object.keys(total) as (keyof Counts)[]) total[name] += finding[name];
  return total;
}
