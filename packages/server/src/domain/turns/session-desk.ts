import type { NewEvent } from "@holdfast/protocol";
import { inBackground } from "@holdfast/std";
import { type AppendInput, type LogTx, StaleGenerationError } from "../../ports/event-log.ts";
import { launchModeOf } from "../agents/launch.ts";
import { ClaudeAsks } from "../claude-state/asks.ts";
import type { Workspace } from "../workspaces/workspace-rows.ts";
import type { HeldProcess } from "./held-process.ts";
import { InFlight } from "./in-flight.ts";
import type { Session } from "./session.ts";
import { sessionState } from "./session-rows.ts";
import type { Turn } from "./turn.ts";
import type { TurnDeps } from "./turn-deps.ts";

/** What everything that works on one session shares: what is in hand, and how it is written down. */
export class SessionDesk {
  readonly deps: TurnDeps;
  readonly session: Session;
  readonly workspace: Workspace;
  /** Aborts when the session is let go of. */
  readonly stop = new AbortController();
  readonly inFlight = new InFlight();
  /** What its process is asked on the side. */
  readonly asks: ClaudeAsks<HeldProcess>;
  /** Its message has not gone to Claude yet. */
  preparing: Turn | undefined;
  running: HeldProcess | undefined;
  #stopping: Promise<void> = Promise.resolve();
  /** What is under way in the background: stops, and what is being written. */
  #under = 0;
  /** Messages whose turn shall end, as far as they were seen. */
  readonly stops = new Set<string>();

  constructor(deps: TurnDeps, { session, workspace }: { session: Session; workspace: Workspace }) {
    this.deps = deps;
    this.session = session;
    this.workspace = workspace;
    const { clock, options } = deps;
    this.asks = new ClaudeAsks({ sessionId: session.id, clock, answerMs: options.claudeAnswerMs });
  }

  /** The permission mode of a session that has none of its own. */
  get launchMode(): string {
    return launchModeOf(this.session.agent, this.deps.options.permissionMode);
  }

  /** Where it is written, and under which lease. */
  get target(): Pick<AppendInput, "sessionId" | "generation"> {
    return { sessionId: this.session.id, generation: this.session.generation };
  }

  /** Nothing is in hand, and nothing is being written. */
  get isIdle(): boolean {
    return this.running === undefined && this.preparing === undefined && this.inFlight.isEmpty && this.#under === 0;
  }

  /** What the reader has stopped is being put in order: until then nothing new begins. Never rejects. */
  get stopping(): Promise<void> {
    return this.#stopping;
  }

  /** Nothing new begins before this has come to its end. */
  holdNext(stopping: Promise<void>): void {
    const settled = this.#counted(stopping).catch((error) => this.warn(error, "a turn cannot be stopped"));
    this.#stopping = Promise.all([this.#stopping, settled]).then(() => undefined);
  }

  /** What this session says waits for a database that is away, for as long as the session is this server's. */
  store<T>(work: (log: LogTx) => Promise<T>): Promise<T> {
    return this.#counted(this.#now(() => this.deps.log.transact(work, { patience: this.stop.signal })));
  }

  async append(events: readonly NewEvent[], session?: AppendInput["session"]): Promise<void> {
    const more = session === undefined ? {} : { session };
    const append = () => this.deps.log.append({ ...this.target, events, ...more }, { patience: this.stop.signal });
    await this.#counted(this.#now(append));
  }

  async #counted<T>(work: Promise<T>): Promise<T> {
    this.#under++;
    try {
      return await work;
    } finally {
      this.#under--;
    }
  }

  /** Our own lease may be raised while something waits to be stored (`insist`): it is stored under the new one. */
  async #now<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      const { generation } = this.session;
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof StaleGenerationError) || this.session.generation === generation) throw error;
      }
    }
  }

  row() {
    return sessionState(this.deps.db, this.session.id);
  }

  /** A signal for what is said to the process on the side. */
  soon(ms = 10_000): AbortSignal {
    return AbortSignal.any([this.stop.signal, AbortSignal.timeout(ms)]);
  }

  warn(error: unknown, what: string): void {
    if (!this.stop.signal.aborted) this.deps.logger.warn({ err: error, session: this.session.id }, what);
  }

  /** What Claude did by itself has come to an end: as after a turn. */
  saveSoon(): void {
    inBackground(this.saveWorkspace(), (error) => this.warn(error, "a workspace is not saved"));
  }

  /** Resolves when its save is begun. */
  async saveWorkspace(): Promise<void> {
    const { deps, running, workspace, session } = this;
    if (this.stop.signal.aborted) return;
    const current = await deps.sandboxes.current(workspace.id)?.catch(() => undefined);
    const sandbox = running?.process.sandbox ?? current;
    if (sandbox === undefined || sandbox.gone.aborted) return;
    deps.onTurnEnd({ sessionId: session.id, sandbox, generation: session.generation });
  }

  letGo(): void {
    const { running } = this;
    this.running = undefined;
    running?.letGo();
  }

  lostLease(error: StaleGenerationError): void {
    this.deps.logger.warn({ err: error }, "another server works on this session");
    this.stop.abort(error);
    this.running?.process.release();
    this.letGo();
  }
}
