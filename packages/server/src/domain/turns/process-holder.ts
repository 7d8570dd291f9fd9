import { randomUUID } from "node:crypto";
import { initializeRequest, worksOn } from "@holdfast/claude";
import { inBackground, waitFor } from "@holdfast/std";
import { recall } from "../memory/recall.ts";
import { askForOpen } from "../questions/asked.ts";
import { openQuestions } from "../questions/question-rows.ts";
import { hasDeletedRules } from "../questions/rules.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import type { ClaudeProcess } from "./claude-process.ts";
import { isEnding, markProcessEnding, untilEnded } from "./ending.ts";
import { HeldProcess, unlessEnding } from "./held-process.ts";
import { findProcess, startProcess } from "./prepare.ts";
import { ProcessVoice } from "./process-voice.ts";
import type { SessionDesk } from "./session-desk.ts";
import { isOutdatedBySettings, tellSettings } from "./settings.ts";
import { StallWatch } from "./stall-watch.ts";
import type { Turn } from "./turn.ts";

interface Obtain {
  signal: AbortSignal;
  /** Instead of what the session's row says. */
  conversation: "new" | "resume" | undefined;
}

/** The session's process of Claude Code: found, started, ended when nobody has needed it for long. */
export class ProcessHolder {
  readonly #desk: SessionDesk;
  /** A start goes on when the turn that wanted it is stopped: nobody would hold its process otherwise. */
  #starting: Promise<HeldProcess> | undefined;

  constructor(desk: SessionDesk) {
    this.#desk = desk;
  }

  get isStarting(): boolean {
    return this.#starting !== undefined;
  }

