import { randomUUID } from "node:crypto";
import { stopTaskRequest, worksOn } from "@holdfast/claude";
import { AppError, type SessionAgent } from "@holdfast/protocol";
import { sleep, waitFor } from "@holdfast/std";
import type { AskOutcome } from "../claude-state/asks.ts";
import type { StateAsk } from "../claude-state/claude-state.ts";
import { inHand, nextOf, openMessages } from "../messages/message-rows.ts";
import { fromRow } from "../workspaces/workspace-rows.ts";
import { interruptedByRestart } from "./answers.ts";
import { Conversation } from "./conversation.ts";
import { endFailed } from "./end-failed-turn.ts";
import { untilEnded } from "./ending.ts";
import { idleEvent, toFailure } from "./failure.ts";
import type { HeldProcess } from "./held-process.ts";
import { endOpenSteps } from "./open-steps.ts";
import { SessionDesk } from "./session-desk.ts";
import { sessionStatus } from "./session-rows.ts";
import { sessionSettings } from "./settings-rows.ts";
import { obeyStops, stopEverything, stopRequested } from "./stopper.ts";
import { Turn } from "./turn.ts";
import type { TurnDeps } from "./turn-deps.ts";

const endTimeoutMs = 15_000;
const retryMs = 1_000;
const startMs = 10 * 60_000;

/** Works on one session's messages, one after the other; holds its process between them. */
export class SessionRunner {
  readonly #desk: SessionDesk;
  readonly #conversation: Conversation;
  #loop: Promise<void> | undefined;
  /** A process of before is being found again: nobody else may look for it meanwhile. */
  #adopting: Promise<void> | undefined;
  #tidied: Promise<void> | undefined;
  #again = false;
  #finishing = false;
  /** Aborts the start of a process for a question, e.g. because a message wants the same, and tells more of it. */
  #starting: AbortController | undefined;

  private constructor(desk: SessionDesk) {
    this.#desk = desk;
    this.#conversation = new Conversation(desk);
  }

  /** Takes the session's lease, in a workspace of this server: whoever had it before may not write any more. */
  static async open(deps: TurnDeps, sessionId: string): Promise<SessionRunner> {
    const workspace = await deps.db
      .selectFrom("workspaces")
      .innerJoin("sessions", "sessions.workspace_id", "workspaces.id")
      .selectAll("workspaces")
      .where("sessions.id", "=", sessionId)
      .executeTakeFirstOrThrow();
    const row = await deps.leases.held(workspace.id, (tx) =>
      tx
        .updateTable("sessions")
        .set((eb) => ({ generation: eb("generation", "+", 1) }))
        .where("id", "=", sessionId)
        .returning(["id", "account_id", "generation", "agent_json", "environment_id"])
        .executeTakeFirstOrThrow(),
    );
    const session = {
      id: row.id,
      accountId: row.account_id,
      generation: row.generation,
      agent: row.agent_json === null ? null : (JSON.parse(row.agent_json) as SessionAgent),
      environmentId: row.environment_id,
    };
    return new SessionRunner(new SessionDesk(deps, { session, workspace: fromRow(workspace) }));
  }

  get generation(): number {
    return this.#desk.session.generation;
  }

  get workspaceId(): string {
    return this.#desk.workspace.id;
  }

  /** Nothing goes on under its lease. */
  get isIdle(): boolean {
    return this.#loop === undefined && this.#desk.isIdle && !this.#conversation.isStarting;
  }

  /** There may be messages, or those that there were have changed. */
  wake(): void {
    this.#again = true;
    if (this.#loop !== undefined) this.#conversation.attend();
    this.#starting?.abort(new Error("a message came"));
    this.#loop ??= this.#work().finally(() => {
      this.#loop = undefined;
      if (this.#again && !this.#isOver) this.wake();
    });
  }

