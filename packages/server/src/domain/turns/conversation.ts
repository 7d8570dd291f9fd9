import { type InputBlock, userLine } from "@holdfast/claude";
import { inBackground, waitFor } from "@holdfast/std";
import { StaleGenerationError } from "../../ports/event-log.ts";
import { inHand, nextOf, openMessages } from "../messages/message-rows.ts";
import { deliverAnswers } from "../questions/asked.ts";
import { openQuestions } from "../questions/question-rows.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import { interruptedByRestart } from "./answers.ts";
import { claimNext, claimSteering } from "./claim.ts";
import { endFailed } from "./end-failed-turn.ts";
import { TurnFailure, TurnStopped } from "./failure.ts";
import { type HeldProcess, unlessEnding } from "./held-process.ts";
import { lastWords, restartAs } from "./line-effects.ts";
import { makeWritable, sandboxOf } from "./make-ready.ts";
import { ProcessHolder } from "./process-holder.ts";
import type { SessionDesk } from "./session-desk.ts";
import { abandonProcess, makeWay, obeyStops } from "./stopper.ts";
import { Turn } from "./turn.ts";

const maxTries = 3;

/** A session's talk with Claude: what is prepared for a message, the message, its end. */
export class Conversation {
  readonly #desk: SessionDesk;
  readonly #holder: ProcessHolder;
  #attending: Promise<void> = Promise.resolve();

  constructor(desk: SessionDesk) {
    this.#desk = desk;
    this.#holder = new ProcessHolder(desk);
  }

  /** A process is being started, whether its turn is still wanted or not. */
  get isStarting(): boolean {
    return this.#holder.isStarting;
  }

  /** A message that waits, from the sandbox to its end. Never rejects for the turn's sake: its end says what was. */
  async turn(turn: Turn): Promise<void> {
    const desk = this.#desk;
    desk.preparing = turn;
    await this.#untilSettled(async () => {
      turn.signal.throwIfAborted();
      await this.#ensureRunning();
      const signal = AbortSignal.any([desk.stop.signal, turn.signal]);
      for (let tries = 1; !(await this.#tryIn(turn, signal, { isLast: tries === maxTries })); tries++);
    });
  }