  /** The live process in this sandbox, or a new one. */
  async obtain(sandbox: LiveSandbox, options: Obtain): Promise<HeldProcess> {
    const { signal } = options;
    if (this.#starting !== undefined)
      await waitFor(
        this.#starting.catch(() => undefined),
        signal,
      );
    const known = this.#desk.running;
    if (known?.process.alive && !known.ending && known.process.sandbox === sandbox) {
      known.busy();
      if (!(await this.#isOutdated(known))) return known;
      await this.#close(known);
    }
    // What it still says is being stored; nobody else may read its spool meanwhile.
    if (known !== undefined && known.process.sandbox === sandbox) await this.#end(known, signal);
    this.#desk.letGo();
    const attached = await this.attach(sandbox, signal);
    if (attached !== undefined && !attached.ending) return attached;
    if (attached !== undefined) await this.#end(attached, signal);
    this.#starting = this.#start(sandbox, options.conversation).finally(() => {
      this.#starting = undefined;
    });
    return await waitFor(this.#starting, signal);
  }

  /** The process of before, if it lives in this sandbox. It may have been given the lines of `turns`. */
  async attach(
    sandbox: LiveSandbox,
    signal: AbortSignal,
    turns: readonly Turn[] = [],
  ): Promise<HeldProcess | undefined> {
    const { deps, session } = this.#desk;
    const row = await this.#desk.row();
    const voice = new ProcessVoice(this.#desk);
    const process = await findProcess(deps, { ...this.#base(sandbox, voice), session, signal, mapper: row.mapper });
    if (process === undefined) return undefined;
    const running = new HeldProcess(process, sandbox);
    for (const turn of turns) turn.process = running;
    running.started = row.claudeStarted;
    // What it said before this server had it nobody here has seen.
    running.answered = true;
    running.answeredBefore = true;
    running.ending = await isEnding(deps.db, process.processId);
    running.ownTurn = row.mapper?.inTurn === true && this.#desk.inFlight.isEmpty;
    this.#hold(running, voice, { found: true });
    voice.deliver();
    // What it asks now may differ from what we know of it.
    const { line, lineId } = askForOpen(randomUUID());
    if (!running.ending) voice.say(line, lineId);
    this.tell();
    return running;
  }

  /** The session's settings may have changed. */
  tell(): void {
    const { running } = this.#desk;
    if (running === undefined) return;
    inBackground(tellSettings(this.#desk, running), (error) =>
      this.#desk.warn(error, "changed settings were not told to Claude Code"),
    );
  }

  /** It is ended when nobody needs it for a while. */
  armIdleTimer(): void {
    const { running, stop, deps } = this.#desk;
    if (running === undefined || stop.signal.aborted) return;
    running.afterIdle(deps.options.idleProcessMs, () => {
      this.#closeIdle(running).catch((error) => this.#desk.warn(error, "cannot end an idle process"));
    });
  }

  async #start(sandbox: LiveSandbox, wanted: "new" | "resume" | undefined): Promise<HeldProcess> {
    const row = await this.#desk.row();
    const kind = await this.#kind(sandbox, row, wanted);
    const voice = new ProcessVoice(this.#desk);
    const process: ClaudeProcess = await startProcess(this.#desk.deps, {
      ...this.#base(sandbox, voice),
      signal: this.#desk.stop.signal,
      conversation: { kind, id: row.claudeSessionId },
      mapper: row.mapper,
    });
    const running = this.#hold(new HeldProcess(process, sandbox), voice);
    running.kind = kind;
    // Before any message, whose prompt would else be that of the conversation's beginning.
    const lineId = randomUUID();
    await process
      .send(initializeRequest(lineId), lineId, this.#desk.stop.signal)
      .catch((error: unknown) => unlessEnding(running, error));
    // They may have been changed while it was being started.
    this.tell();
    return running;
  }

  /** How a process begins. `wanted`: one has just said that the row is wrong. */
  async #kind(
    sandbox: LiveSandbox,
    { claudeStarted, claudeSessionId }: { claudeStarted: boolean; claudeSessionId: string },
    wanted: "new" | "resume" | undefined,
  ): Promise<"new" | "resume"> {
    const { deps, session, inFlight, preparing, stop } = this.#desk;
    if (!claudeStarted && wanted === undefined) return "new";
    const without = [...inFlight.all.map(({ id }) => id), ...(preparing === undefined ? [] : [preparing.id])];
    return await recall(deps, {
      sessionId: session.id,
      conversationId: claudeSessionId,
      sandbox,
      without,
      refused: wanted === "new",
      append: (events) => this.#desk.append(events),
      signal: stop.signal,
    });
  }

  #base(sandbox: LiveSandbox, voice: ProcessVoice) {
    const desk = this.#desk;
    return {
      session: desk.session,
      append: (events: Parameters<SessionDesk["append"]>[0]) => desk.append(events),
      sandbox,
      owner: voice,
      lifetime: desk.stop.signal,
    };
  }

  #hold(running: HeldProcess, voice: ProcessVoice, { found = false } = {}): HeldProcess {
    running.attend(new StallWatch(this.#desk, running, { found }));
    voice.running = running;
    this.#desk.running = running;
    inBackground(running.process.follow(), (error) => this.#desk.warn(error, "Claude's process is not followed"));
    return running;
  }

  async #end(running: HeldProcess, signal: AbortSignal): Promise<void> {
    // One that was only idle ends by itself.
    await untilEnded(this.#desk, running, { kill: !running.closing, signal });
  }

  async #closeIdle(running: HeldProcess): Promise<void> {
    const desk = this.#desk;
    if (running !== desk.running || desk.preparing !== undefined || !desk.inFlight.isEmpty) return;
    if (running.ending && !running.closing) return await this.#end(running, desk.soon(60_000));
    // Waiting for an answer is no idleness, whoever asks.
    const asks = async () => (await openQuestions(desk.deps.db, desk.session.id)).length > 0;
    if (isAtWork(running) || (await asks())) return this.armIdleTimer();
    if (running !== desk.running || desk.preparing !== undefined || !desk.inFlight.isEmpty) return;
    await this.#close(running);
  }

  /** It was once allowed what must be asked for again. What it works on is not cut off for that. */
  async #isOutdated(running: HeldProcess): Promise<boolean> {
    const { inFlight, deps } = this.#desk;
    if (!inFlight.isEmpty || isAtWork(running)) return false;
    if (await hasDeletedRules(deps.db, running.process.processId)) return true;
    return await isOutdatedBySettings(this.#desk, running);
  }

  async #close(running: HeldProcess): Promise<void> {
    const desk = this.#desk;
    // First: a message that comes now must not be said to a process that is ending.
    running.ending = true;
    running.closing = true;
    await markProcessEnding(desk, running.process.processId);
    await running.process.closeStdin(desk.soon());
    await this.#end(running, desk.soon(60_000));
  }
}

/** Beside turns of messages. */
function isAtWork({ process, ownTurn }: HeldProcess): boolean {
  const { backgroundTasks = 0 } = process.mapper;
  return ownTurn || backgroundTasks > 0 || worksOn(process.mapper);
}
