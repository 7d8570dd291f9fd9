import type { Session, SessionEvent } from "@holdfast/protocol";
import type { Activity } from "./activity.ts";
import { Answers } from "./answers.ts";
import { type Answer, type Api, ApiError, wordsOf } from "./api.ts";
import { background } from "./background.ts";
import type { EventList } from "./event-list.ts";
import { FrameScheduler } from "./frame-scheduler.ts";
import { cursorAfter, type Draft, emptyLog, hasGap, type LogInput, reduce, type SessionLog } from "./log.ts";
import { type Cell, cell } from "./observable.ts";
import { type OutboxInput, type OutboxItem, reduceOutbox, resendWindowMs, restoreOutbox } from "./outbox.ts";
import { type QuestionRow, type Row, RowBuilder, type UserRow } from "./rows.ts";
import type { ConnectionState } from "./stream/messages.ts";
import type { PageStream } from "./stream/page-stream.ts";

export interface SessionView {
  phase: "loading" | "ready" | "failed";
  /** Why the first page could not be read; the rest stays usable. */
  problem: string | null;
  rows: readonly Row[];
  /** Questions that wait for an answer, oldest first. */
  questions: readonly QuestionRow[];
  /** Messages that wait for the running turn, oldest first. */
  queue: readonly UserRow[];
  /** Messages on their way to the queue. */
  sending: readonly OutboxItem[];
  activity: Activity;
  /** Stop was asked for and the turn has not ended yet. */
  stopping: boolean;
  hasOlder: boolean;
  loadingOlder: boolean;
}

const idleActivity: Activity = {
  working: false,
  since: null,
  typing: false,
  doing: null,
  stopAsked: false,
  outcome: null,
};

export interface SessionStoreOptions {
  api: Api;
  stream: PageStream;
  id: string;
  /** What the list of sessions knows of it. */
  listed: () => Session | undefined;
  /** The session's state or cost may have changed. */
  onChanged: () => void;
  onProblem: (text: string) => void;
  /** Each event as it comes off the stream. */
  onEvent: (event: SessionEvent) => void;
  storage: Pick<Storage, "getItem" | "setItem" | "removeItem">;
}

/** One open session: its log, what waits to be sent, and the connection. React only looks at it. */
export class SessionStore implements Disposable {
  readonly id: string;
  readonly view: Cell<SessionView>;
  readonly connection: Cell<ConnectionState> = cell<ConnectionState>({
    state: "connecting",
    lastFrameMs: 0,
    attempt: 0,
  });
  /** Changes with every painted delta; rows change only with the log. */
  readonly drafts: Cell<readonly Draft[]> = cell<readonly Draft[]>([]);
  readonly answers: Answers;
  readonly #options: SessionStoreOptions;
  readonly #rows = new RowBuilder();
  readonly #frames: FrameScheduler;
  readonly #ended = new AbortController();
  #log: SessionLog = emptyLog;
  #outbox: readonly OutboxItem[] = [];
  #queue: LogInput[] = [];
  #following: Disposable | null = null;
  #nextPage: string | null = null;
  #sending: Promise<void> = Promise.resolve();
  #gapTries = 0;
  /** The turn for which Stop was pressed here. */
  #stopPressed: string | null = null;