  /** False: the sandbox ended before Claude had the message. Nothing ran in it; another one does it all. */
  async #tryIn(turn: Turn, signal: AbortSignal, { isLast }: { isLast: boolean }): Promise<boolean> {
    const desk = this.#desk;
    const sandbox = await sandboxOf(desk, signal);
    using _use = sandbox.useForTurn();
    try {
      await makeWritable(desk, sandbox, signal);
      await this.#converse(sandbox, { turn, signal, conversation: undefined });
    } catch (error) {
      if (isLast || turn.sent || signal.aborted || !sandbox.gone.aborted) throw error;
      return false;
    }
    return true;
  }

  /** After a restart of ours: the turns may still run, or their end lie unread in the guest's spool. */
  async resume(turns: readonly Turn[]): Promise<void> {
    const desk = this.#desk;
    for (const turn of turns) desk.inFlight.add(turn);
    await this.#untilSettled(async () => {
      await this.#ensureRunning();
      const { signal } = desk.stop;
      const sandbox = await desk.deps.sandboxes.adopt(desk.workspace, signal);
      if (sandbox === undefined) throw interruptedByRestart("its sandbox has ended");
      using _use = sandbox.useForTurn();
      const running = desk.running?.process.alive ? desk.running : await this.#holder.attach(sandbox, signal, turns);
      if (running === undefined) throw interruptedByRestart("its process has ended");
      if (running.ending) throw interruptedByRestart("its process was being ended");
      running.ownTurn = false;
      obeyStops(desk);
      await this.#send(running);
      const conversation = await this.#untilOver();
      if (conversation !== undefined) await this.#converse(sandbox, { turn: undefined, signal, conversation });
    });
  }

  /** A process without a message, as a turn would have it; it is ended like one that has become idle. */
  async start(signal: AbortSignal): Promise<HeldProcess> {
    const desk = this.#desk;
    const sandbox = await sandboxOf(desk, signal);
    using _use = sandbox.useForTurn();
    await makeWritable(desk, sandbox, signal);
    await waitFor(desk.stopping, signal);
    try {
      return await this.#holder.obtain(sandbox, { signal, conversation: undefined });
    } finally {
      this.#holder.armIdleTimer();
    }
  }

  /** Looks for a process of before. `isBusy`: a turn that has begun meanwhile finds it by itself. */
  async adopt(isBusy: () => boolean): Promise<HeldProcess | undefined> {
    const { deps, workspace, stop } = this.#desk;
    const sandbox = await deps.sandboxes.adopt(workspace, stop.signal);
    if (sandbox === undefined || isBusy()) return undefined;
    const running = this.#desk.running ?? (await this.#holder.attach(sandbox, stop.signal));
    if (running !== undefined) this.#holder.armIdleTimer();
    return running;
  }

  /** Messages have changed while one is worked on. */
  attend(): void {
    this.#attending = this.#attending
      .then(() => this.#attendOnce())
      .catch((error) => this.#desk.warn(error, "changed messages were not looked at"));
  }

  /** The session's settings have changed. */
  configure(): void {
    this.#holder.tell();
  }

  answer(): void {
    const { running, deps, stop } = this.#desk;
    if (running === undefined) return;
    inBackground(deliverAnswers(deps, running.process, stop.signal), (error) =>
      this.#desk.warn(error, "an answer was not delivered"),
    );
  }

  async #untilSettled(work: () => Promise<void>): Promise<void> {
    const desk = this.#desk;
    let worked = false;
    try {
      await work();
      worked = true;
    } catch (error) {
      worked = !desk.inFlight.isEmpty;
      await this.#failed(error);
    } finally {
      desk.preparing = undefined;
      if (!desk.stop.signal.aborted) this.#holder.armIdleTimer();
    }
    if (worked && !desk.stop.signal.aborted) await desk.saveWorkspace();
  }

  async #failed(error: unknown): Promise<void> {
    const desk = this.#desk;
    if (desk.stop.signal.aborted) return;
    if (error instanceof StaleGenerationError) return desk.lostLease(error);
    const turns = desk.inFlight.all;
    // What it still does would be done beside the next turn.
    if (turns.length > 0 && desk.running !== undefined) abandonProcess(desk, desk.running);
    for (const turn of turns) if (desk.stops.has(turn.id)) turn.stop();
    const { preparing } = desk;
    await endFailed(desk, preparing === undefined ? turns : [...turns, preparing], error);
  }

  /** Exec 2 where it is needed, the lines, their end; again when the process never came to them. */
  async #converse(
    sandbox: LiveSandbox,
    input: { turn: Turn | undefined; signal: AbortSignal; conversation: "new" | "resume" | undefined },
  ): Promise<void> {
    const desk = this.#desk;
    const { turn, signal } = input;
    let { conversation } = input;
    let last: HeldProcess | undefined;
    for (let failed = 0; failed < maxTries; ) {
      if (turn !== undefined && !turn.sent) await waitFor(desk.stopping, signal);
      const running = await this.#holder.obtain(sandbox, { signal, conversation });
      desk.asks.held(running);
      signal.throwIfAborted();
      if (turn !== undefined && !turn.sent) await this.#begin(turn);
      last = running;
      // One that ended between two turns is no turn's failure.
      if (!running.process.alive) {
        if (running.exit !== undefined) conversation = restartAs(running, running.exit) ?? conversation;
        failed++;
        continue;
      }
      await this.#send(running);
      this.attend();
      conversation = await this.#untilOver();
      if (conversation === undefined) return;
      // One that was ended for the message that comes now has failed at nothing, however often that is. One that somebody
      // killed before it had answered has.
      const { signalled, ending, started, answered } = running;
      failed = signalled || ending || (started && answered) ? 0 : failed + 1;
    }
    throw new TurnFailure("claude_start_failed", {
      detail: `Claude Code was started ${maxTries} times and ended each time before Claude answered; the message was not worked on`,
      ...(last === undefined ? {} : lastWords(last)),
    });
  }

  async #begin(turn: Turn): Promise<void> {
    const desk = this.#desk;
    turn.take(await claimNext(desk, turn));
    desk.inFlight.add(turn);
    desk.preparing = undefined;
    if (desk.stops.has(turn.id)) throw new TurnStopped("stopped by the reader");
  }

  /** The guest writes a line of an id once only: perhaps it has been written. */
  async #send(running: HeldProcess): Promise<void> {
    for (const turn of this.#desk.inFlight.all) {
      turn.process = running;
      const line = userLine({ content: turn.content as InputBlock[], uuid: turn.id });
      // A process that has ended meanwhile says why by its exit.
      await running.process
        .send(line, turn.id, this.#desk.stop.signal)
        .catch((error: unknown) => unlessEnding(running, error));
    }
  }

  /** Resolves when nothing is in Claude's hands any more; with how to begin when all of it needs another process. */
  async #untilOver(): Promise<"new" | "resume" | undefined> {
    const { inFlight, stop } = this.#desk;
    for (;;) {
      const turn = inFlight.first;
      if (turn === undefined) {
        await this.#attending;
        if (inFlight.isEmpty) return undefined;
        continue;
      }
      const end = await turn.untilEnd(stop.signal);
      if (end.kind === "lost") throw end.error;
      if (end.kind === "done") continue;
      for (const each of inFlight.all) each.again();
      return end.conversation;
    }
  }

  async #attendOnce(): Promise<void> {
    const desk = this.#desk;
    const { preparing } = desk;
    if (preparing === undefined) return await this.#steer();
    const rows = await openMessages(desk.deps.db, desk.session.id);
    // What it was prepared for was removed.
    if (!preparing.sent && nextOf(rows) === undefined && inHand(rows).length === 0) preparing.stop();
  }

  /** Messages that shall run now, in the middle of a turn. */
  async #steer(): Promise<void> {
    const desk = this.#desk;
    for (;;) {
      const { running, inFlight } = desk;
      if (running === undefined || !running.process.alive || running.ending || inFlight.isEmpty) return;
      await desk.stopping;
      if (inFlight.isEmpty) return;
      const row = await claimSteering(desk);
      if (row === undefined) return;
      const turn = new Turn({ ...row, state: "sent" }, { steers: true });
      turn.process = running;
      for (const before of inFlight.all) before.superseded ||= before.taken;
      inFlight.add(turn);
      // Its exit was dealt with before this turn was there.
      if (!running.process.alive) return turn.end({ kind: "restart", conversation: "resume" });
      const line = userLine({ content: turn.content as InputBlock[], uuid: turn.id, priority: "now" });
      running.process
        .send(line, turn.id, desk.stop.signal)
        .catch((error: unknown) => unlessEnding(running, error))
        .then(
          () => makeWay(desk, running, turn),
          (error) => turn.end({ kind: "lost", error }),
        )
        .catch((error) => desk.warn(error, "a turn does not make way"));
      obeyStops(desk);
    }
  }

  async #ensureRunning(): Promise<void> {
    const desk = this.#desk;
    const { status } = await desk.row();
    if (status === "running" || (await openQuestions(desk.deps.db, desk.session.id)).length > 0) return;
    await desk.append([{ type: "session.status_running" }], { status: "running" });
  }
}
