import { randomUUID } from "node:crypto";
import { type InputBlock, interruptRequest, type MapResult, type Signal, userLine } from "@holdfast/claude";
import type { NewEvent, SessionAgent } from "@holdfast/protocol";
import { StaleGenerationError } from "../../ports/event-log.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import { waitFor } from "../sandboxes/sandboxes.ts";
import { openQuestions } from "../sessions/permissions.ts";
import { fromRow, type Workspace } from "../sessions/workspaces.ts";
import { answerTo, interruptedByRestart, markTaken, merge } from "./answers.ts";
import type { ClaudeProcess, LineEffect, ProcessExit, ProcessOwner } from "./claude-process.ts";
import { endFailedTurn } from "./end-failed-turn.ts";
import { TurnStopped } from "./failure.ts";
import { HeldProcess, unlessEnding } from "./held-process.ts";
import { interruptProcess } from "./interrupt.ts";
import { markMessage, onProcessExit, onTurnEnded, onTurnStarted, type ProcessState } from "./line-effects.ts";
import { ensureSandbox, findProcess, fixPermissions, type Session, startProcess } from "./prepare.ts";
import {
  askForOpen,
  deliverAnswers,
  onOpenQuestions,
  onQuestion,
  onQuestionWithdrawn,
  withPolicy,
} from "./questions.ts";
import { nextMessage, sessionState } from "./session-rows.ts";
import { Turn } from "./turn.ts";
import type { TurnDeps } from "./turn-deps.ts";

const endTimeoutMs = 15_000;

/** Filled once the process is held; what it says comes later. */
interface Held {
  running?: HeldProcess;
}

/** Works on one session's messages, one after the other; holds its process between them. */
export class SessionRunner {
  readonly #deps: TurnDeps;
  readonly #session: Session;
  readonly #workspace: Workspace;
  readonly #stop = new AbortController();
  /** What this session says waits for a database that is away, for as long as the session is this server's. */
  readonly #storing = { patience: this.#stop.signal };
  #turn: Turn | undefined;
  #running: HeldProcess | undefined;
  #loop: Promise<void> | undefined;
  /** A process of before is being found again: nobody else may look for it meanwhile. */
  #adopting: Promise<void> | undefined;
  #again = false;
  #stopRequested = false;
  #finishing = false;

  private constructor(deps: TurnDeps, session: Session, workspace: Workspace) {
    this.#deps = deps;
    this.#session = session;
    this.#workspace = workspace;
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
    return new SessionRunner(deps, session, fromRow(workspace));
  }

  get generation(): number {
    return this.#session.generation;
  }

