import { inBackground } from "@holdfast/std";
import type { AskOutcome } from "../claude-state/asks.ts";
import type { StateAsk } from "../claude-state/claude-state.ts";
import { hasProcess } from "../claude-state/rows.ts";
import type { Dispatcher } from "../leases/dispatcher.ts";
import { type OpenSession, openSession, openSessions, waitingSessions } from "../leases/open-sessions.ts";
import type { Ask } from "../leases/relay.ts";
import type { TurnControl } from "../sessions/sessions.ts";
import { Runners } from "./runners.ts";
import { SessionRunner } from "./session-runner.ts";
import type { TurnDeps } from "./turn-deps.ts";

/** What is asked of the server that works on a session. */
type TurnAsk = { op: "wake" | "answer" | "interrupt" | "drop" | "configure" | "stop_task"; taskId?: string };
/** Whoever asks waits less long. */
const askMs = 2 * 60_000;

type Claim = Parameters<Dispatcher["dispatch"]>[1]["claim"];

/** All sessions that are being worked on by this server; what concerns another's goes to that one. */
export class Turns implements TurnControl {
  readonly #deps: TurnDeps;
  readonly #runners: Runners;
  /** What was asked of sessions that are not in hand yet: one after the other, as it came. */
  readonly #tails = new Map<string, Promise<void>>();
  #closing = false;

