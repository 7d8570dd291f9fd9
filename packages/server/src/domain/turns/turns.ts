import type { TurnControl } from "../sessions/sessions.ts";
import { SessionRunner } from "./session-runner.ts";
import type { TurnDeps } from "./turn-deps.ts";

/** All sessions that are being worked on by this server. */
export class Turns implements TurnControl {
  readonly #deps: TurnDeps;
  readonly #runners = new Map<string, Promise<SessionRunner>>();
  #closing = false;

  constructor(deps: TurnDeps) {
    this.#deps = deps;
  }

  wake(sessionId: string): void {
    this.#with(sessionId, (runner) => runner.wake());
  }

  interrupt(sessionId: string): void {
    // Without a runner nothing of it runs here.
    if (this.#runners.has(sessionId)) this.#with(sessionId, (runner) => runner.interrupt());
  }

  answer(sessionId: string): void {
    this.#with(sessionId, (runner) => runner.answer());
  }

  /** Ends turn and process; whoever asks for the session again finds a new runner. */
  async drop(sessionId: string): Promise<void> {
    const opening = this.#runners.get(sessionId);
    if (opening === undefined) return;
    const runner = await opening.catch(() => undefined);
    await runner?.end();
    if (this.#runners.get(sessionId) === opening) this.#runners.delete(sessionId);
  }

  /** The lease under which this server writes the session now. */
  async generation(sessionId: string): Promise<number> {
    return (await this.#runner(sessionId)).generation;
  }

  /** After a start: goes on with what was being worked on when the server before this one ended. */
  async recover(): Promise<void> {
    const { db, logger } = this.#deps;
    const running = await db.selectFrom("sessions").select("id").where("status", "=", "running").execute();
    // One that waits for an answer is idle.
    const asking = await db
      .selectFrom("permissions")
      .select("session_id as id")
      .distinct()
      .where("state", "=", "pending")
      .execute();
    const waiting = await db
      .selectFrom("messages")
      .select("session_id as id")
      .distinct()
      .where("state", "!=", "done")
      .execute();
    const withMessages = new Set(waiting.map(({ id }) => id));
    for (const id of new Set([...withMessages, ...running.map((row) => row.id), ...asking.map((row) => row.id)])) {
      logger.info({ session: id }, "going on with a turn of before the restart");
      if (withMessages.has(id)) this.wake(id);
      else this.#with(id, (runner) => runner.resumeOwnTurn());
    }
  }

  /** Stops every turn and waits until each has ended. */
  async endAll(): Promise<void> {
    this.#closing = true;
    const runners = await Promise.allSettled(this.#runners.values());
    await Promise.all(runners.map((each) => (each.status === "fulfilled" ? each.value.finish() : undefined)));
  }

  /** Lets go of all; sandboxes and processes go on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    const runners = await Promise.allSettled(this.#runners.values());
    this.#runners.clear();
    await Promise.all(runners.map((each) => (each.status === "fulfilled" ? each.value.release() : undefined)));
  }

  #with(sessionId: string, work: (runner: SessionRunner) => void | Promise<void>): void {
    if (this.#closing) return;
    this.#runner(sessionId).then(work, (error) => {
      this.#runners.delete(sessionId);
      this.#deps.logger.error({ err: error, session: sessionId }, "a session cannot be worked on");
    });
  }

  #runner(sessionId: string): Promise<SessionRunner> {
    const known = this.#runners.get(sessionId);
    if (known !== undefined) return known;
    const opening = SessionRunner.open(this.#deps, sessionId);
    this.#runners.set(sessionId, opening);
    return opening;
  }
}