  /** Ends the turns whose end was asked for, in the rows. Safe to repeat. */
  async interrupt(): Promise<void> {
    await stopRequested(this.#desk).catch((error) => this.#desk.warn(error, "a turn cannot be stopped"));
  }

  /** A question was answered. Without its process nobody waits for that. */
  answer(): void {
    this.#conversation.answer();
  }

  /** Ends one task of the background. Rejects when its process could not be told. */
  async stopTask(taskId: string): Promise<void> {
    const { running } = this.#desk;
    if (running?.process.alive !== true) return;
    const id = randomUUID();
    await running.process.send(stopTaskRequest(id, taskId), id, this.#desk.soon());
  }

  /** Asks its process something on the side; `start`: has one started where none lives, without a turn. */
  async askClaude({ start, name, query }: StateAsk): Promise<AskOutcome> {
    const { asks, stop, deps, session, launchMode } = this.#desk;
    await this.#adopting;
    const { permission_mode } = await sessionSettings(deps.db, session.id);
    const question = { name, query, mode: permission_mode ?? launchMode };
    const { running } = this.#desk;
    if (running?.process.alive === true && !running.ending) return await asks.ask(running, question, stop.signal);
    if (!start) return { kind: "nobody" };
    const held = asks.whenHeld();
    if (this.#loop === undefined) this.wake();
    else this.#again = true;
    try {
      const started = await waitFor(held, stop.signal);
      const outcome = await asks.ask(started, question, stop.signal);
      return outcome.kind === "nobody" ? endedAtOnce(started) : outcome;
    } catch (error) {
      return stop.signal.aborted ? { kind: "nobody" } : notStarted(error);
    }
  }

  /** Its settings have changed: a living process is told, the next one is started with them. */
  configure(): void {
    this.#conversation.configure();
  }

  /** Ends the running turn and the process. */
  async end(): Promise<void> {
    const deadline = AbortSignal.timeout(endTimeoutMs);
    // A turn that does not end in time ends with its process.
    await waitFor(this.finish(), deadline).catch(() => undefined);
    const { running } = this.#desk;
    // Until its end is stored: only then does the guest let go of what it said.
    if (running !== undefined) {
      await untilEnded(this.#desk, running, { kill: true, signal: deadline }).catch((error) =>
        this.#desk.warn(error, "a process lives on"),
      );
    }
    await this.release();
  }

  /** Ends the running turn and begins no other. Resolves when nothing is being worked on. */
  async finish(): Promise<void> {
    this.#finishing = true;
    this.#starting?.abort(new Error("the session ends"));
    await stopEverything(this.#desk);
    while (this.#loop !== undefined) await this.#loop;
  }

  /** After a restart of ours: a turn that Claude had begun by itself goes on, or is said to have been cut off. */
  async resumeOwnTurn(): Promise<void> {
    this.#adopting = this.#adopt(true);
    await this.#adopting;
  }

  /** After a restart of ours: its process lives and may begin a turn by itself; nobody else may speak to it any more. */
  async adoptProcess(): Promise<void> {
    this.#adopting = this.#adopt(false);
    await this.#adopting;
  }

  /** Lets go of everything; process and sandbox go on. */
  async release(): Promise<void> {
    const desk = this.#desk;
    desk.stop.abort(new Error("the server stops"));
    const { running } = desk;
    desk.letGo();
    running?.process.release();
    await this.#loop;
  }

  get #isOver(): boolean {
    return this.#desk.stop.signal.aborted || this.#finishing;
  }

  async #work(): Promise<void> {
    await this.#adopting;
    this.#tidied ??= endOpenSteps(this.#desk).catch((error) => {
      this.#desk.warn(error, "steps that a server of before had begun stay open");
    });
    await this.#tidied;
    while (this.#again && !this.#isOver) {
      this.#again = false;
      try {
        while (!this.#isOver && (await this.#workOnce()));
      } catch (error) {
        this.#desk.warn(error, "a session's messages cannot be worked on; trying again");
        this.#again = true;
        await sleep(retryMs, this.#desk.stop.signal).catch(() => undefined);
      }
    }
  }

  /** False when nothing is left to do. */
  async #workOnce(): Promise<boolean> {
    const desk = this.#desk;
    const rows = await openMessages(desk.deps.db, desk.session.id);
    const sent = inHand(rows);
    const next = nextOf(rows);
    if (sent.length > 0) {
      for (const row of sent) if (row.stop_requested_at !== null) desk.stops.add(row.id);
      await this.#conversation.resume(sent.map((row) => new Turn(row)));
    } else if (next !== undefined) await this.#conversation.turn(new Turn(next));
    else if (desk.asks.wantsProcess) await this.#startForAsk();
    // Whose end is asked for from now on, the rows say.
    if (desk.inFlight.isEmpty) desk.stops.clear();
    return sent.length > 0 || next !== undefined;
  }

  /** Whoever asked is told why it cannot be. */
  async #startForAsk(): Promise<void> {
    const desk = this.#desk;
    const starting = new AbortController();
    this.#starting = starting;
    try {
      if (await isArchived(desk)) throw new AppError("session_archived");
      const signal = AbortSignal.any([desk.stop.signal, starting.signal, AbortSignal.timeout(startMs)]);
      desk.asks.held(await this.#conversation.start(signal));
    } catch (error) {
      if (!starting.signal.aborted) desk.asks.notHeld(error);
    } finally {
      this.#starting = undefined;
    }
  }

  async #adopt(isRunning: boolean): Promise<void> {
    const desk = this.#desk;
    try {
      const running = await this.#conversation.adopt(() => this.#loop !== undefined);
      if (running !== undefined && (await isArchived(desk))) {
        await stopEverything(desk);
        return await untilEnded(desk, running, { kill: true, signal: desk.soon(endTimeoutMs) });
      }
      if (!isRunning || this.#loop !== undefined) return;
      if (running === undefined) throw interruptedByRestart("its process has ended");
      if (running.ownTurn || worksOn(running.process.mapper)) await stopRequested(desk);
      // It was being prepared, and what it was for is gone.
      else if ((await desk.row()).status === "running" && desk.inFlight.isEmpty) {
        await desk.append([idleEvent("stopped")], { status: "idle", stop_requested_at: null });
      }
      obeyStops(desk);
    } catch (error) {
      if (desk.stop.signal.aborted) return;
      if (isRunning) await endFailed(desk, [], error);
      else desk.warn(error, "a process of before was not found again");
    }
  }
}

function notStarted(error: unknown): AskOutcome {
  const { code, message } = toFailure(error);
  // No turn was there to be cut off.
  return { kind: "failed", code: code === "turn_interrupted" ? "sandbox_unavailable" : code, detail: message };
}

function endedAtOnce({ startupErrors, exit }: HeldProcess): AskOutcome {
  const words = startupErrors.length > 0 ? startupErrors.join("; ") : (exit?.stderr ?? "");
  const why = words === "" ? "it says nothing of why" : words.slice(-1_000);
  return { kind: "failed", code: "claude_start_failed", detail: `Claude Code ended before it answered: ${why}` };
}

/** The server died before it had ended what ran in it. */
async function isArchived({ deps, session }: SessionDesk): Promise<boolean> {
  return (await sessionStatus(deps.db, session.id)).archived_at !== null;
}