  constructor(options: SessionStoreOptions) {
    this.#options = options;
    this.id = options.id;
    this.answers = new Answers(options.api, options.id, (ms) => waitMs(ms, this.#ended.signal));
    this.#frames = new FrameScheduler(() => this.#flush());
    this.view = cell<SessionView>({
      phase: "loading",
      problem: null,
      rows: [],
      questions: [],
      queue: [],
      sending: [],
      activity: idleActivity,
      stopping: false,
      hasOlder: false,
      loadingOlder: false,
    });
    this.#restoreOutbox();
    background(this.load());
  }

  [Symbol.dispose](): void {
    this.#ended.abort();
    this.#frames[Symbol.dispose]();
    this.#following?.[Symbol.dispose]();
  }

  /** Reads the newest page, then follows the log. Also the way out of a failed load. */
  async load(): Promise<void> {
    this.#patch({ problem: null, phase: this.#log.events.length > 0 ? "ready" : "loading" });
    try {
      const page = await this.#options.api.events(this.id, undefined, this.#ended.signal);
      this.#takePage(page);
      this.#patch({ phase: "ready" });
      this.#following ??= this.#follow();
    } catch (error) {
      if (this.#ended.signal.aborted) return;
      this.#patch({ phase: "failed", problem: wordsOf(error) });
    }
  }

  async loadOlder(): Promise<void> {
    const page = this.#nextPage;
    if (!page || this.view.get().loadingOlder) return;
    this.#patch({ loadingOlder: true });
    try {
      this.#takePage(await this.#options.api.events(this.id, page, this.#ended.signal));
    } catch (error) {
      if (!this.#ended.signal.aborted) this.#options.onProblem(`Older messages could not be read. ${wordsOf(error)}`);
    } finally {
      this.#patch({ loadingOlder: false });
    }
  }

  send(text: string): void {
    const clientId = crypto.randomUUID();
    this.#changeOutbox({ type: "queued", clientId, text, atMs: Date.now() });
    this.#enqueueDelivery(clientId);
  }

  resend(clientId: string): void {
    this.#changeOutbox({ type: "retried", clientId });
    this.#enqueueDelivery(clientId);
  }

  discard(clientId: string): void {
    this.#changeOutbox({ type: "discarded", clientId });
  }

  answer(answer: Answer): void {
    background(this.answers.send(answer));
  }

  /** Names the turn that it means: pressed twice, or late, it never stops the next one. */
  async stop(): Promise<void> {
    if (this.view.get().stopping) return;
    const turn = this.#turn();
    this.#stopPressed = turn;
    this.#publish();
    try {
      await this.#options.api.interrupt(this.id, crypto.randomUUID(), this.#rows.turn);
    } catch (error) {
      if (this.#stopPressed === turn) this.#stopPressed = null;
      this.#publish();
      this.#options.onProblem(`The turn could not be stopped. ${wordsOf(error)}`);
    }
  }

  /** Each resolves to whether it was done; the reader has been told why not. */
  editQueued(row: UserRow, text: string): Promise<boolean> {
    const others = row.content.filter((block) => block.type !== "text");
    const content = [{ type: "text" as const, text }, ...others];
    return this.#changeQueue(this.#options.api.changeMessage(this.id, row.id, { content }), "changed");
  }

  sendQueuedNow(row: UserRow): Promise<boolean> {
    return this.#changeQueue(this.#options.api.changeMessage(this.id, row.id, { delivery: "now" }), "sent now");
  }

  removeQueued(row: UserRow): Promise<boolean> {
    return this.#changeQueue(this.#options.api.removeMessage(this.id, row.id), "removed");
  }

  async #changeQueue(request: Promise<void>, done: string): Promise<boolean> {
    try {
      await request;
      return true;
    } catch (error) {
      if (!this.#ended.signal.aborted) this.#options.onProblem(`The message could not be ${done}. ${wordsOf(error)}`);
      return false;
    }
  }

  #turn(): string {
    return this.#rows.turn ?? this.view.get().activity.since ?? "";
  }

  draftText(id: string): string {
    return this.drafts.get().find((draft) => draft.id === id)?.text ?? "";
  }

  /** What the list says has changed: the activity of a session without events comes from there. */
  relist(): void {
    this.#publish();
  }

  /** The connection was refused: why, an ordinary request tells (a 401 leads to the login). */
  async whyRefused(): Promise<void> {
    try {
      await this.#options.api.session(this.id, this.#ended.signal);
    } catch (error) {
      if (this.#ended.signal.aborted || !(error instanceof ApiError) || error.transient) return;
      this.#following?.[Symbol.dispose]();
      this.#following = null;
      this.#patch({ phase: "failed", problem: wordsOf(error) });
    }
  }

  #follow(): Disposable {
    return this.#options.stream.follow({
      id: this.id,
      cursor: () => cursorAfter(this.#log, this.#queue),
      drafts: true,
      onInput: (input) => {
        this.#queue.push(input);
        this.#frames.request();
        if (input.type === "event") this.#options.onEvent(input.event);
      },
      onGap: (otherLog) => {
        if (otherLog) this.#queue = [{ type: "reset" }];
        background(this.#refresh());
      },
      onGone: () => background(this.whyRefused()),
      onState: (state) => this.connection.set(state),
    });
  }

  async #refresh(): Promise<void> {
    try {
      this.#takePage(await this.#options.api.events(this.id, undefined, this.#ended.signal));
    } catch (error) {
      if (!this.#ended.signal.aborted)
        this.#options.onProblem(`The newest messages could not be read. ${wordsOf(error)}`);
    }
  }

  #takePage(page: { data: readonly SessionEvent[]; nextPage: string | null }): void {
    const before = this.#log.firstSeq;
    const empty = this.#log.events.length === 0;
    this.#queue.push({ type: "page", events: page.data, hasOlder: page.nextPage !== null });
    this.#flush();
    // The cursor belongs to the page that is now the oldest one.
    if (empty || this.#log.firstSeq !== before) this.#nextPage = page.nextPage;
  }

  #flush(): void {
    const inputs = this.#queue;
    this.#queue = [];
    const before = this.#log;
    this.#log = reduce(before, inputs);
    if (this.#log !== before) {
      if (this.#log.events !== before.events) this.#settleOutbox(before.events);
      this.#publish();
      this.drafts.set(this.#log.drafts);
    }
    if (hasGap(this.#log)) this.#fillGap();
    else this.#gapTries = 0;
  }

  /** Something is missing: ask again from the last whole event; if that does not help, read the newest page. */
  #fillGap(): void {
    this.#gapTries++;
    if (this.#gapTries === 1) this.#options.stream.reopen();
    else if (this.#gapTries % 8 === 0) background(this.#refresh());
  }

  /** `before`: events whose messages are settled already. */
  #settleOutbox(before?: EventList): void {
    if (this.#outbox.length === 0) return;
    const { events } = this.#log;
    const clientIds = new Set<string>();
    for (const event of events.from(before !== undefined && events.extends(before) ? before.length : 0))
      if (event.type === "user.message" && event.holdfast?.client_id) clientIds.add(event.holdfast.client_id);
    this.#setOutbox(reduceOutbox(this.#outbox, { type: "arrived", has: (id) => events.has(id), clientIds }));
  }

  #publish(): void {
    const before = this.view.get();
    const listed = this.#options.listed()?.status;
    this.#rows.read(this.#log);
    const working = this.#rows.activity.isWorking(listed);
    const rows = this.#rows.build(this.#log, this.#outbox, working);
    const { queue, sending, openQuestions: questions } = this.#rows;
    const next = this.#rows.activity.activity(this.#log, this.#outbox, listed);
    const activity = sameActivity(before.activity, next) ? before.activity : next;
    const turn = this.#rows.turn ?? activity.since ?? "";
    const stopping = activity.working && (activity.stopAsked || this.#stopPressed === turn);
    const { hasOlder } = this.#log;
    const after: SessionView = { ...before, rows, questions, queue, sending, activity, stopping, hasOlder };
    if (Object.entries(after).some(([key, value]) => before[key as keyof SessionView] !== value)) this.view.set(after);
    if (activity.working !== before.activity.working || activity.outcome !== before.activity.outcome)
      this.#options.onChanged();
  }

  #patch(change: Partial<SessionView>): void {
    this.view.set({ ...this.view.get(), ...change });
  }

  #enqueueDelivery(clientId: string): void {
    // One after the other: messages arrive in the order in which they were written.
    this.#sending = this.#sending.then(() => this.#deliver(clientId));
  }

  async #deliver(clientId: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const item = this.#outbox.find((entry) => entry.clientId === clientId);
      if (item?.state !== "sending" || item.eventId || this.#ended.signal.aborted) return;
      try {
        const events = await this.#options.api.send(this.id, item.text, { clientId, signal: this.#ended.signal });
        const eventId = events.find((event) => event.type === "user.message")?.id;
        if (eventId) this.#changeOutbox({ type: "acknowledged", clientId, eventId });
        return;
      } catch (error) {
        if (this.#ended.signal.aborted) return;
        const lasting = !(error instanceof ApiError && error.transient);
        if (lasting || Date.now() - item.atMs > resendWindowMs) {
          this.#changeOutbox({ type: "failed", clientId, problem: wordsOf(error) });
          return;
        }
        await waitMs(Math.min(10_000, 500 * 2 ** (attempt - 1)), this.#ended.signal);
      }
    }
  }

  #changeOutbox(input: OutboxInput): void {
    this.#setOutbox(reduceOutbox(this.#outbox, input));
    this.#settleOutbox();
    this.#publish();
  }

  #setOutbox(items: readonly OutboxItem[]): void {
    if (items === this.#outbox) return;
    this.#outbox = items;
    const key = `holdfast.outbox.${this.id}`;
    if (items.length === 0) this.#options.storage.removeItem(key);
    else this.#options.storage.setItem(key, JSON.stringify(items));
  }

  #restoreOutbox(): void {
    const stored = this.#options.storage.getItem(`holdfast.outbox.${this.id}`);
    if (!stored) return;
    this.#outbox = restoreOutbox(JSON.parse(stored) as OutboxItem[], Date.now());
    for (const item of this.#outbox) if (item.state === "sending") this.#enqueueDelivery(item.clientId);
    this.#publish();
  }
}

function sameActivity(a: Activity, b: Activity): boolean {
  return (
    a.working === b.working &&
    a.since === b.since &&
    a.typing === b.typing &&
    a.doing === b.doing &&
    a.stopAsked === b.stopAsked &&
    a.outcome === b.outcome
  );
}

/** Waits, or less when the network comes back or the page is left. */
function waitMs(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const stop = new AbortController();
    const done = () => {
      stop.abort();
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(done, ms);
    addEventListener("online", done, { signal: stop.signal });
    signal.addEventListener("abort", done, { signal: stop.signal });
  });
}
