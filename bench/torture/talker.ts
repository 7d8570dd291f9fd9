import { newId, type SessionEvent } from "@holdfast/protocol";
import { sleep } from "@holdfast/std";
import { checkSession } from "./check-session.ts";
import { some } from "./check-turn.ts";
import type { Finding } from "./finding.ts";
import type { Installation } from "./installation.ts";
import type { Kind } from "./kind.ts";
import type { Random } from "./random.ts";
import type { StreamReader } from "./stream-reader.ts";

/** A message that was sent while things died. */
interface Said {
  tag: string;
  /** The server has said that it has it. */
  acknowledged: boolean;
  /** Somebody asked that it be removed, whatever the answer. */
  removal: boolean;
}

type Talk = (talker: Talker, random: Random) => Promise<void>;

/** What a person does who does not know that everything is dying just now; sending most of all. */
const talks: readonly Talk[] = [
  (talker, random) => talker.say(random, "next"),
  (talker, random) => talker.say(random, "next"),
  (talker, random) => talker.say(random, "now"),
  (talker) => talker.ask(),
  (talker) => talker.interrupt(),
  (talker) => talker.answer(),
  (talker) => talker.answer(),
  (talker, random) => talker.editQueue(random),
  (talker, random) => talker.read(random),
];

const atOnce = 6;
/** In one round: each is a turn that has to come to its end afterwards. */
const mostMessages = 8;
const patienceMs = 120_000;

/**
 * Talks in a session of its own, beside those whose turns are compared word for word: what it says there must be in
 * its log once, whatever died meanwhile, and the session must come to rest.
 */
export class Talker {
  readonly #installation: Installation;
  readonly sessionId: string;
  readonly #reader: StreamReader;
  readonly #said: Said[] = [];
  readonly #seed: string;
  /** By what was done. */
  readonly counts = new Map<string, number>();
  #count = 0;

  constructor(installation: Installation, seat: { sessionId: string; reader: StreamReader; seed: string }) {
    this.#installation = installation;
    this.sessionId = seat.sessionId;
    this.#reader = seat.reader;
    this.#seed = seat.seed;
  }

  /** Talks until the signal aborts, several things at once; resolves when the last has been answered. */
  async talk(random: Random, stop: AbortSignal): Promise<void> {
    const open = new Set<Promise<void>>();
    do {
      const talk = random.pick(talks);
      const doing = talk(this, random);
      const settled = doing.then(
        () => undefined,
        // Whoever dies does not answer; what must be there all the same is checked afterwards.
        () => this.#note("without an answer"),
      );
      open.add(settled);
      settled.finally(() => open.delete(settled)).catch(() => undefined);
      if (open.size >= atOnce) await Promise.race(open);
      await sleep(random.between(5, 120));
    } while (!stop.aborted);
    await Promise.all(open);
  }

  async say(random: Random, delivery: "next" | "now"): Promise<void> {
    const tag = this.#tag();
    const steps = random.between(1, 3);
    const turns = Array.from({ length: steps }, (_, n) => ({
      text: `${tag} step ${n}`,
      toolUse: [
        { name: "Bash", input: { command: `echo '${tag}:${n}' >> ${ranFile}; sleep 0.${random.between(0, 5)}` } },
      ],
      delayMs: 2,
    }));
    await this.#send(tag, [...turns, { text: `${tag} done`, delayMs: 2 }], delivery);
  }

  /** A turn that asks, and waits until somebody answers or stops it. */
  async ask(): Promise<void> {
    const tag = this.#tag();
    const options = ["one", "two"].map((label) => ({ label, description: label }));
    const questions = [{ question: `${tag}?`, header: "Which", options, multiSelect: false }];
    const asking = { text: `${tag} asks`, toolUse: [{ name: "AskUserQuestion", input: { questions } }], delayMs: 2 };
    await this.#send(tag, [asking, { text: `${tag} done`, delayMs: 2 }], "next");
  }

  async interrupt(): Promise<void> {
    this.#note("interrupt");
    await this.#post({ type: "user.interrupt" });
  }