  /** There may be messages. */
  wake(): void {
    this.#again = true;
    this.#loop ??= this.#work().finally(() => {
      this.#loop = undefined;
      if (this.#again && !this.#stop.signal.aborted && !this.#finishing) this.wake();
    });
  }

  /** Ends the running turn. Safe to repeat. */
  interrupt(): void {
    const turn = this.#turn;
    if (turn !== undefined) this.#interruptTurn(turn);
    else if (this.#loop !== undefined) this.#stopRequested = true;
    else if (this.#running?.state.ownTurn) {
      const { process, state } = this.#running;
      void this.#stopProcess(process, () => !state.ownTurn);
    }
  }

  /** A question was answered. Without its process nobody waits for that. */
  answer(): void {
    if (this.#running !== undefined) this.#deliver(this.#running);
  }

  /** Ends the running turn and the process. */
  async end(): Promise<void> {
    const deadline = AbortSignal.timeout(endTimeoutMs);
    // A turn that does not end in time ends with its process.
    await waitFor(this.finish(), deadline).catch(() => undefined);
    const { logger } = this.#deps;
    const process = this.#running?.process;
    await process?.signal("SIGKILL", deadline).catch((error) => logger.warn({ err: error }, "a process lives on"));
    await this.release();
  }

  /** Ends the running turn and begins no other. Resolves when nothing is being worked on. */
  async finish(): Promise<void> {
    this.#finishing = true;
    this.interrupt();
    while (this.#loop !== undefined) await this.#loop;
  }

  /** After a restart of ours: a turn that Claude had begun by itself goes on, or is said to have been cut off. */
  async resumeOwnTurn(): Promise<void> {
    this.#adopting = this.#resumeOwnTurn();
    await this.#adopting;
  }

  async #resumeOwnTurn(): Promise<void> {
    const { signal } = this.#stop;
    try {
      const sandbox = await this.#deps.sandboxes.adopt(this.#workspace, signal);
      const running = sandbox && (await this.#attach(sandbox, signal));
      if (running === undefined) throw interruptedByRestart("its process has ended");
      running.state.ownTurn = true;
    } catch (error) {
      if (!signal.aborted) await this.#endFailed(undefined, error);
    }
  }

  /** After a restart of ours: its process lives and may begin a turn by itself; nobody else may speak to it any more. */
  async adoptProcess(): Promise<void> {
    this.#adopting = this.#adoptProcess();
    await this.#adopting;
  }

  async #adoptProcess(): Promise<void> {
    const { signal } = this.#stop;
    try {
      const sandbox = await this.#deps.sandboxes.adopt(this.#workspace, signal);
      // A turn that has begun meanwhile finds it by itself.
      if (sandbox === undefined || this.#loop !== undefined || this.#running !== undefined) return;
      if ((await this.#attach(sandbox, signal)) !== undefined) this.#armIdleTimer();
    } catch (error) {
      if (signal.aborted) return;
      this.#deps.logger.warn({ err: error, session: this.#session.id }, "a process of before was not found again");
    }
  }

  /** Lets go of everything; process and sandbox go on. */
  async release(): Promise<void> {
    this.#stop.abort(new Error("the server stops"));
    const running = this.#running;
    this.#letGo();
    running?.process.release();
    await this.#loop;
  }

  async #work(): Promise<void> {
    await this.#adopting;
    while (this.#again && !this.#stop.signal.aborted) {
      this.#again = false;
      const { db } = this.#deps;
      const next = () => nextMessage(db, this.#session.id);
      for (let message = await next(); message !== undefined; message = await next()) {
        if (this.#stop.signal.aborted || this.#finishing) return;
        await this.#oneTurn(new Turn(message));
      }
      // Meant for a turn that had ended by then.
      this.#stopRequested = false;
    }
  }

  async #oneTurn(turn: Turn): Promise<void> {
    const resumed = turn.sent;
    this.#turn = turn;
    try {
      if (this.#stopRequested) this.#interruptTurn(turn);
      this.#stopRequested = false;
      await this.#ensureRunning();
      if (resumed) await this.#resumeTurn(turn);
      else await this.#runTurn(turn);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      if (error instanceof StaleGenerationError) return this.#lostLease(error);
      await this.#endFailed(turn, error);
    } finally {
      this.#turn = undefined;
      this.#armIdleTimer();
    }
    const sandbox =
      this.#running?.process.sandbox ??
      (await this.#deps.sandboxes.current(this.#workspace.id)?.catch(() => undefined));
    if (sandbox !== undefined && !sandbox.gone.aborted && turn.sent) {
      this.#deps.onTurnEnd({ sessionId: this.#session.id, sandbox, generation: this.generation });
    }
  }

  /** Sandbox, exec 1, exec 2, the line, its end. */
  async #runTurn(turn: Turn): Promise<void> {
    const signal = AbortSignal.any([this.#stop.signal, turn.signal]);
    const base = { session: this.#session, append: (events: readonly NewEvent[]) => this.#append(events), signal };
    const sandbox = await ensureSandbox(this.#deps, this.#workspace, base);
    using _use = sandbox.useForTurn();
    await fixPermissions(this.#deps, sandbox, base);
    for (let conversation: "new" | "resume" | undefined, tries = 0; ; tries++) {
      const running = await this.#obtainProcess(sandbox, { turn, signal, conversation });
      signal.throwIfAborted();
      turn.sent = true;
      await this.#deps.log.transact(async ({ tx, append }) => {
        await append({ sessionId: this.#session.id, generation: this.generation, events: [] });
        await markMessage(tx, turn.messageId, "sent");
      }, this.#storing);
      const content = turn.content as InputBlock[];
      const line = userLine({ content, uuid: turn.messageId });
      const lineId = tries === 0 ? turn.messageId : `${turn.messageId}-${tries}`;
      // A process that has ended meanwhile says why by its exit.
      await running.process.send(line, lineId, signal).catch((error) => unlessEnding(running, error));
      const end = await turn.untilEnd(this.#stop.signal);
      if (end.kind === "done") return;
      if (end.kind === "lost") throw end.error;
      if (tries >= 2) throw new Error("Claude Code neither knows the conversation nor begins it anew");
      conversation = end.conversation;
      turn.again();
    }
  }

  /** After a restart of ours: the turn may still run, or its end lie unread in the guest's spool. */
  async #resumeTurn(turn: Turn): Promise<void> {
    const { signal } = this.#stop;
    const sandbox = await this.#deps.sandboxes.adopt(this.#workspace, signal);
    if (sandbox === undefined) throw interruptedByRestart("its sandbox has ended");
    using _use = sandbox.useForTurn();
    const running = await this.#attach(sandbox, signal);
    if (running === undefined) throw interruptedByRestart("its process has ended");
    const line = userLine({ content: turn.content as InputBlock[], uuid: turn.messageId });
    // Perhaps it was never written: the guest writes a line of this id once only.
    await running.process.send(line, turn.messageId, signal).catch((error) => unlessEnding(running, error));
    const end = await turn.untilEnd(this.#stop.signal);
    if (end.kind === "lost") throw end.error;
    if (end.kind === "restart") throw interruptedByRestart("its process did not start");
  }

  /** The session's live process in this sandbox, or a new one. */
  async #obtainProcess(
    sandbox: LiveSandbox,
    options: { turn: Turn; signal: AbortSignal; conversation: "new" | "resume" | undefined },
  ): Promise<HeldProcess> {
    const { signal } = options;
    const known = this.#running;
    if (known?.process.alive && known.process.sandbox === sandbox) {
      known.busy();
      known.state.turn = options.turn;
      return known;
    }
    // What it still said is being stored; nobody else may read its spool meanwhile.
    if (known !== undefined && !known.process.alive) await waitFor(known.process.exited, signal);
    this.#letGo();
    const attached = await this.#attach(sandbox, signal);
    if (attached !== undefined) return attached;
    const row = await this.#row();
    const kind = options.conversation ?? (row.claudeStarted ? "resume" : "new");
    const held: Held = {};
    const process = await startProcess(this.#deps, {
      session: this.#session,
      append: (events) => this.#append(events),
      // Not the turn's: a start that was given up half-way would leave a process that nobody holds.
      signal: this.#stop.signal,
      sandbox,
      conversation: { kind, id: row.claudeSessionId },
      mapper: row.mapper,
      owner: this.#owner(held),
      lifetime: this.#stop.signal,
    });
    return this.#hold(process, sandbox, held);
  }

  async #attach(sandbox: LiveSandbox, signal: AbortSignal): Promise<HeldProcess | undefined> {
    const row = await this.#row();
    const held: Held = {};
    const process = await findProcess(this.#deps, {
      session: this.#session,
      append: (events) => this.#append(events),
      signal,
      sandbox,
      mapper: row.mapper,
      owner: this.#owner(held),
      lifetime: this.#stop.signal,
    });
    if (process === undefined) return undefined;
    const running = this.#hold(process, sandbox, held);
    running.state.started = row.claudeStarted;
    this.#deliver(running);
    // What it asks now may differ from what we know of it.
    const { line, lineId } = askForOpen(randomUUID());
    this.#say(running, line, lineId);
    return running;
  }

  #hold(process: ClaudeProcess, sandbox: LiveSandbox, held: Held): HeldProcess {
    const state: ProcessState = {
      sessionId: this.#session.id,
      turn: this.#turn,
      ownTurn: false,
      started: false,
      startupErrors: [],
      conversationNotFound: false,
    };
    const running = new HeldProcess(process, { sandbox, state });
    held.running = running;
    this.#running = running;
    void process.follow();
    return running;
  }

  #owner(held: Held): ProcessOwner {
    const now = () => {
      const { running } = held;
      if (running === undefined) throw new Error("a process speaks before it is held");
      running.state.turn = this.#turn?.finished ? undefined : this.#turn;
      return running;
    };
    return {
      onLine: (result) => this.#onLine(now(), result),
      onExit: (exit) => this.#onExit(now(), exit),
      onLost: (error) => this.#onLost(now(), error),
    };
  }

  #onLost(running: HeldProcess, error: unknown): void {
    if (error instanceof StaleGenerationError) this.#lostLease(error);
    const current = running === this.#running;
    if (current) this.#letGo();
    // A turn whose line has not gone yet gets another process, e.g. in the sandbox that replaces this one.
    if (this.#turn !== undefined) {
      if (current && this.#turn.sent) this.#turn.end({ kind: "lost", error });
    } else if (running.state.ownTurn) void this.#endFailed(undefined, error);
  }

  #onLine(running: HeldProcess, mapped: MapResult): LineEffect | undefined {
    const result = withPolicy(mapped, this.#session.agent);
    let effect: LineEffect | undefined = result === mapped ? undefined : { events: result.events };
    for (const signal of result.signals) {
      if (signal.type === "turn_started") effect = onTurnStarted(running.state, result);
      else if (signal.type === "turn_ended") effect = merge(effect, this.#onTurnEnded(running, signal, result));
      else effect = merge(effect, this.#onSignal(running, signal, result));
    }
    return effect;
  }

  #onTurnEnded(running: HeldProcess, signal: Extract<Signal, { type: "turn_ended" }>, result: MapResult): LineEffect {
    const effect = onTurnEnded(running.state, signal, result, this.#deps.clock.now());
    return {
      ...effect,
      after: () => {
        effect.after?.();
        this.#deliver(running);
      },
    };
  }

  /** Signals that do not begin or end a turn. */
  #onSignal(running: HeldProcess, signal: Signal, result: MapResult): LineEffect | undefined {
    const events = result.events;
    if (signal.type === "claude_session_id") return { events, session: { claude_session_id: signal.id } };
    if (signal.type === "echo" && signal.state === "replayed") {
      return { events, also: (tx) => markTaken(tx, signal.uuid) };
    }
    if (signal.type === "background_tasks") running.backgroundTasks = signal.count;
    const answer = answerTo(signal);
    if (answer !== undefined) return { events, after: () => this.#say(running, answer) };
    const asking = { id: this.#session.id, processId: running.process.processId, nowMs: this.#deps.clock.now() };
    // What was allowed always is answered at once.
    const after = () => this.#deliver(running);
    if (signal.type === "permission_request") return { ...onQuestion(asking, signal, result), after };
    if (signal.type === "permission_cancelled") return onQuestionWithdrawn(asking, signal.requestId, result);
    if (signal.type === "control_response") {
      const effect = onOpenQuestions(asking, signal, result);
      return effect && { ...effect, after };
    }
    if (signal.type === "auth_failed_retrying")
      return { events, after: () => this.#say(running, interruptRequest(randomUUID())) };
    return undefined;
  }

  #onExit(running: HeldProcess, exit: ProcessExit): LineEffect {
    const { id } = this.#session;
    this.#deps.logger.info({ session: id, process: running.process.processId, ...exit }, "Claude Code ended");
    const effect = onProcessExit(running.state, exit, this.#deps.clock.now());
    return {
      ...effect,
      after: () => {
        if (running === this.#running) this.#letGo();
        effect.after?.();
      },
    };
  }

  /** Without waiting: the caller may be what reads the answer. */
  #say(running: HeldProcess, line: string, lineId: string = randomUUID()): void {
    running.process
      .send(line, lineId, AbortSignal.any([this.#stop.signal, AbortSignal.timeout(10_000)]))
      .catch((error) => this.#deps.logger.warn({ err: error, session: this.#session.id }, "an answer was not taken"));
  }

  #deliver({ process }: HeldProcess): void {
    void deliverAnswers(this.#deps, process, this.#stop.signal);
  }

  #interruptTurn(turn: Turn): void {
    if (turn.stopped || turn.finished) return;
    turn.stopped = true;
    const running = this.#running;
    if (!turn.sent || running === undefined) turn.abort(new TurnStopped("stopped by the reader"));
    else void this.#stopProcess(running.process, () => turn.finished);
  }

  #stopProcess(process: ClaudeProcess, isOver: () => boolean): Promise<void> {
    return interruptProcess(process, { isOver, signal: this.#stop.signal, logger: this.#deps.logger });
  }

  async #ensureRunning(): Promise<void> {
    const { status } = await this.#row();
    if (status === "running" || (await openQuestions(this.#deps.db, this.#session.id)).length > 0) return;
    await this.#append([{ type: "session.status_running" }], "running");
  }

  async #endFailed(turn: Turn | undefined, error: unknown): Promise<void> {
    try {
      await endFailedTurn(this.#deps, { session: this.#session, turn, error, signal: this.#stop.signal });
    } catch (lost) {
      if (!(lost instanceof StaleGenerationError)) throw lost;
      this.#lostLease(lost);
    }
  }

  #lostLease(error: StaleGenerationError): void {
    this.#deps.logger.warn({ err: error }, "another server works on this session");
    this.#stop.abort(error);
    this.#running?.process.release();
    this.#letGo();
  }

  #armIdleTimer(): void {
    const running = this.#running;
    if (running === undefined || this.#stop.signal.aborted) return;
    running.afterIdle(this.#deps.options.idleProcessMs, () => this.#closeIdle(running));
  }

  #closeIdle(running: HeldProcess): void {
    if (this.#turn !== undefined || running !== this.#running) return;
    if (running.backgroundTasks > 0 || running.state.ownTurn) {
      this.#armIdleTimer();
      return;
    }
    this.#letGo();
    running.process
      .closeStdin(AbortSignal.any([this.#stop.signal, AbortSignal.timeout(10_000)]))
      .catch((error) =>
        this.#deps.logger.warn({ err: error, session: this.#session.id }, "cannot end an idle process"),
      );
  }

  #letGo(): void {
    const running = this.#running;
    this.#running = undefined;
    running?.letGo();
  }

  async #append(events: readonly NewEvent[], status?: "running"): Promise<void> {
    const changed = status === undefined ? {} : { session: { status } };
    const input = { sessionId: this.#session.id, generation: this.generation, events, ...changed };
    await this.#deps.log.append(input, this.#storing);
  }

  #row() {
    return sessionState(this.#deps.db, this.#session.id);
  }
}