  constructor(deps: TurnDeps) {
    this.#deps = deps;
    const { logger, isSaving } = deps;
    this.#runners = new Runners({ open: (sessionId) => SessionRunner.open(deps, sessionId), isSaving, logger });
    for (const op of ["wake", "answer", "interrupt", "drop", "configure", "stop_task"] as const) {
      deps.dispatcher.handle(op, (ask) => this.#do(ask as Ask & TurnAsk & { sessionId: string }));
    }
    deps.dispatcher.handle("ask_claude", (ask) => this.#askHere(ask as Ask & StateAsk & { sessionId: string }));
  }

  /** How many sessions are in hand. */
  get size(): number {
    return this.#runners.size;
  }

  wake(sessionId: string): void {
    this.#tell(sessionId, { op: "wake" }, true);
  }

  interrupt(sessionId: string): void {
    this.#tell(sessionId, { op: "interrupt" }, async () => (await this.#openState(sessionId)) !== undefined);
  }

  answer(sessionId: string): void {
    this.#tell(sessionId, { op: "answer" }, true);
  }

  end(sessionId: string): void {
    this.#tell(sessionId, { op: "drop" }, false);
  }

  async stopTask(sessionId: string, taskId: string): Promise<void> {
    await this.#dispatch(sessionId, { op: "stop_task", taskId }, false);
  }

  /** What Claude Code says of itself, asked by whoever holds its process. */
  async askClaude(sessionId: string, ask: StateAsk): Promise<AskOutcome> {
    const { db, dispatcher } = this.#deps;
    const query = db.selectFrom("sessions").select("workspace_id").where("id", "=", sessionId);
    const row = await query.executeTakeFirst();
    if (row === undefined) return { kind: "nobody" };
    const { name, query: asked, start } = ask;
    const message = { op: "ask_claude", sessionId, workspaceId: row.workspace_id, name, query: asked, start };
    const claim = start || (async () => await hasProcess(db, sessionId));
    const asking = await dispatcher.dispatch(message, { claim, timeoutMs: askMs });
    return asking.done ? (asking.result as AskOutcome) : { kind: "nobody" };
  }

  configure(sessionId: string): void {
    this.#tell(sessionId, { op: "configure" }, false);
  }

  /** Ends turn and process; whoever asks for the session again finds a new runner. */
  async drop(sessionId: string): Promise<void> {
    await this.#dispatch(sessionId, { op: "drop" }, false);
  }

  /** The lease under which this server writes the session now. */
  async generation(sessionId: string): Promise<number> {
    return await this.#runners.use(sessionId, ({ generation }) => generation);
  }

  /** These workspaces have come to this server: goes on with what is being worked on there. */
  async taken(workspaceIds: readonly string[]): Promise<void> {
    const open = await openSessions(this.#deps.db, new Set(workspaceIds));
    for (const session of open) this.#resume(session);
  }

  /** Looks for work that this server was not told of. */
  async look(): Promise<void> {
    if (this.#closing) return;
    this.#runners.forgetIdle();
    const { messages, turns, answers } = await waitingSessions(this.#deps.db, this.#deps.leases.serverId);
    for (const id of messages) this.#with(id, (runner) => runner.wake());
    for (const id of turns) if (!this.#runners.has(id)) this.#resume({ id, kind: "turn" });
    for (const id of answers) this.#with(id, (runner) => runner.answer());
  }

  /** Their sandbox is gone. What nobody works on yet is taken up, so that its turn ends and says so. */
  async orphaned(sessionIds: readonly string[], workspaceId: string): Promise<void> {
    for (const id of sessionIds) {
      if (this.#closing || this.#runners.has(id)) continue;
      const open = await this.#openState(id);
      if (open === undefined || (await this.#deps.leases.acquire(workspaceId)).kind !== "this") continue;
      this.#resume(open);
    }
  }

  /** Stops every turn and waits until each has ended. */
  async endAll(): Promise<void> {
    this.#closing = true;
    await this.#runners.finishAll();
  }

  /** Lets go of all; sandboxes and processes go on. */
  async letGo(): Promise<void> {
    await this.#runners.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    await this.letGo();
  }

  #resume({ id, kind }: OpenSession): void {
    this.#deps.logger.info({ session: id, kind }, "going on with what was begun before");
    if (kind === "message") this.#with(id, (runner) => runner.wake());
    else if (kind === "turn") this.#with(id, (runner) => runner.resumeOwnTurn());
    else this.#with(id, (runner) => runner.adoptProcess());
  }

  /** Without waiting. What is in hand here is told at once. */
  #tell(sessionId: string, ask: TurnAsk, claim: Claim): void {
    const { logger } = this.#deps;
    if (this.#closing) return;
    const before = this.#tails.get(sessionId);
    if (before === undefined && this.#runners.has(sessionId)) {
      this.#do({ ...ask, sessionId }).catch((error) => logger.error({ err: error, session: sessionId }, "not done"));
      return;
    }
    const tail = (before ?? Promise.resolve())
      .then(() => this.#dispatch(sessionId, ask, claim))
      .catch((error) => {
        if (!this.#closing) logger.error({ err: error, session: sessionId, op: ask.op }, "nobody works on a session");
      })
      .finally(() => {
        if (this.#tails.get(sessionId) === tail) this.#tails.delete(sessionId);
      });
    this.#tails.set(sessionId, tail);
  }

  async #dispatch(sessionId: string, ask: TurnAsk, claim: Claim): Promise<void> {
    const { db, dispatcher } = this.#deps;
    const query = db.selectFrom("sessions").select("workspace_id").where("id", "=", sessionId);
    const row = await query.executeTakeFirst();
    // It was deleted meanwhile.
    if (row === undefined) return;
    await dispatcher.dispatch({ ...ask, sessionId, workspaceId: row.workspace_id }, { claim });
  }

  /** Here, in a workspace of this server. */
  async #do({ op, sessionId, taskId = "" }: TurnAsk & { sessionId: string }): Promise<void> {
    if (op === "wake") this.#with(sessionId, (runner) => runner.wake());
    else if (op === "answer") this.#with(sessionId, (runner) => runner.answer());
    else if (op === "drop") await this.#runners.drop(sessionId);
    else if (op === "stop_task") {
      if (this.#runners.has(sessionId)) await this.#runners.use(sessionId, (runner) => runner.stopTask(taskId));
    } else if (op === "configure") {
      if (this.#runners.has(sessionId)) this.#with(sessionId, (runner) => runner.configure());
    } else {
      // Without a runner nothing of it runs here, unless it has only just come to this server.
      const open = this.#runners.has(sessionId) ? undefined : await this.#openState(sessionId);
      if (open !== undefined) this.#resume(open);
      if (this.#runners.has(sessionId)) this.#with(sessionId, (runner) => runner.interrupt());
    }
  }

  async #askHere({ sessionId, ...ask }: StateAsk & { sessionId: string }): Promise<AskOutcome> {
    if (this.#closing) return { kind: "nobody" };
    if (!this.#runners.has(sessionId)) {
      const lives = await hasProcess(this.#deps.db, sessionId);
      // It has only just come to this server: it is found again before anybody else looks for it.
      if (lives) this.#resume((await this.#openState(sessionId)) ?? { id: sessionId, kind: "process" });
      else if (!ask.start) return { kind: "nobody" };
    }
    return await this.#runners.use(sessionId, (runner) => runner.askClaude(ask));
  }

  async #openState(sessionId: string): Promise<OpenSession | undefined> {
    return await openSession(this.#deps.db, sessionId);
  }

  #with(sessionId: string, work: (runner: SessionRunner) => void | Promise<void>): void {
    if (this.#closing) return;
    inBackground(this.#runners.use(sessionId, work), (error) =>
      this.#deps.logger.error({ err: error, session: sessionId }, "a session cannot be worked on"),
    );
  }
}
