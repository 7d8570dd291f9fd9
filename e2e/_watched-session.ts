import type { EventOf, SessionEvent, SessionEventType } from "@holdfast/protocol";
import { inBackground } from "@holdfast/std";
import type { TestAccount, TestKit } from "@holdfast/testkit";

type Frame = SessionEvent | { type: "event_delta" };

/** One session and everything that its stream has brought, each with the time at which it came. */
export class WatchedSession implements Disposable {
  readonly id: string;
  readonly #kit: TestKit;
  readonly #account: TestAccount;
  readonly #seen: { frame: Frame; atMs: number }[] = [];
  readonly #end = new AbortController();
  #wake = Promise.withResolvers<void>();
  #failure: unknown;

  private constructor(kit: TestKit, account: TestAccount, id: string) {
    this.#kit = kit;
    this.#account = account;
    this.id = id;
  }

  static async open(
    kit: TestKit,
    { workspace, agent = "agent_default", account = kit.account }: OpenOptions,
  ): Promise<WatchedSession> {
    const metadata = { "holdfast.workspace": workspace };
    const { sessions } = account.client.beta;
    const { id } = await sessions.create({ agent, environment_id: "env_default", metadata });
    const session = new WatchedSession(kit, account, id);
    const { signal } = session.#end;
    const stream = await sessions.events.stream(id, { event_deltas: ["agent.message"] }, { signal });
    inBackground(session.#read(stream as AsyncIterable<unknown>), (error) => {
      session.#failure = error;
    });
    return session;
  }

  /** Gives the message's id. */
  async send(text: string, holdfast?: { delivery: "now" }): Promise<string> {
    const content = [{ type: "text", text }];
    return await this.#post({ type: "user.message", content, ...(holdfast === undefined ? {} : { holdfast }) });
  }

  /** Gives the time before the request. */
  async interrupt(messageId?: string): Promise<number> {
    const pressedMs = performance.now();
    const holdfast = messageId === undefined ? {} : { holdfast: { message_id: messageId } };
    await this.#post({ type: "user.interrupt", ...holdfast });
    return pressedMs;
  }

  /** The n-th event of the log that matches, from 1, and when it came. */
  async until<T extends SessionEventType>(
    type: T,
    { times = 1, matches = () => true }: { times?: number; matches?: (event: EventOf<T>) => boolean } = {},
  ): Promise<{ event: EventOf<T>; atMs: number }> {
    const found = await this.#until(`${type} × ${times}`, times, (frame) => {
      return frame.type === type && matches(frame as EventOf<T>);
    });
    return { event: found.frame as EventOf<T>, atMs: found.atMs };
  }

  /** The n-th end of a turn. */
  ended(times = 1): Promise<{ event: EventOf<"session.status_idle">; atMs: number }> {
    return this.until("session.status_idle", {
      times,
      matches: ({ stop_reason }) => stop_reason.type !== "requires_action",
    });
  }

  /** Words come. */
  async streams(): Promise<void> {
    await this.#until("a draft's words", 3, ({ type }) => type === "event_delta");
  }

  of<T extends SessionEventType>(type: T): EventOf<T>[] {
    return this.#seen.map(({ frame }) => frame).filter((frame): frame is EventOf<T> => frame.type === type);
  }

  /** What came until now counts no longer. */
  forget(): void {
    this.#seen.length = 0;
  }

  [Symbol.dispose](): void {
    this.#end.abort();
  }

  async #post(event: object): Promise<string> {
    const body = JSON.stringify({ events: [event] });
    const response = await this.#kit.fetch(`/v1/sessions/${this.id}/events`, {
      method: "POST",
      body,
      account: this.#account,
    });
    if (!response.ok) throw new Error(`HTTP ${response.status}: ${await response.text()}`);
    const { data } = (await response.json()) as { data: { id: string }[] };
    return data[0]?.id ?? "";
  }

  async #read(stream: AsyncIterable<unknown>): Promise<void> {
    try {
      for await (const frame of stream) {
        this.#seen.push({ frame: frame as Frame, atMs: performance.now() });
        this.#rouse();
      }
    } catch (error) {
      this.#failure = error;
      this.#rouse();
    }
  }

  #rouse(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  async #until(what: string, times: number, matches: (frame: Frame) => boolean) {
    const deadline = AbortSignal.timeout(60_000);
    const late = new Promise<void>((resolve) => deadline.addEventListener("abort", () => resolve()));
    for (;;) {
      const found = this.#seen.filter(({ frame }) => matches(frame))[times - 1];
      if (found !== undefined) return found;
      if (this.#failure !== undefined) throw this.#failure;
      if (deadline.aborted) throw new Error(`no ${what} within a minute; there were: ${this.#outline()}`);
      await Promise.race([this.#wake.promise, late]);
    }
  }

  #outline(): string {
    return this.#seen.map(({ frame }) => frame.type).join(" ");
  }
}

interface OpenOptions {
  workspace: string;
  agent?: string;
  account?: TestAccount;
}