  /** Whatever is open, twice: one of the two answers counts. */
  async answer(): Promise<void> {
    const open = openQuestions(this.#reader.events);
    if (open.length === 0) return;
    this.#note("answer");
    const answers = open.flatMap((id) => [
      { type: "user.tool_confirmation", tool_use_id: id, result: "deny", deny_message: "Not now." },
      { type: "user.tool_confirmation", tool_use_id: id, result: "deny", deny_message: "Not now, either." },
    ]);
    await Promise.allSettled(answers.map((each) => this.#post(each)));
  }

  /** Changes, hastens or removes one of those that wait. */
  async editQueue(random: Random): Promise<void> {
    const path = `/v1/sessions/${this.sessionId}/messages`;
    const { data } = (await (await this.#fetch(path)).json()) as {
      data: { id: string; state: string; content: { text: string }[] }[];
    };
    const waiting = data.filter(({ state }) => state === "queued");
    if (waiting.length === 0) return;
    const { id, content } = random.pick(waiting);
    const how = random.between(0, 2);
    this.#note(["removal", "edit", "hastening"][how] ?? "");
    if (how === 0) {
      const tag = this.#said.find((each) => content.some(({ text }) => text.includes(each.tag)));
      if (tag !== undefined) tag.removal = true;
      await this.#fetch(`${path}/${id}`, { method: "DELETE" });
      return;
    }
    const changed = content.map(({ text }) => ({ type: "text", text: `${text}\n(edited)` }));
    const body = JSON.stringify(how === 1 ? { content: changed } : { delivery: "now" });
    await this.#fetch(`${path}/${id}`, { method: "POST", body });
  }

  async read(random: Random): Promise<void> {
    this.#note("read");
    const own = `/v1/sessions/${this.sessionId}`;
    const paths = [
      own,
      `${own}/events?limit=50`,
      `${own}/messages`,
      "/v1/status",
      "/v1/sandboxes",
      "/health",
      "/ready",
    ];
    const answer = await this.#fetch(random.pick(paths));
    await answer.arrayBuffer();
  }

  /** Ends what still asks or waits, and resolves when the session is at rest. */
  async settle(): Promise<string[]> {
    const patience = AbortSignal.timeout(patienceMs);
    const path = `/v1/sessions/${this.sessionId}`;
    for (;;) {
      try {
        await this.answer();
        const session = (await (await this.#fetch(path)).json()) as { status: string };
        const { data } = (await (await this.#fetch(`${path}/messages`)).json()) as { data: unknown[] };
        if (session.status === "idle" && data.length === 0 && openQuestions(this.#reader.events).length === 0)
          return [];
        if (patience.aborted)
          return [
            `${this.sessionId} is ${session.status} with ${data.length} messages after ${patienceMs / 1000} s of rest`,
          ];
      } catch (error) {
        if (patience.aborted) return [`${this.sessionId} cannot be read: ${String(error)}`];
      }
      await sleep(100);
    }
  }

  /** `ran`: lines that commands of these turns wrote. */
  async check(mode: Kind["turn"], ran: readonly string[]): Promise<Finding> {
    const log = await this.#installation.log(this.sessionId);
    await this.#reader.until((seen) => seen.length >= log.length, AbortSignal.timeout(10_000));
    const spools = this.#installation.tap.spoolsOf(this.sessionId);
    const finding = checkSession({ sessionId: this.sessionId, log, spools, seen: this.#reader.events, mode });
    const times = new Map<string, number>();
    for (const event of log)
      if (event.type === "user.message")
        for (const { tag } of this.#said)
          if (JSON.stringify(event.content).includes(tag)) times.set(tag, (times.get(tag) ?? 0) + 1);
    const lost = this.#said.filter(({ tag, acknowledged }) => acknowledged && !times.has(tag)).map(({ tag }) => tag);
    const doubled = [...times].filter(([, count]) => count > 1).map(([tag]) => tag);
    const twice = ran.filter((line, index) => ran.indexOf(line) !== index);
    finding.lost += lost.length;
    finding.doubled += doubled.length + twice.length;
    if (lost.length > 0) finding.failures.push(`${this.sessionId}: acknowledged, and not in the log: ${some(lost)}`);
    if (doubled.length > 0) finding.failures.push(`${this.sessionId}: sent once, twice in the log: ${some(doubled)}`);
    if (twice.length > 0) finding.failures.push(`${this.sessionId}: commands that ran twice: ${some(twice)}`);
    const never = this.#neverRun(log);
    finding.lost += never.length;
    if (never.length > 0)
      finding.failures.push(`${this.sessionId}: nobody removed them, and they never ran: ${some(never)}`);
    return finding;
  }

  /** Of each message that was not removed Claude got to hear. */
  #neverRun(log: readonly SessionEvent[]): string[] {
    const ids = new Map<string, string>();
    const begun = new Set<string>();
    for (const event of log) {
      if (event.type === "user.message") {
        const said = this.#said.find(({ tag }) => JSON.stringify(event.content).includes(tag));
        if (said !== undefined && !said.removal) ids.set(event.id, said.tag);
      } else if (event.type === "holdfast.message") begun.add(event.message_id);
    }
    // One that was stopped or interrupted before it began has its end in the log by the stop.
    const stops = log.some(({ type }) => type === "user.interrupt");
    return stops ? [] : [...ids].filter(([id]) => !begun.has(id)).map(([, tag]) => tag);
  }

  #tag(): string {
    return `talk-${this.#seed}-${++this.#count}-`;
  }

  async #send(tag: string, turns: object[], delivery: "next" | "now"): Promise<void> {
    if (this.#said.length >= mostMessages) return await this.interrupt();
    const said: Said = { tag, acknowledged: false, removal: false };
    this.#said.push(said);
    this.#note(delivery === "now" ? "steering" : "message");
    const text = `${tag}\n\`\`\`holdfast-script\n${JSON.stringify({ turns })}\n\`\`\``;
    await this.#post({ type: "user.message", content: [{ type: "text", text }], holdfast: { delivery } });
    said.acknowledged = true;
  }

  /** As our clients do: again with the same key as long as nobody answers. */
  async #post(event: object): Promise<void> {
    const body = JSON.stringify({ events: [event] });
    const headers = { "idempotency-key": newId("event") };
    await this.#installation.untilAnswered(
      () => this.#fetch(`/v1/sessions/${this.sessionId}/events`, { method: "POST", body, headers }),
      AbortSignal.timeout(patienceMs),
    );
  }

  #fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return this.#installation.kit.fetch(path, { ...init, signal: AbortSignal.timeout(patienceMs) });
  }

  #note(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }
}

/** Where commands of these turns note that they ran. */
export const talkFile = "ran-by-talk.txt";
const ranFile = `/mnt/workspace/${talkFile}`;

/** Those that the last `requires_action` names and nobody has answered since. */
function openQuestions(log: readonly SessionEvent[]): string[] {
  const last = log.findLast((event) => event.type === "session.status_idle" || event.type === "session.status_running");
  if (last?.type !== "session.status_idle" || last.stop_reason.type !== "requires_action") return [];
  return [...last.stop_reason.event_ids];
}
